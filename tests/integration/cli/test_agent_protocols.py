"""What the commands say of the protocol in which an agent is started, and of agents that only an order names."""

import json
from types import SimpleNamespace

import pytest

from squire_pipelines.agents import engine, version_check
from squire_pipelines.agents.agent_config import agent_config_of
from squire_pipelines.agents.version_check import ProgramCheck
from squire_pipelines.cli import agents_check
from squire_pipelines.sections.agents import AgentSettings
from tests.support.cli import REPOSITORY, Squire

ANTHROPIC, OPENAI = "https://api.anthropic.com/v1", "https://api.openai.com/v1"
REFUSED = "the agent claude-code speaks anthropic, and its provider openai"


def settings(kind: str, url: str) -> str:
    return f'repositories = ["{REPOSITORY}"]\n[agent]\nkind = "{kind}"\nmodel = "m"\nbase_url = "{url}"\n'


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None]]:
    """The agents whose program was asked, with what it was to speak; no engine and no provider is."""
    seen: list[tuple[str, str | None]] = []

    def check(_client: object, agent: AgentSettings, *, protocol: str | None = None) -> ProgramCheck:
        agent_config_of(agent, protocol=protocol)
        seen.append((agent.kind, protocol))
        return ProgramCheck(agent.worker_image, version="1")

    monkeypatch.setattr(version_check, "check_program", check)
    monkeypatch.setattr(engine, "connect", lambda *_args, **_options: SimpleNamespace(close=lambda: None))
    monkeypatch.setattr(agents_check, "ask_providers", lambda _settings: iter(()))
    return seen


def test_the_check_of_agents_asks_by_the_protocol_of_the_start(squire: Squire, asked: list[tuple[str, str]]) -> None:
    squire.config(settings("copilot", ANTHROPIC))
    squire.ok("agents", "check")
    assert asked == [("copilot", "anthropic")]
    squire.config(settings("claude-code", OPENAI))
    result = squire("agents", "check", "--json")
    assert (result.exit_code, REFUSED in json.loads(result.stdout)[0]["answer"]) == (1, True)


def test_an_agent_that_only_an_order_names_is_asked_too(squire: Squire, asked: list[tuple[str, str]]) -> None:
    squire.config('[agent]\nmodel = "m"\n[agents.codex]\nmodel = "own"\n')
    squire.ok("agents", "check")
    assert asked == [("opencode", "openai"), ("codex", "openai")]


@pytest.mark.usefixtures("no_engine")
@pytest.mark.parametrize(
    "text",
    [
        settings("claude-code", OPENAI),
        settings("opencode", OPENAI) + "[agents.claude-code]\n",
    ],
)
def test_doctor_refuses_what_no_attempt_can_be_started_with(squire: Squire, text: str) -> None:
    squire.config(text)
    rows = {row["name"]: row for row in json.loads(squire("doctor", "--json").stdout)}
    assert (rows["agent"]["status"], REFUSED in rows["agent"]["message"]) == ("fail", True)


@pytest.mark.usefixtures("no_engine")
def test_doctor_finds_an_agent_startable_in_the_protocol_of_its_provider(squire: Squire) -> None:
    squire.config(settings("copilot", ANTHROPIC))
    assert "agent" not in {row["name"] for row in json.loads(squire("doctor", "--json").stdout)}


def test_an_agent_is_shown_as_it_is_started(squire: Squire) -> None:
    squire.config('[providers.own]\nprotocol = "anthropic"\n[agent]\nprovider = "own"\n')
    assert "ANTHROPIC_API_KEY" in squire.ok("agents", "show", "aider")
    squire.config(settings("aider", OPENAI))
    assert "OPENAI_API_KEY" in squire.ok("agents", "show")
