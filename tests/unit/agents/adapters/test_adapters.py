"""The protocol's checks, the agent `command`, and finding agents by name."""

import dataclasses

import pytest

from squire_pipelines.agent_names import known, names
from squire_pipelines.agents.adapters.command import CommandAgent
from squire_pipelines.agents.adapters.protocol import MAX_FILES, MAX_FILES_BYTES, AgentConfig, LaunchSpec, SessionResult
from squire_pipelines.agents.adapters.registry import find, provider_of
from squire_pipelines.agents.adapters.transcript import SessionTotals
from squire_pipelines.errors import ConfigError
from squire_pipelines.sections import AgentSettings


def test_the_built_in_agents_are_found() -> None:
    assert names()[:2] == ("opencode", "command")
    for name in ("opencode", "command"):
        agent = find(name)
        assert agent.name == name == known(name)
        assert agent.permissions
        assert provider_of(name) == "built in"


def test_an_unknown_agent_is_refused_with_the_names_that_there_are() -> None:
    with pytest.raises(ConfigError, match="'magic'") as caught:
        find("magic")
    assert "opencode, command" in caught.value.hint
    with pytest.raises(ValueError, match="opencode, command"):
        AgentSettings(kind="magic")
    assert provider_of("magic") == "not installed"


def test_a_command_is_taken_as_it_is() -> None:
    agent, order = CommandAgent(), AgentConfig(("/usr/bin/ruff", "check"))
    agent.check(order)
    assert agent.launch(order) == LaunchSpec(("/usr/bin/ruff", "check"))
    assert agent.title(order) == "command:ruff"
    assert not agent.needs_gateway
    assert list(agent.parser()('{"type": "error"}')) == []
    with pytest.raises(ConfigError, match="command is empty"):
        agent.check(AgentConfig())


def test_a_command_is_judged_by_its_exit_code_alone() -> None:
    assert CommandAgent().judge(SessionResult(SessionTotals(), 0, changed=False)) is None
    judged = CommandAgent().judge(SessionResult(SessionTotals(), 3, changed=True))
    assert judged is not None
    assert (judged.fault, judged.message) == ("agent", "the agent ended with exit code 3")


GOOD = LaunchSpec(("x",), {"A_1": "b"}, {"a/b.txt": "c"}, ("x", "--version"))


def test_a_launch_that_can_be_started_is_itself() -> None:
    assert GOOD.checked("a") is GOOD
    assert GOOD.document() == {
        "argv": ["x"],
        "environment": {"A_1": "b"},
        "files": {"a/b.txt": "c"},
        "version": ["x", "--version"],
    }


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
    ],
)
def test_a_launch_that_could_do_harm_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="'mine' cannot be started"):
        dataclasses.replace(GOOD, **changes).checked("mine")  # type: ignore[arg-type]  # wrong ones are the point
