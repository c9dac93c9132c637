"""Which providers an attempt's gateway asks for its model, and what the attempt may cost there."""

from collections.abc import Mapping
from dataclasses import replace

from squire_pipelines.agents.adapters.registry import find
from squire_pipelines.domain.budgets import Purpose
from squire_pipelines.domain.endings import SETTINGS_MARK
from squire_pipelines.domain.provider_faults import FaultKind, UserFault, tell_waiting
from squire_pipelines.domain.provider_limits import ProviderShortage, limited, share_of_day
from squire_pipelines.errors import ConfigError, NotReachableError, SecretMissingError, SquireError
from squire_pipelines.execution.lease import LeasedAttempt
from squire_pipelines.execution.startable import no_room_error
from squire_pipelines.execution.tenant_keys import find_tenant_key
from squire_pipelines.gateway.clouds.cloud import Cloud
from squire_pipelines.gateway.clouds.credentials import CredentialSource
from squire_pipelines.gateway.prices import Price
from squire_pipelines.gateway.upstream import Upstream
from squire_pipelines.ledger.provider_budgets import reserve_at_providers
from squire_pipelines.secrets import Secret
from squire_pipelines.sections.agents import AgentSettings
from squire_pipelines.settings.model import Settings
from squire_pipelines.settings.provider_uses import day_limits
from squire_pipelines.settings.providers import ModelProvider


def find_upstreams(
    leased: LeasedAttempt, settings: Settings, present_mark: str, *, in_container: bool
) -> tuple[tuple[Upstream, ...], dict[str, str]]:
    """Return the providers of the agent's model in their order, and why others are left out.

    None of either for an agent that calls no model.

    Raises:
        SecretMissingError: No provider can be asked, since each lacks its key, or credentials that can be lent to a
            gateway in a container. Its context has the mark, with which the task waits.
        ProviderBudgetError: The limits of a day of all that could be asked have no room.
        NotReachableError: None can, and what gives one of them its credentials does not answer now.
    """
    repository = leased.task.repository
    choice = leased.attempt.choice
    agent = settings.agent_for(repository, choice)
    upstreams: list[Upstream] = []
    faults: dict[str, UserFault] = {}
    passing: dict[str, NotReachableError] = {}
    if agent.model is None or not find(agent.kind).protocols:
        return (), {}
    shortages = _shortages(leased, settings)
    providers = settings.agent_providers(repository, leased.attempt.id, choice)
    for provider in (provider for provider in providers if provider.name not in shortages):
        try:
            cloud = _lent(provider.cloud, _longest_s(leased, agent)) if in_container else provider.cloud
        except ConfigError as problem:
            hint = problem.hint or (provider.cloud.words.renew if provider.cloud is not None else "")
            faults[provider.name] = UserFault(FaultKind.KEY, problem.message, hint, is_noticed=False)
            continue
        except NotReachableError as problem:
            passing[provider.name] = problem
            continue
        key = find_tenant_key(settings, repository, provider.secret) if cloud is None else None
        if (fault := provider.key_fault(key.reveal() if key is not None else None)) is not None:
            faults[provider.name] = fault
        elif provider.base_url is not None:
            upstreams.append(_upstream(provider, provider.base_url, agent.model, key, cloud))
    usd = share_of_attempt(leased, settings) or 0.0
    if not upstreams and (error := _why_none(passing, faults, shortages, usd, present_mark)) is not None:
        raise error
    return tuple(upstreams), {name: str(reason) for name, reason in (faults | passing | shortages).items()}


def _why_none(
    passing: Mapping[str, NotReachableError],
    faults: Mapping[str, UserFault],
    shortages: Mapping[str, ProviderShortage],
    usd: float,
    present_mark: str,
) -> SquireError | None:
    if passing:
        return next(iter(passing.values()))
    if faults:
        return SecretMissingError(tell_waiting(faults.values()), context={SETTINGS_MARK: present_mark})
    return no_room_error(shortages.values(), usd) if shortages else None


def _lent(cloud: Cloud | None, longest_s: float) -> Cloud | None:
    return replace(cloud, credential=CredentialSource(cloud).lend(longest_s)) if cloud is not None else None


def _upstream(provider: ModelProvider, base_url: str, model: str, key: Secret | None, cloud: Cloud | None) -> Upstream:
    return Upstream(
        base_url,
        key.reveal() if key else None,
        models=(model, *provider.models),
        aliases=provider.aliases,
        prices={name: Price(**price.model_dump()) for name, price in provider.prices.items()},
        words=provider.words,
        protocol=provider.protocol,
        cloud=cloud,
        limits=provider.limits,
        states_cost=provider.states_cost,
    )


def _shortages(leased: LeasedAttempt, settings: Settings) -> dict[str, ProviderShortage]:
    """Reserve the attempt's share at the providers that have a limit of the day, and return those without room."""
    limits = limited(day_limits(settings, leased.task.repository, leased.attempt.choice, leased.attempt.id))
    usd = share_of_attempt(leased, settings)
    if not limits or usd is None:
        return {}
    with leased.ledger.write() as tx:
        return reserve_at_providers(tx, leased.attempt.id, limits, usd)


def share_of_attempt(leased: LeasedAttempt, settings: Settings) -> float | None:
    """Return the US dollars that the attempt may cost; None for any number."""
    limits = day_limits(settings, leased.task.repository, leased.attempt.choice, leased.attempt.id)
    return share_of_day(settings.budgets_for(leased.task.repository).cap(Purpose.ATTEMPT), limits)


def _longest_s(leased: LeasedAttempt, agent: AgentSettings) -> float:
    """Return how long the attempt's agent may run."""
    own = leased.task.spec.limits
    return max(agent.limits.wall_clock_s, (own.wall_clock_s if own is not None else None) or 0.0)
