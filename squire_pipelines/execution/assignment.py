"""Which agent each attempt gets at its dispatch, and which agents cannot start as the settings are."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from squire_pipelines.domain.agent_choice import AgentChoice, AgentOrder, TaskTraits, choose_agent
from squire_pipelines.errors import ConfigError, SquireError
from squire_pipelines.execution.startable import check_agent_of
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.task_traits import ready_orders
from squire_pipelines.secrets import Secret
from squire_pipelines.sections import AgentSettings
from squire_pipelines.settings import Settings

_AgentKey = tuple[str, str, str | None]


@dataclass(frozen=True, slots=True)
class Assignments:
    """Chooses each attempt's agent among those that can start.

    Args:
        settings: Have the rules.
        problems: Why an agent cannot start, by repository, name, and the model that an order or a rule names.
        ordered: The repositories with tasks for which people want an agent.
    """

    settings: Settings
    problems: Mapping[_AgentKey, str]
    ordered: frozenset[str] = frozenset()

    def choose(self, task: TaskTraits) -> AgentChoice | None:
        """Return the agent of a task's next attempt; None when that one cannot start: the task waits for it."""
        choice = choose_agent(task, self.settings.choice_rules(task.repository))
        return (
            None if _key(task.repository, choice) in self.problems else resolve(self.settings, task.repository, choice)
        )

    @property
    def unready(self) -> dict[str, str]:
        """The repositories none of whose agents can start, and why: all of their tasks wait."""
        problems = {}
        for name in self.settings.repositories:
            keys = [_key(name, choice) for choice in self.settings.possible_choices(name)]
            if name not in self.ordered and all(key in self.problems for key in keys):
                problems[name] = self.problems[keys[0]]
        return problems


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
        preflight: Asks the engine whether an agent can start there.
    """
    with ledger.read() as tx:
        orders = ready_orders(tx)
    problems: dict[_AgentKey, str] = {}
    for repository, choice in _choices(settings, orders):
        key = _key(repository, choice)
        try:
            check_agent_of(settings, repository, choice, find_key)
        except ConfigError as error:
            problems[key] = str(error)
            continue
        problem = preflight(settings.agent_for(repository, choice))
        if problem is not None:
            problems[key] = str(problem)
    return Assignments(settings, problems, frozenset(repository for repository, _ in orders))


def _choices(settings: Settings, orders: frozenset[tuple[str, AgentOrder]]) -> Iterator[tuple[str, AgentChoice]]:
    yield from settings.every_choice
    for repository, order in sorted(orders, key=str):
        yield repository, choose_agent(TaskTraits("", repository, "", order=order), settings.choice_rules(repository))


def _key(repository: str, choice: AgentChoice) -> _AgentKey:
    return repository, choice.agent, choice.named_model
