"""Whether an agent calls a model and what it speaks, as all who ask are told."""

import pytest

from squire_pipelines.gateway.model import Protocol
from squire_pipelines.sections.agents import AgentSettings
from squire_pipelines.settings.model import Settings
from squire_pipelines.settings.model_use import calls_model, protocol_of

ANTHROPIC, OPENAI = "https://api.anthropic.com/v1", "https://api.openai.com/v1"
GOOGLE = "https://generativelanguage.googleapis.com/v1beta"


def spoken(**agent: object) -> Protocol | None:
    settings = Settings.model_validate({"agent": {"model": "m"} | agent})
    return protocol_of(settings.agent_for(""), settings.agent_provider(""))


@pytest.mark.parametrize(
    ("kind", "url", "protocol"),
    [
        ("copilot", ANTHROPIC, Protocol.ANTHROPIC),
        ("copilot", OPENAI, Protocol.OPENAI),
        ("claude-code", OPENAI, Protocol.OPENAI),
        ("opencode", f"{GOOGLE}/openai", Protocol.OPENAI),
        ("gemini", GOOGLE, Protocol.GEMINI),
        ("pi", "https://llm.example.com/v1", None),
    ],
)
def test_the_address_of_a_provider_without_a_name_says_what_is_spoken(
    kind: str, url: str, protocol: Protocol | None
) -> None:
    assert spoken(kind=kind, base_url=url) is protocol


def test_an_agent_that_calls_no_model_speaks_nothing() -> None:
    inherited = AgentSettings(kind="command", command=("true",), model="m")
    assert not calls_model(inherited)
    assert not calls_model(AgentSettings(kind="codex"))
    assert calls_model(AgentSettings(kind="codex", model="m"))
    assert spoken(kind="command", command=["true"], base_url=ANTHROPIC) is None
    assert spoken(kind="copilot", model=None, base_url=ANTHROPIC) is None
