"""The protocol's checks, the agent `command`, and finding agents by name."""

import dataclasses
import json
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import pytest

from squire_pipelines.agent_names import BUILT_IN, GROUP, IN_WORKER_IMAGE, PROGRAMS, known, names
from squire_pipelines.agents.adapters import registry
from squire_pipelines.agents.adapters.command import CommandAgent
from squire_pipelines.agents.adapters.protocol import (
    MAX_FILES,
    MAX_FILES_BYTES,
    MAX_PATHS,
    MODEL_PROTOCOLS,
    PROTOCOL,
    AgentConfig,
    Caps,
    LaunchSpec,
    SessionResult,
)
from squire_pipelines.agents.adapters.registry import find, provider_of
from squire_pipelines.agents.adapters.transcript import ModelText, SessionTotals
from squire_pipelines.agents.agent_config import agent_config_of
from squire_pipelines.errors import ConfigError
from squire_pipelines.gateway.model import Protocol as GatewayProtocol
from squire_pipelines.sections.agents import AgentSettings
from tests.support.attempts import make_inputs


def test_of_a_commands_output_its_verdicts_on_remarks_are_read_all_together() -> None:
    read = CommandAgent().parser()
    assert list(read("fix: nothing to do")) == []
    assert list(read("Remark 1: done")) == [ModelText(text="Remark 1: done")]
    assert list(read("Remark 2: perhaps")) == []
    (both,) = read("Remark 2: declined: it is right")
    assert both == ModelText(text="Remark 1: done\nRemark 2: declined: it is right")


def test_the_built_in_agents_are_found() -> None:
    assert names()[: len(BUILT_IN)] == BUILT_IN == (*PROGRAMS, "command")
    assert set(BUILT_IN) >= IN_WORKER_IMAGE
    for name in BUILT_IN:
        agent = find(name)
        assert agent.name == name == known(name)
        assert agent.permissions
        assert agent.protocol_version == PROTOCOL
        assert set(agent.protocols) <= set(MODEL_PROTOCOLS)
        assert provider_of(name) == "built in"


def test_an_unknown_agent_is_refused_with_the_names_that_there_are() -> None:
    with pytest.raises(ConfigError, match="'magic'") as caught:
        find("magic")
    assert ", ".join(BUILT_IN) in caught.value.hint
    with pytest.raises(ValueError, match=", ".join(BUILT_IN)):
        AgentSettings(kind="magic")
    assert provider_of("magic") == "not installed"


def test_a_command_is_taken_as_it_is() -> None:
    agent, order = CommandAgent(), AgentConfig(("/usr/bin/ruff", "check"))
    agent.check(order)
    assert agent.launch(order) == LaunchSpec(("/usr/bin/ruff", "check"))
    assert agent.title(order) == "command:ruff"
    assert agent.protocols == ()
    assert list(agent.parser()('{"type": "error"}')) == []
    with pytest.raises(ConfigError, match="command is empty"):
        agent.check(AgentConfig())


def test_a_command_is_judged_by_its_exit_code_alone() -> None:
    assert CommandAgent().judge(SessionResult(SessionTotals(), 0, changed=False)) is None
    judged = CommandAgent().judge(SessionResult(SessionTotals(), 3, changed=True))
    assert judged is not None
    assert (judged.fault, judged.message) == ("agent", "the agent ended with exit code 3")


GOOD = LaunchSpec(
    ("x",),
    {"A_1": "b"},
    {"a/b.txt": "c"},
    ("x", "--version"),
    stdin="@SQUIRE_PROMPT@",
    home={".x/config.toml": "d"},
    exclude=(".x*", ".cache/**/x"),
    restore=(".x/settings.json",),
)


def test_a_launch_that_can_be_started_is_itself() -> None:
    assert GOOD.checked("a") is GOOD
    assert GOOD.document() == {
        "argv": ["x"],
        "environment": {"A_1": "b"},
        "files": {"a/b.txt": "c"},
        "version": ["x", "--version"],
        "stdin": "@SQUIRE_PROMPT@",
        "home": {".x/config.toml": "d"},
        "exclude": [".x*", ".cache/**/x"],
        "restore": [".x/settings.json"],
    }


def test_a_worker_of_the_first_protocol_refuses_what_it_would_leave_out(tmp_path: Path) -> None:
    for launch, schema in (
        (LaunchSpec(("x",)), 1),
        (LaunchSpec(("x",), version=("x",), files={"a": "b"}), 1),
        (LaunchSpec(("x",), stdin=""), 2),
        (LaunchSpec(("x",), home={"a": "b"}), 2),
        (LaunchSpec(("x",), exclude=("a",)), 2),
        (LaunchSpec(("x",), restore=("a",)), 2),
    ):
        inputs = dataclasses.replace(make_inputs(tmp_path, command=("x",)), launch=launch)
        assert json.loads(inputs.attempt_json())["schema"] == schema


@pytest.mark.parametrize(
    "changes",
    [
        {"argv": ()},
        {"argv": (3,)},
        {"environment": {"PATH": "/x"}},
        {"environment": {"LD_PRELOAD": "/x"}},
        {"environment": {"a b": "x"}},
        {"files": {"../x": ""}},
        {"files": {"/etc/x": ""}},
        {"files": {".hidden": ""}},
        {"files": {"a//b": ""}},
        {"files": {str(number): "" for number in range(MAX_FILES + 1)}},
        {"files": {"a": "x" * (MAX_FILES_BYTES + 1)}},
        {"home": {"a": "x" * (MAX_FILES_BYTES + 1)}},
        {"stdin": "x" * (MAX_FILES_BYTES + 1)},
        {"home": {"../x": ""}},
        {"home": {"/etc/x": ""}},
        {"home": {"a/./b": ""}},
        {"home": {"a\n": ""}},
        {"exclude": ("/x",)},
        {"exclude": ("**",)},
        {"exclude": ("a/../b",)},
        {"exclude": (".git/x",)},
        {"restore": (".git",)},
        {"restore": ("a/.GIT/x",)},
        {"restore": ("..",)},
        {"restore": ("a*",)},
        {"restore": tuple(f"a{number}" for number in range(MAX_PATHS + 1))},
    ],
)
def test_a_launch_that_could_do_harm_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="'mine' cannot be started"):
        dataclasses.replace(GOOD, **changes).checked("mine")  # type: ignore[arg-type]  # wrong ones are the point


class OfTheFirstProtocol:
    name = "older"
    needs_gateway = True


class OfALaterProtocol(OfTheFirstProtocol):
    protocol_version = 3


class OfAnUnknownModel(CommandAgent):
    name = "older"
    protocols = ("openai", "telepathy")


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """An installed package that offers the class `module.Older` as the agent `older`."""
    module = SimpleNamespace(Older=None)
    monkeypatch.setitem(sys.modules, "older_package", module)
    point = EntryPoint("older", "older_package:Older", GROUP)
    monkeypatch.setattr(registry, "installed", lambda: {"older": point})
    find.cache_clear()
    yield module
    find.cache_clear()


@pytest.mark.parametrize(
    ("kind", "message", "hint"),
    [
        (
            OfTheFirstProtocol,
            "written for version 1 .* has version 2",
            "protocol_version = 2, and protocols instead of",
        ),
        (OfALaterProtocol, "written for version 3 .* has version 2", "a version of the package that fits"),
        (OfAnUnknownModel, "speaks telepathy, and there are openai, anthropic, gemini", "has the protocol"),
    ],
)
def test_an_agent_of_another_protocol_is_refused_with_what_to_change(
    package: SimpleNamespace, kind: type, message: str, hint: str
) -> None:
    package.Older = kind
    with pytest.raises(ConfigError, match=message) as caught:
        find("older")
    assert hint in caught.value.hint


def test_an_agent_is_told_the_protocol_of_its_provider_and_its_caps() -> None:
    settings = AgentSettings.model_validate({"kind": "opencode", "model": "m", "command": ["x"]})
    config = agent_config_of(settings, protocol="openai", caps=Caps(tokens=5))
    assert (config.protocol, config.base_url, config.caps) == (
        "openai",
        "http://127.0.0.1:@SQUIRE_PORT@",
        Caps(tokens=5),
    )
    assert config.command == (), "a command in general settings is not a program's"
    assert agent_config_of(settings).protocol == "openai", "without a named provider, what its program speaks best"
    command = AgentSettings.model_validate({"kind": "command", "command": ["x"]})
    assert agent_config_of(command, protocol="openai").protocol is None
    with pytest.raises(ConfigError, match="opencode speaks openai, and its provider gemini") as caught:
        agent_config_of(settings, protocol="gemini")
    assert "agent.provider" in caught.value.hint


def test_the_lists_of_programs_and_of_protocols_agree() -> None:
    """What the settings are checked by is listed apart, so that no adapter is loaded for it."""
    assert tuple(protocol.value for protocol in GatewayProtocol) == MODEL_PROTOCOLS
    assert tuple(agent.name for agent in registry._PROGRAMS) == PROGRAMS
    assert {find(name).name for name in BUILT_IN} == set(BUILT_IN)
