"""What of a task decides which agent it gets: its kind, its labels as they are now, its order, its agents' failures."""

from collections.abc import Callable, Iterator

from sqlalchemy import func, select

from squire_pipelines.domain.agent_choice import AgentChoice, AgentOrder, TaskTraits
from squire_pipelines.domain.endings import AGENTS_FAILURES
from squire_pipelines.domain.signals import FailedCheck, OpenIssue, OpenPullRequest, ReviewFinding, Signal, SignalKind
from squire_pipelines.domain.tasks import TaskSpec, TaskStatus
from squire_pipelines.ledger.collections import named_signals
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.stored_json import read_json
from squire_pipelines.ledger.tables import attempts, tasks

MAX_SIGNALS = 20
"""Of a task, whose labels are read."""
MAX_ORDERED = 1000

ChooseAgent = Callable[[TaskTraits], AgentChoice | None]
"""Chooses the agent of a task's next attempt; None when that one cannot start, so that the task waits."""


def traits_of(tx: Transaction, task_id: str, repository: str, kind: str, stored_spec: object) -> TaskTraits:
    """Return what of a task decides which agent its next attempt gets; of its specification, what can be read."""
    spec = read_json(TaskSpec, stored_spec)
    signals = named_signals(tx, repository, spec.signals[:MAX_SIGNALS] if spec is not None else ())
    pulls = dict.fromkeys(f"{SignalKind.OPEN_PR}:{number}" for number in _pull_requests(signals))
    labels = frozenset(
        label for signal in (*signals, *named_signals(tx, repository, [*pulls])) for label in _labels(signal)
    )
    return TaskTraits(
        task_id, repository, kind, labels, spec.agent if spec is not None else None, count_agent_failures(tx, task_id)
    )


def count_agent_failures(tx: Transaction, task_id: str) -> int:
    """Return how many of a task's attempts have failed with the agent as the cause."""
    query = select(func.count()).where(attempts.c.task_id == task_id, attempts.c.cause.in_(AGENTS_FAILURES))
    return int(tx.execute(query).scalar_one())


def ready_orders(tx: Transaction) -> frozenset[tuple[str, AgentOrder]]:
    """Return the agents that people want for tasks which are ready, with the repository of each."""
    order = tasks.c.spec["agent"]
    rows = tx.execute(
        select(tasks.c.repository, order)
        .where(tasks.c.status == TaskStatus.READY, order["agent"].as_string().is_not(None))
        .limit(MAX_ORDERED)
    )
    read = ((repository, read_json(AgentOrder, stored)) for repository, stored in rows)
    return frozenset((repository, agent) for repository, agent in read if agent is not None)


def _pull_requests(signals: tuple[Signal, ...]) -> Iterator[int]:
    for signal in signals:
        if isinstance(signal.details, FailedCheck | ReviewFinding) and signal.details.pull_request is not None:
            yield signal.details.pull_request


def _labels(signal: Signal) -> tuple[str, ...]:
    return signal.details.labels if isinstance(signal.details, OpenIssue | OpenPullRequest) else ()
