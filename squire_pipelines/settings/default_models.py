"""Names the model that an agent gets where the settings name a company's provider and no model. Pure."""

from collections.abc import Mapping
from types import MappingProxyType

from squire_pipelines.agent_names import PROGRAMS
from squire_pipelines.domain.provider_order import names_of
from squire_pipelines.gateway.model import Protocol
from squire_pipelines.sections.agents import AgentSettings
from squire_pipelines.settings.providers import PUBLIC_URLS, ProviderSettings

DEFAULT_MODELS: Mapping[str, str] = MappingProxyType(
    {
        Protocol.OPENAI.value: "gpt-5-mini",
        Protocol.ANTHROPIC.value: "claude-haiku-4-5",
        Protocol.GEMINI.value: "gemini-2.5-flash",
    }
)
"""A model of each protocol's own company that does small tasks at a small price."""
_OF_PROGRAMS = MappingProxyType({("codex", Protocol.OPENAI.value): "gpt-5-codex"})


def default_model(kind: str, protocol: str) -> str | None:
    """Return the model of an agent whose provider is the protocol's own company; None for an agent of a package."""
    if kind not in PROGRAMS:
        return None
    return _OF_PROGRAMS.get((kind, protocol)) or DEFAULT_MODELS.get(protocol)


def with_default_model(agent: AgentSettings, providers: Mapping[str, ProviderSettings]) -> AgentSettings:
    """Return the settings with a model, where their providers are tables of settings with a company's own address.

    Whoever has a server of their own, or a cloud's, among them has other models there, and has to name one.
    """
    tables = [providers.get(name) for name in names_of(agent.provider)]
    protocols = {_companys(table) if table is not None else None for table in tables}
    protocol = next(iter(protocols)) if len(protocols) == 1 else None
    if agent.model is not None or protocol is None:
        return agent
    return agent.model_copy(update={"model": default_model(agent.kind, protocol.value)})


def _companys(table: ProviderSettings) -> Protocol | None:
    """Return the protocol of a provider that is the protocol's own company; None for another's."""
    is_own = table.platform is None and table.base_url in {None, PUBLIC_URLS[table.protocol]}
    return table.protocol if is_own else None
