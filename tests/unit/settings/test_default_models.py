"""An agent without a model gets one of its provider's company, and none of anybody else's."""

import re
from pathlib import Path

import pytest

from squire_pipelines.agent_names import PROGRAMS
from squire_pipelines.agents.adapters.registry import find
from squire_pipelines.gateway.model import Protocol
from squire_pipelines.sections.agents import AgentSettings
from squire_pipelines.settings.default_models import DEFAULT_MODELS, default_model, with_default_model
from squire_pipelines.settings.model import Settings
from squire_pipelines.settings.providers import PUBLIC_URLS, ProviderSettings

CLAUDE = ProviderSettings(protocol=Protocol.ANTHROPIC)
OWN = ProviderSettings(protocol=Protocol.OPENAI, base_url="http://llm.example.com/v1")
CLOUD = ProviderSettings.model_validate({"protocol": "anthropic", "platform": "bedrock", "region": "eu-west-1"})
SPELT = ProviderSettings(protocol=Protocol.GEMINI, base_url=PUBLIC_URLS[Protocol.GEMINI])

PROXY = ProviderSettings(protocol=Protocol.ANTHROPIC, base_url="http://llm.example.com/v1")
TABLES = {"claude": CLAUDE, "other": CLAUDE, "own": OWN, "proxy": PROXY, "spelt": SPELT, "cloud": CLOUD}


@pytest.mark.parametrize(
    ("agent", "model"),
    [
        (AgentSettings(kind="claude-code", provider="claude"), "claude-haiku-4-5"),
        (AgentSettings(kind="claude-code", provider=("claude", "other")), "claude-haiku-4-5"),
        (AgentSettings(kind="claude-code", provider=("claude", "proxy")), None),
        (AgentSettings(kind="claude-code", provider=("claude", "missing")), None),
        (AgentSettings(kind="claude-code", provider={"claude": 9, "proxy": 1}), None),
        (AgentSettings(kind="claude-code", provider=("claude", "cloud")), None),
        (AgentSettings(kind="gemini", provider="spelt"), "gemini-2.5-flash"),
        (AgentSettings(kind="claude-code", provider="claude", model="mine"), "mine"),
        (AgentSettings(kind="opencode", provider="own"), None),
        (AgentSettings(kind="claude-code", provider="cloud"), None),
        (AgentSettings(kind="opencode"), None),
        (AgentSettings(kind="opencode", provider="missing"), None),
        (AgentSettings(kind="command", command=("x",), provider="claude"), None),
    ],
)
def test_a_companys_provider_gives_a_model(agent: AgentSettings, model: str | None) -> None:
    assert with_default_model(agent, TABLES).model == model


def test_the_settings_have_the_agent_with_its_model() -> None:
    settings = Settings.model_validate(
        {"providers": {"claude": {"protocol": "anthropic"}}, "agent": {"kind": "claude-code", "provider": "claude"}}
    )
    assert settings.agent_for("acme/sample").model == "claude-haiku-4-5"


def test_every_program_has_one_for_each_protocol_that_it_speaks() -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "agents.md").read_text(encoding="utf-8")
    section = page.partition("## Models by default")[2].partition("\n## ")[0]
    named = set(re.findall(r"`([a-z0-9.-]+)`", section))
    models = {default_model(name, protocol) for name in PROGRAMS for protocol in find(name).protocols}
    assert None not in models
    assert models <= named
    assert set(DEFAULT_MODELS) == {protocol.value for protocol in Protocol}
