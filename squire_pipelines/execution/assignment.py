"""Which agent each attempt gets at its dispatch, and which agents cannot start as the settings are."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from squire_pipelines.deadline import Deadline
from squire_pipelines.domain.agent_choice import AgentChoice, AgentOrder, TaskTraits, choose_agent
from squire_pipelines.errors import ConfigError, ProviderBudgetError, SquireError
from squire_pipelines.execution.price_checks import check_prices
from squire_pipelines.execution.serving_workers import start_check
from squire_pipelines.execution.startable import check_agent_of, check_day_limits
from squire_pipelines.ledger import tasks
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.ledger.task_traits import ready_orders, traits_of
from squire_pipelines.ledger.tasks import Task
from squire_pipelines.secrets import Secret
from squire_pipelines.sections.agents import AgentSettings
from squire_pipelines.settings.model import Settings

_AgentKey = tuple[str, str, str | None]
_OF_SETTINGS = (ConfigError, ProviderBudgetError)


@dataclass(frozen=True, slots=True)
class Assignments:
    """Chooses each attempt's agent among those that can start.

    Args:
        settings: Have the rules.
        problems: Why an agent cannot start, by repository, name, and the model that an order or a rule names.
        ordered: The repositories with tasks for which people want an agent.
    """

    settings: Settings
    problems: Mapping[_AgentKey, SquireError]
    ordered: frozenset[str] = frozenset()

    def choose(self, task: TaskTraits) -> AgentChoice | None:
        """Return the agent of a task's next attempt; None when that one cannot start: the task waits for it."""
        choice = choose_agent(task, self.settings.choice_rules(task.repository))
        if _key(task.repository, choice) in self.problems:
            return None
        return resolve(self.settings, task.repository, choice)

    def problem_of(self, task: TaskTraits) -> tuple[str, SquireError] | None:
        """Return the agent that a task's next attempt would get, and why it cannot start; None when it can."""
        choice = choose_agent(task, self.settings.choice_rules(task.repository))
        problem = self.problems.get(_key(task.repository, choice))
        return None if problem is None else (choice.agent, problem)

    @property
    def unready(self) -> dict[str, str]:
        """The repositories none of whose agents can start, and why: all of their tasks wait."""
        problems = {}
        for name in self.settings.repositories:
            keys = [_key(name, choice) for choice in self.settings.possible_choices(name)]
            if name not in self.ordered and all(key in self.problems for key in keys):
                problems[name] = str(self.problems[keys[0]])
        return problems

    @property
    def on_hold(self) -> dict[str, str]:
        """Those of `unready` that wait for the settings, a key or a provider's next day, and not for an engine."""
        reasons = {str(error) for error in self.problems.values() if isinstance(error, _OF_SETTINGS)}
        return {name: why for name, why in self.unready.items() if why in reasons}


def resolve(settings: Settings, repository: str, choice: AgentChoice) -> AgentChoice:
    """Return a choice with its agent's kind and model, as they are recorded. Raises ConfigError."""
    agent = settings.agent_for(repository, choice)
    return choice.model_copy(update={"kind": agent.kind, "model": agent.model})


def find_assignments(
    ledger: Ledger,
    settings: Settings,
    find_key: Callable[[str], Secret | None],
    preflight: Callable[[AgentSettings], SquireError | None],
) -> Assignments:
    """Return which agent each task gets, after a check of every agent that one may get.

    Args:
        ledger: Has the orders of people.
        settings: Have the rules.
        find_key: Finds a provider's key by its name.
        preflight: Says why an agent cannot start: the engine, or `serving_workers`.
    """
    with ledger.read() as tx:
        orders = ready_orders(tx)
    problems: dict[_AgentKey, SquireError] = {}
    for repository, choice in _choices(settings, orders):
        problem = _problem(_Starts(ledger, settings, find_key, preflight), repository, choice)
        if problem is not None:
            problems[_key(repository, choice)] = problem
    return Assignments(settings, problems, frozenset(repository for repository, _ in orders))


def why_agent_cannot_start(ledger: Ledger, settings: Settings, task: Task, deadline: Deadline) -> SquireError | None:
    """Return why the agent of one task's next attempt cannot start, or None. The engine is asked until `deadline`."""
    from squire_pipelines.agents.preflight import Preflight  # noqa: PLC0415 - Docker's client, which lists do not need

    with ledger.read() as tx:
        choice = choose_agent(_traits(tx, task), settings.choice_rules(task.repository))
    ask = Preflight()
    check = start_check(ledger, settings, lambda agent: ask.problem(agent, deadline))
    starts = _Starts(ledger, settings, None, check)
    return _problem(starts, task.repository, choice)


def problems_of(
    tx: Transaction, assignments: Assignments, ids: Iterable[str]
) -> dict[str, tuple[str, SquireError] | None]:
    """Return, for each of these tasks, its next attempt's agent and why that cannot start; None where it can."""
    rows = (tasks.get(tx, task_id) for task_id in ids)
    return {task.id: assignments.problem_of(_traits(tx, task)) for task in rows}


def _traits(tx: Transaction, task: Task) -> TaskTraits:
    return traits_of(tx, task.id, task.repository, task.kind, task.spec.model_dump(mode="json"))


@dataclass(frozen=True, slots=True)
class _Starts:
    """What decides whether an agent can start; see `find_assignments`."""

    ledger: Ledger
    settings: Settings
    find_key: Callable[[str], Secret | None] | None
    preflight: Callable[[AgentSettings], SquireError | None]


def _problem(starts: _Starts, repository: str, choice: AgentChoice) -> SquireError | None:
    try:
        check_agent_of(starts.settings, repository, choice, starts.find_key)
        check_prices(starts.settings, repository, choice)
        check_day_limits(starts.ledger, starts.settings, repository, choice)
    except _OF_SETTINGS as error:
        return error
    return starts.preflight(starts.settings.agent_for(repository, choice))


def _choices(settings: Settings, orders: frozenset[tuple[str, AgentOrder]]) -> Iterator[tuple[str, AgentChoice]]:
    yield from settings.every_choice
    for repository, order in sorted(orders, key=str):
        yield repository, choose_agent(TaskTraits("", repository, "", order=order), settings.choice_rules(repository))


def _key(repository: str, choice: AgentChoice) -> _AgentKey:
    return repository, choice.agent, choice.named_model
