"""Which models the settings have called, by whom and at which provider: what is checked before any is."""

from dataclasses import dataclass

from squire_pipelines.model_providers import ModelProvider
from squire_pipelines.settings import Settings


@dataclass(frozen=True, slots=True)
class ProviderUse:
    """A model that is called at a provider.

    Args:
        user: Who calls it: `planner` or `agent`.
        provider: Where.
        model: As the settings name it.
        repositories: Whose agents call it; empty for the planner, and for settings that name no repository.
    """

    user: str
    provider: ModelProvider
    model: str
    repositories: tuple[str, ...] = ()


def provider_uses(settings: Settings) -> tuple[ProviderUse, ...]:
    """Return each model that is called, once at each provider: the planner's, then the agents'."""
    planner = settings.planner
    uses: list[ProviderUse] = []
    if planner.kind != "rules" and planner.model is not None:
        uses.append(ProviderUse("planner", settings.planner_provider, planner.model))
    agents: dict[tuple[str, str | None, str], list[str]] = {}
    providers: dict[tuple[str, str | None, str], ModelProvider] = {}
    for repository in settings.repositories or ("",):
        model = settings.agent_for(repository).model
        for provider in settings.agent_providers(repository) if model is not None else ():
            key = (provider.name, provider.base_url, model or "")
            agents.setdefault(key, []).append(repository)
            providers.setdefault(key, provider)
    for key, repositories in agents.items():
        uses.append(ProviderUse("agent", providers[key], key[2], tuple(filter(None, repositories))))
    return tuple(uses)
