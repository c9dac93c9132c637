import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from squire_pipelines.errors import ConfigError
from squire_pipelines.execution.step_executor import IN_STEP, engine_socket
from squire_pipelines.jobs.executors import choose_executor, passed_on
from squire_pipelines.sections.operation import PipelineSettings, StepLimitSettings
from squire_pipelines.settings.model import Settings


def settings(**pipeline: Any) -> Settings:
    return Settings(pipeline=PipelineSettings(**pipeline))


def test_steps_run_in_the_runs_own_process_by_default() -> None:
    assert choose_executor(Settings()) is dg.in_process_executor


def test_auto_without_an_engine_is_the_runs_own_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    assert choose_executor(settings(executor="auto")) is dg.in_process_executor


def test_docker_needs_a_home_that_can_be_mounted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SQUIRE_HOME")
    with pytest.raises(ConfigError, match="needs SQUIRE_HOME") as caught:
        choose_executor(settings(executor="docker"))
    assert caught.value.hint
    assert choose_executor(settings(executor="auto")) is dg.in_process_executor


def test_a_steps_container_has_limits_and_no_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    token = "ghp_" + "x" * 36
    monkeypatch.setenv("SQUIRE_GITHUB_TOKEN", token)
    monkeypatch.setenv("SQUIRE_HOME", str(tmp_path))
    configured = settings(
        executor="docker",
        image="ours:1",
        network="host",
        step_limits=StepLimitSettings(cpus=0.5, memory=2**29, pids=77),
    )
    executor = choose_executor(configured)
    schema = executor.config_schema
    resolved = schema.resolve_config({}) if hasattr(schema, "resolve_config") else None
    assert resolved is not None
    config = resolved.value["config"]
    assert config["image"] == "ours:1"
    kwargs = config["container_kwargs"]
    assert (kwargs["mem_limit"], kwargs["memswap_limit"], kwargs["nano_cpus"], kwargs["pids_limit"]) == (
        2**29,
        2**29,
        500_000_000,
        77,
    )
    assert kwargs["cap_drop"] == ["ALL"]
    assert kwargs["security_opt"] == ["no-new-privileges"]
    assert kwargs["network_mode"] == "host"
    assert f"{tmp_path}:{tmp_path}" in kwargs["volumes"]
    assert "SQUIRE_GITHUB_TOKEN" not in config["env_vars"]
    assert f"{IN_STEP}=1" in config["env_vars"], "by which no agent becomes a process of it"
    assert token not in json.dumps(resolved.value, default=str)


def _kwargs(executor: dg.ExecutorDefinition) -> dict[str, Any]:
    schema: Any = executor.config_schema  # of a configured one, which can be resolved
    resolved = schema.resolve_config({})
    kwargs: dict[str, Any] = resolved.value["config"]["container_kwargs"]
    return kwargs


def test_the_steps_see_the_folder_that_is_the_store_of_files_where_it_is_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SQUIRE_HOME", str(tmp_path))
    monkeypatch.setenv("SQUIRE_FILES__URL", f"file://{tmp_path}/mounted")
    volume = f"{tmp_path}/mounted:{tmp_path}/mounted"
    assert volume not in _kwargs(choose_executor(settings(executor="docker")))["volumes"]
    (tmp_path / "mounted").mkdir()
    assert volume in _kwargs(choose_executor(settings(executor="docker")))["volumes"]


def test_a_step_is_given_its_agents_grace_to_end_and_a_bounded_log(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SQUIRE_HOME", str(tmp_path))
    kwargs = _kwargs(choose_executor(settings(executor="docker")))
    assert kwargs["stop_timeout"] == 25
    assert kwargs["log_config"]["config"] == {"max-size": "10m", "max-file": "2"}


def test_settings_in_the_environment_reach_the_steps_and_secrets_do_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("SQUIRE_AGENT__IMAGE", "SQUIRE_MODEL_KEY", "SQUIRE_NOSUCH__X", "SQUIRE_GITHUB_TOKEN", "DAGSTER_HOME"):
        monkeypatch.setenv(name, "x")
    assert passed_on() == [f"SQUIRE_HOME={tmp_path / 'home'}", "DAGSTER_HOME", "SQUIRE_AGENT__IMAGE"]


@pytest.mark.parametrize("home", ["here", "~/here", "sub/../here"])
def test_a_step_has_its_home_and_its_settings_from_the_root_however_they_are_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SQUIRE_HOME", home)
    monkeypatch.setenv("SQUIRE_CONFIG", f"{home}/mine.toml")
    place = tmp_path / "here"
    assert f"{place}:{place}" in _kwargs(choose_executor(settings(executor="docker")))["volumes"]
    assert passed_on()[:2] == [f"SQUIRE_HOME={place}", f"SQUIRE_CONFIG={place}/mine.toml"]


def test_the_steps_get_the_socket_of_the_engine_that_makes_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SQUIRE_HOME", str(tmp_path))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    assert engine_socket() == Path("/var/run/docker.sock")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/mine.sock")
    assert (
        f"{tmp_path}/mine.sock:/var/run/docker.sock" in _kwargs(choose_executor(settings(executor="docker")))["volumes"]
    )
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:2375")
    assert choose_executor(settings(executor="auto")) is dg.in_process_executor
    with pytest.raises(ConfigError, match="needs an engine with a socket here"):
        choose_executor(settings(executor="docker"))
