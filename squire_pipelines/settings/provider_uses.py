"""Which models the settings have called, by whom and at which provider: what is checked before any is."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from squire_pipelines.domain.agent_choice import AgentChoice
from squire_pipelines.domain.provider_limits import DayLimits, limited
from squire_pipelines.domain.tenants import DEFAULT_TENANT
from squire_pipelines.secret_names import tenant_secret
from squire_pipelines.settings.model import Settings
from squire_pipelines.settings.model_use import calls_model
from squire_pipelines.settings.providers import ModelProvider


@dataclass(frozen=True, slots=True)
class ProviderUse:
    """A model that is called at a provider.

    Args:
        user: Who calls it: `planner` or `agent`.
        provider: Where.
        model: As the settings name it.
        repositories: Whose agents call it; empty for the planner, and for settings that name no repository.
        kinds: Of these agents.
        tenant: With whose key; the default one stands for the house.
    """

    user: str
    provider: ModelProvider
    model: str
    repositories: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    tenant: str = DEFAULT_TENANT

    @property
    def secret(self) -> str:
        """The whole name of the provider's key."""
        name = self.provider.secret
        return name if self.tenant == DEFAULT_TENANT else tenant_secret(self.tenant, name)


def day_limits(settings: Settings, repository: str, choice: AgentChoice | None, attempt_id: str | None) -> DayLimits:
    """Return the limits of a day of an agent's providers; none for an agent that calls no model. Raises ConfigError.

    Args:
        settings: The settings.
        repository: Whose agent.
        choice: Which agent, see `Settings.agent_for`.
        attempt_id: Of which attempt, see `Settings.agent_providers`.
    """
    if not calls_model(settings.agent_for(repository, choice)):
        return {}
    providers = settings.agent_providers(repository, attempt_id, choice)
    return {provider.name: provider.limits.max_usd_per_day for provider in providers}


def providers_with_day_limits(settings: Settings) -> dict[str, float]:
    """Return the US dollars a day of each provider of the settings that has such a limit."""
    tables = [settings.providers, *(tenant.providers for tenant in settings.tenants.values())]
    return limited({name: table.max_usd_per_day for several in tables for name, table in several.items()})


def provider_uses(settings: Settings) -> tuple[ProviderUse, ...]:
    """Return each model that is called, once at each provider and with each tenant's key: planners', then agents'."""
    uses = [use for tenant in settings.tenant_names for use in _planner_uses(settings, tenant)]
    agents: dict[tuple[str, str | None, str, str], ProviderUse] = {}
    for repository in settings.repositories or ("",):
        for choice in settings.orderable_choices(repository):
            agent, tenant = settings.agent_for(repository, choice), settings.tenant_of(repository)
            providers = settings.agent_providers(repository, choice=choice) if calls_model(agent) else ()
            for provider in providers:
                key = provider.name, provider.base_url, agent.model or "", tenant
                use = agents.get(key, ProviderUse("agent", provider, key[2], tenant=tenant))
                names = dict.fromkeys((*use.repositories, *filter(None, (repository,))))
                kinds = dict.fromkeys((*use.kinds, agent.kind))
                agents[key] = replace(use, repositories=tuple(names), kinds=tuple(kinds))
    return (*uses, *agents.values())


def _planner_uses(settings: Settings, tenant: str) -> Iterator[ProviderUse]:
    own = settings.for_tenant(tenant) if settings.tenants else settings
    if own.planner.kind != "rules" and own.planner.model is not None:
        for provider in own.planner_providers():
            yield ProviderUse("planner", provider, own.planner.model, tenant=tenant)
