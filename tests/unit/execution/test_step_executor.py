"""What step containers need of the settings and the environment, which is checked before anything starts."""

from pathlib import Path
from typing import Any

import pytest

from squire_pipelines.agents.local_runner import LocalRunner
from squire_pipelines.agents.runners import choose_runner
from squire_pipelines.errors import ConfigError, EngineError
from squire_pipelines.execution.step_executor import IN_STEP, agent_beside_step, check_executor, check_settings
from squire_pipelines.sections.agents import AgentSettings
from squire_pipelines.sections.operation import PipelineSettings
from squire_pipelines.sections.repositories import RepositoryOverrides
from squire_pipelines.settings.model import Settings

DOCKER = PipelineSettings(executor="docker")


def test_other_executors_need_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SQUIRE_HOME")
    for executor in ("in_process", "auto"):
        check_executor(Settings.model_validate({"pipeline": {"executor": executor}}))


def _settings_that_name(name: str, path: Path) -> dict[str, Any]:
    match name:
        case "ledger_url":
            return {"ledger_url": f"sqlite:///{path}"}
        case "agent.skills":
            return {"agent": AgentSettings.model_construct(skills=(path,))}
        case "agent.seccomp":
            return {"agent": AgentSettings.model_construct(seccomp=path)}
    return {}


@pytest.mark.parametrize("name", ["SQUIRE_CONFIG", "ledger_url", "agent.skills", "agent.seccomp"])
def test_what_steps_read_lies_in_the_home_that_they_have(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    for place, is_seen in (("home/it", True), ("elsewhere", False), ("home/../elsewhere", False)):
        if name == "SQUIRE_CONFIG":
            monkeypatch.setenv(name, str(tmp_path / place))
        settings = Settings.model_construct(pipeline=DOCKER, **_settings_that_name(name, tmp_path / place))
        if is_seen:
            assert check_settings(settings) == Path("/var/run/docker.sock")
        else:
            with pytest.raises(ConfigError, match=f"{name} = .* is not in SQUIRE_HOME") as caught:
                check_settings(settings)
            assert str(tmp_path / "home") in caught.value.hint


def test_what_one_repository_names_must_be_seen_too(tmp_path: Path) -> None:
    (tmp_path / "skill").mkdir()
    (tmp_path / "skill" / "SKILL.md").touch()
    overrides = RepositoryOverrides(agent={"skills": [str(tmp_path / "skill")]})
    settings = Settings(repositories=("a/b",), repository={"a/b": overrides}, pipeline=DOCKER)
    with pytest.raises(ConfigError, match=r"agent\.skills = .* is not in SQUIRE_HOME"):
        check_settings(settings)


def test_an_engine_that_does_not_answer_is_said_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(EngineError, match="no container engine answers"):
        check_executor(Settings(pipeline=DOCKER))


def test_no_agent_becomes_a_process_of_a_steps_container(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = ("unix:///nowhere/docker.sock",)
    anywhere = AgentSettings(kind="command", command=("true",))
    assert isinstance(choose_runner(agent_beside_step(anywhere), hosts=nowhere), LocalRunner)
    monkeypatch.setenv(IN_STEP, "1")
    with pytest.raises(EngineError):
        choose_runner(agent_beside_step(anywhere), hosts=nowhere)
    with pytest.raises(ConfigError, match="in a step's container") as caught:
        agent_beside_step(anywhere.model_copy(update={"runner": "local"}))
    assert "in_process" in str(caught.value.hint)


@pytest.mark.parametrize("asks", ["agent", "repository"])
def test_step_containers_are_refused_where_any_agent_is_a_local_process(asks: str) -> None:
    local: dict[str, Any] = {"kind": "command", "command": ["true"], "runner": "local"}
    asked = (
        {"agent": local}
        if asks == "agent"
        else {
            "repositories": ["acme/app"],
            "repository": {"acme/app": {"agent": local}},
        }
    )
    settings = Settings.model_validate({"pipeline": {"executor": "docker"}} | asked)
    with pytest.raises(ConfigError, match="in a step's container"):
        check_settings(settings)
