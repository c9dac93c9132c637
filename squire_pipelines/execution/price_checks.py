"""Models whose price nobody knows: told before they are called, since no budget in US dollars can be kept with one."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from squire_pipelines.domain.agent_choice import AgentChoice
from squire_pipelines.domain.budgets import Purpose
from squire_pipelines.domain.provider_limits import share_of_day
from squire_pipelines.errors import ConfigError
from squire_pipelines.gateway.prices import find_price
from squire_pipelines.sections.types import DEFAULT_PROVIDER
from squire_pipelines.settings.model import Settings
from squire_pipelines.settings.model_use import calls_model
from squire_pipelines.settings.provider_uses import ProviderUse, day_limits, provider_uses
from squire_pipelines.settings.providers import ModelProvider


@dataclass(frozen=True, slots=True)
class UnpricedModel:
    """A model that is called at a provider, and whose price nobody knows.

    Args:
        user: Who calls it: `planner` or `agent`.
        model: As the provider calls it.
        provider: Its name in the settings.
        has_limit: Whether a limit in US dollars holds for a call.
    """

    user: str
    model: str
    provider: str
    has_limit: bool

    @property
    def effect(self) -> str:
        """What a budget makes of it, in words."""
        if not self.has_limit:
            return "what it costs is recorded as not known, unless its provider states it"
        if self.user == "planner":
            return "each plan counts with all that it reserved of the budgets in US dollars"
        return "a budget in US dollars cannot be kept with it, so that no attempt starts"

    def __str__(self) -> str:
        return f"the price of {self.model} at the provider {self.provider} is not known: {self.effect}"

    @property
    def hint(self) -> str:
        """What to do about it."""
        table = "gateway" if self.provider == DEFAULT_PROVIDER else f"providers.{self.provider}"
        own = f'set it in [{table}.prices."{self.model}"] (input and output, US dollars for a million tokens)'
        return f"{own}, or limit tokens instead" if self.has_limit else own


def unpriced_models(settings: Settings) -> Iterator[UnpricedModel]:
    """Yield the models without a known price among those that the settings have called. Raises ConfigError."""
    for use in provider_uses(settings):
        # The planner's default provider is named by its model.
        model = use.model.partition(":")[2] or use.model if use.provider.base_url is None else use.model
        if not is_priced(use.provider, model):
            yield UnpricedModel(use.user, model, use.provider.name, _has_limit(settings, use))


def _has_limit(settings: Settings, use: ProviderUse) -> bool:
    day = use.provider.limits.max_usd_per_day is not None
    if use.user == "planner":
        names = settings.repositories or ("",)
        return day or any(settings.budgets_for(name).cap(Purpose.PLAN).usd is not None for name in names)
    return day or any(
        settings.budgets_for(name).cap(Purpose.ATTEMPT).usd is not None for name in use.repositories or ("",)
    )


def check_prices(settings: Settings, repository: str, choice: AgentChoice | None = None) -> None:
    """Refuse an agent of whose model no provider's price is known while a limit in US dollars holds for its attempts.

    Raises:
        ConfigError: It could call nothing.
    """
    agent = settings.agent_for(repository, choice)
    if agent.model is None or not calls_model(agent):
        return
    limits = day_limits(settings, repository, choice, None)
    if share_of_day(settings.budgets_for(repository).cap(Purpose.ATTEMPT), limits) is None:
        return
    providers = settings.agent_providers(repository, choice=choice)
    # A provider's other models, which the agent may name, are asked about only where the first one has no price.
    if any(is_priced(provider, name) for provider in providers for name in (agent.model, *provider.models)):
        return
    unpriced = UnpricedModel("agent", agent.model, providers[0].name, has_limit=True)
    raise ConfigError(str(unpriced), hint=unpriced.hint)


def is_priced(provider: ModelProvider, model: str) -> bool:
    """Return whether the settings or the price library know what a model costs at a provider."""
    name = provider.aliases.get(model, model)
    return name in provider.prices or _is_in_library(name, provider.base_url)


@lru_cache(maxsize=256)
def _is_in_library(model: str, base_url: str | None) -> bool:
    return find_price(model, {}, api_url=base_url) is not None
