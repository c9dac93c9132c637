"""Whether an attempt can start as its task and the settings want it, and with which limits."""

from collections.abc import Iterable, Sequence

from squire_pipelines.agents.adapters.registry import find
from squire_pipelines.agents.agent_config import check_agent
from squire_pipelines.agents.limits import effective_limits
from squire_pipelines.domain.agent_choice import AgentChoice, AgentOrder, TaskTraits, choose_agent
from squire_pipelines.domain.budgets import Purpose
from squire_pipelines.domain.endings import Cause, Ending, Evidence
from squire_pipelines.domain.provider_faults import UserFault
from squire_pipelines.domain.provider_limits import ProviderShortage, limited, no_room, share_of_day
from squire_pipelines.domain.tasks import AttemptStatus
from squire_pipelines.errors import ConfigError, ProviderBudgetError, SecretMissingError
from squire_pipelines.execution.tenant_keys import FindKey, find_tenant_key
from squire_pipelines.gateway.clouds.libraries import check_installed
from squire_pipelines.ledger import attempts, provider_budgets, tasks
from squire_pipelines.ledger.attempts import Attempt
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tasks import Task
from squire_pipelines.sections.agents import AgentSettings, LimitSettings
from squire_pipelines.settings.model import Settings
from squire_pipelines.settings.model_use import calls_model, protocol_of
from squire_pipelines.settings.provider_uses import day_limits


def check_agent_of(
    settings: Settings,
    repository: str,
    choice: AgentChoice | None = None,
    find_key: FindKey | None = None,
) -> None:
    """Refuse settings with which an agent of one repository cannot start, or cannot call its model.

    Args:
        settings: The settings.
        repository: Whose agent.
        choice: Which agent; by default the one in `[agent]`.
        find_key: Finds a provider's key by its whole name; by default wherever secrets lie.

    Raises:
        ConfigError: The agent cannot start so, or does not speak its providers' protocol.
        SecretMissingError: Each of its providers needs a key, and has none that a request can have.
    """
    agent, providers = settings.agent_for(repository, choice), settings.agent_providers(repository, choice=choice)
    check_agent(agent, protocol=protocol_of(agent, providers[0]))
    if not calls_model(agent):
        return
    faults: list[tuple[str, UserFault]] = []
    for provider in providers:
        if provider.cloud is not None and len(providers) == 1:  # of several, the gateway leaves it out
            check_installed(provider.cloud.platform)
        if not provider.needs_key:
            return
        key = find_tenant_key(settings, repository, provider.secret, find_key)
        if (fault := provider.key_fault(key.reveal() if key is not None else None)) is None:
            return  # one that can be asked is enough: the gateway leaves the others out
        faults.append((provider.secret, fault))
    secret, fault = faults[0]
    raise SecretMissingError(fault.message, hint=fault.hint, context={"secret": secret})


def check_day_limits(ledger: Ledger, settings: Settings, repository: str, choice: AgentChoice | None = None) -> None:
    """Refuse an agent none of whose providers may cost more today. Raises ProviderBudgetError, ConfigError."""
    limits = day_limits(settings, repository, choice, None)
    usd = share_of_day(settings.budgets_for(repository).cap(Purpose.ATTEMPT), limits)
    if usd is None or len(limited(limits)) < len(limits):
        return
    with ledger.read() as tx:
        shortages = provider_budgets.shortages(tx, limited(limits), usd)
    if no_room(limits, shortages.values()):
        raise no_room_error(shortages.values(), usd)


def no_room_error(shortages: Iterable[ProviderShortage], usd: float) -> ProviderBudgetError:
    """Return what to tell where no provider has room for an attempt that may cost so many US dollars."""
    return ProviderBudgetError(
        f"no provider has room for an attempt of {usd:.2f} USD: {'; '.join(map(str, shortages))}",
        hint="tasks go on tomorrow, in UTC, or with a higher max_usd_per_day or another provider",
    )


def check_order(settings: Settings, repository: str, order: AgentOrder) -> None:
    """Refuse a person's order of an agent that there is none of, or that cannot call the ordered model.

    Raises:
        ConfigError: No agent has this name, its program does not speak its provider's protocol, or the settings allow
            it no such model.
    """
    choice = choose_agent(TaskTraits("", repository, "", order=order), settings.choice_rules(repository))
    agent, providers = settings.agent_for(repository, choice), settings.agent_providers(repository, choice=choice)
    program, protocol = find(agent.kind), protocol_of(agent, providers[0])
    try:
        check_agent(agent, protocol=protocol)
    except ConfigError as error:
        is_usual = order.agent == settings.choice_rules(repository).default
        if is_usual or protocol is None or not program.protocols or protocol in program.protocols:
            raise
        hint = _own_provider(settings, order.agent, program.protocols)
        raise ConfigError(error.message, hint=hint, context=error.context) from error
    if order.model is not None:
        if not program.protocols:
            raise ConfigError(f"the agent {order.agent} calls no model", hint="leave out the model")
        allowed = _models_of(settings, repository, order.agent)
        if order.model not in allowed:
            place = f"models of [providers.{providers[0].name}]" if agent.provider is not None else "gateway.models"
            raise ConfigError(
                f"the agent {order.agent} may not call the model {order.model!r}; it may call "
                f"{', '.join(allowed) or 'none'}",
                hint=f"{'name one of these, or ' if allowed else ''}write the model into {place}",
            )


def _own_provider(settings: Settings, agent: str, protocols: Sequence[str]) -> str:
    """Return how an agent gets a provider that it can ask, beside that of the usual agent."""
    known = next((name for name, table in settings.providers.items() if table.protocol in protocols), None)
    name = known or protocols[0]
    table = "" if known else f'[providers.{name}] with protocol = "{name}" and '
    return f'write {table}[agents.{agent}] with provider = "{name}"'


def _models_of(settings: Settings, repository: str, name: str) -> tuple[str, ...]:
    """Return the models that an agent may call: its own, those of rules, and its providers' others."""
    usual = AgentChoice(agent=name)
    named = [choice for choice in settings.possible_choices(repository) if choice.agent == name]
    models = [settings.agent_for(repository, choice).model for choice in (usual, *named)]
    for provider in settings.agent_providers(repository, choice=usual):
        models += [*provider.models, *provider.aliases]
    return tuple(dict.fromkeys(model for model in models if model is not None))


def limits_of(ledger: Ledger, agent: AgentSettings, task: Task, attempt: Attempt) -> LimitSettings:
    """Return what this attempt's container may use. Raises ConfigError when the task asks for more than it may."""
    after_oom = False
    if attempt.previous_id is not None:
        with ledger.read() as tx:
            after_oom = attempts.get(tx, attempt.previous_id).cause == Cause.OUT_OF_MEMORY
    return effective_limits(agent, task.spec.limits, after_oom=after_oom)


def why_not_startable(ledger: Ledger, settings: Settings, attempt_id: str) -> Ending | None:
    """Return why a queued attempt cannot start; None when it can, or has been claimed already."""
    with ledger.read() as tx:
        attempt = attempts.get(tx, attempt_id)
        task = tasks.get(tx, attempt.task_id)
    if attempt.status is not AttemptStatus.QUEUED:
        return None
    try:
        check_agent_of(settings, task.repository, attempt.choice)
        limits_of(ledger, settings.agent_for(task.repository, attempt.choice), task, attempt)
    except ConfigError as error:
        return Ending(cause=Cause.NOT_STARTABLE, message=str(error), evidence=Evidence(error_code=error.code))
    return None
