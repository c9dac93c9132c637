"""Reads from the ledger how far a cycle is: collected, planned, run, published, merged.

`squire run` and `squire demo` wait for the same and report the same.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import ColumnElement, func, select

from squire_pipelines.domain.budgets import BudgetLimits
from squire_pipelines.domain.change import Decision
from squire_pipelines.domain.outcomes import PullRequestState
from squire_pipelines.domain.queue_rules import QueueRules
from squire_pipelines.domain.states import EventSubject
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.execution.group_planning import due_groups
from squire_pipelines.ledger import attempts, collections, deliveries, outcomes, plans, tasks
from squire_pipelines.ledger.collections import RecordedCollection
from squire_pipelines.ledger.queue_waits import RulesOf, read_waits
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.ledger.tables import task_events
from squire_pipelines.ledger.tables import tasks as task_table
from squire_pipelines.ledger.waiting import Wait, WaitKind
from squire_pipelines.settings.model import Settings

_MAX_TASKS = 1000


@dataclass(frozen=True, slots=True)
class CycleTask:
    """A line of the report. `start_s`: seconds from ready to the agent's start, None when it never started.

    `waiting` says what the task waits for, and `waiting_for` the same as one word of `WaitKind`.
    """

    repository: str
    task_id: str
    title: str
    status: TaskStatus
    waiting: str | None
    waiting_for: WaitKind | None
    cause: str | None
    message: str | None
    start_s: float | None
    pr_url: str | None
    pr_number: int | None
    outcome: PullRequestState | None
    sandboxed: bool | None
    needs_approval: bool
    trace_id: str


@dataclass(frozen=True, slots=True)
class CycleState:
    """How far a cycle is.

    `unplanned` counts repositories, and groups whose plan the runs of one of them are to make.
    `rows` are the tasks that were created or ran since it began, `planned_tasks` how many plans have made since,
    and `asked_tasks` how many people have asked for since.
    """

    uncollected: int
    unplanned: int
    readings: tuple[RecordedCollection, ...]
    rows: tuple[CycleTask, ...]
    last_event: int
    planned_tasks: int
    asked_tasks: int = 0
    stopped: frozenset[str] = frozenset()

    @property
    def collected(self) -> bool:
        """Whether every source has been read or has failed with a reason."""
        return self.uncollected == 0

    @property
    def planned(self) -> bool:
        """Whether a plan has taken every reading into account."""
        return self.collected and self.unplanned == 0

    @property
    def under_way(self) -> tuple[CycleTask, ...]:
        """Tasks that run, or will soon without anybody's help: not those for which a cap leaves no room."""
        return tuple(
            row
            for row in self.rows
            if row.status is TaskStatus.RUNNING
            or (
                row.status is TaskStatus.READY
                and row.repository not in self.stopped
                and row.waiting_for is not WaitKind.CAP
            )
        )

    @property
    def settled(self) -> bool:
        """Whether nothing more happens by itself but on GitHub."""
        return self.planned and not self.under_way


def look(
    ledger: Ledger,
    repositories: Sequence[str],
    requests: Sequence[int],
    since: datetime,
    stopped: Collection[str] = (),
    *,
    settings: Settings | None = None,
    rules_of: RulesOf = lambda _: QueueRules(),
) -> CycleState:
    """Return the state of a cycle over `repositories` that the inbox rows `requests` asked for at `since`.

    Nothing is planned and started in `stopped` ones before their people change something: nobody waits for that, nor
    for a cap on pull requests, which `rules_of` has. `settings` have the groups that are planned; None for no group.
    """
    with ledger.read() as tx:
        waiting = {*collections.unplanned(tx), *plans.unadmitted(tx)}
        rows = tuple(_row(tx, task_id) for task_id in _tasks_since(tx, repositories, since))
        starting = {row.task_id: row.repository for row in rows if row.waiting_for is WaitKind.START}
        waits = read_waits(tx, starting, rules_of, lambda _: BudgetLimits())
        return CycleState(
            uncollected=len(deliveries.still_open(tx, requests)),
            unplanned=sum(name in waiting and name not in stopped for name in repositories)
            + (0 if settings is None else _unplanned_groups(tx, settings, repositories, stopped)),
            stopped=frozenset(stopped),
            readings=collections.latest(tx, repositories),
            rows=tuple(_with_wait(row, waits.get(row.task_id)) for row in rows),
            last_event=tasks.last_event_id(tx),
            planned_tasks=_count_since(tx, repositories, since, task_table.c.plan_id.is_not(None)),
            asked_tasks=_count_since(tx, repositories, since, task_table.c.plan_id.is_(None)),
        )


def _unplanned_groups(
    tx: Transaction, settings: Settings, repositories: Collection[str], stopped: Collection[str]
) -> int:
    return sum(group.repositories[0] in repositories for group in due_groups(tx, settings, stopped))


def _tasks_since(tx: Transaction, repositories: Sequence[str], since: datetime) -> list[str]:
    rows = tx.execute(
        select(task_table.c.id)
        .where(
            task_table.c.repository.in_(repositories),
            (task_table.c.updated_at >= since)
            | task_table.c.status.in_([TaskStatus.READY, TaskStatus.RUNNING, TaskStatus.PROPOSED]),
        )
        .order_by(task_table.c.repository, task_table.c.created_at, task_table.c.id)
        .limit(_MAX_TASKS)
    )
    return list(rows.scalars())


def _count_since(tx: Transaction, repositories: Sequence[str], since: datetime, origin: ColumnElement[bool]) -> int:
    """Return how many tasks of this origin were made since then; a person's requests have no plan."""
    count = (
        select(func.count())
        .select_from(task_table)
        .where(task_table.c.repository.in_(repositories), task_table.c.created_at >= since, origin)
    )
    return int(tx.execute(count).scalar_one())


def _with_wait(row: CycleTask, wait: Wait | None) -> CycleTask:
    return row if wait is None else replace(row, waiting=wait.text, waiting_for=wait.kind)


def _row(tx: Transaction, task_id: str) -> CycleTask:
    task = tasks.get(tx, task_id)
    tried = attempts.of_task(tx, task_id)
    last = tried[-1] if tried else None
    outcome = outcomes.get(tx, task_id)
    wait = tasks.waiting_reason(tx, task)
    return CycleTask(
        repository=task.repository,
        task_id=task.id,
        title=task.title,
        status=task.status,
        waiting=wait.text if wait is not None else None,
        waiting_for=wait.kind if wait is not None else None,
        cause=task.cause,
        message=task.message,
        start_s=_start_s(tx, task_id, [attempt.agent_started_at for attempt in tried if attempt.agent_started_at]),
        pr_url=outcome.pr_url if outcome else None,
        pr_number=outcome.pr_number if outcome else None,
        outcome=outcome.state if outcome else None,
        sandboxed=last.sandboxed if last else None,
        needs_approval=bool(last and last.verdict and last.verdict.decision is Decision.NEEDS_APPROVAL),
        trace_id=task.trace_id,
    )


def _start_s(tx: Transaction, task_id: str, started: Sequence[datetime]) -> float | None:
    """Return the time to the agent's first start from the last time before it that the task became ready.

    No wait before a retry counts.

    The same rule as the warehouse's `seconds_to_agent`.
    """
    if not started:
        return None
    first = min(started)
    rows = tx.execute(
        select(task_events.c.at).where(
            task_events.c.task_id == task_id,
            task_events.c.subject == EventSubject.TASK,
            task_events.c.after == TaskStatus.READY,
        )
    )
    moments = sorted(rows.scalars())
    ready = [moment for moment in moments if moment < first][-1:] or moments[:1]
    return (first - ready[0]).total_seconds() if ready else None
