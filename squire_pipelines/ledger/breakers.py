"""Which ready tasks a breaker holds: counted from the attempts that there were, and told in the task's history once.

Tasks on one branch are of one pull request, and those made for one issue, with all on their branches, are of one issue.
An attempt that ended before a run took it up does not count: it did nothing.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, func, or_, select

from squire_pipelines.domain.breakers import AttemptCounts, Breaker, TrippedBreaker, tripped
from squire_pipelines.domain.budgets import day_of
from squire_pipelines.domain.queue_rules import QueueRules
from squire_pipelines.domain.signals import SignalKind
from squire_pipelines.domain.states import EventSubject
from squire_pipelines.domain.tasks import AttemptStatus, TaskStatus
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import attempts, task_events, task_signals, tasks
from squire_pipelines.ledger.tenants import of_tenant
from squire_pipelines.ledger.transitions import EventContext, record_event

_CHUNK = 400
_MAX_TASKS = 2_000


def read_tripped(
    tx: Transaction, rules: Mapping[str, QueueRules], task_ids: Iterable[str]
) -> dict[str, TrippedBreaker]:
    """Return the breaker that holds each of these tasks, of which at most 2,000 are looked at.

    Args:
        tx: The transaction.
        rules: What holds in each task's repository, by the task's id.
        task_ids: The tasks.
    """
    ids = [task_id for task_id in task_ids if rules[task_id].breaker is not None][:_MAX_TASKS]
    tripped_tasks = {}
    for task_id, counts in read_counts(tx, ids).items():
        breaker = rules[task_id].breaker
        trip = None if breaker is None else tripped(breaker, counts, day_of(tx.now) + timedelta(days=1))
        if trip is not None:
            tripped_tasks[task_id] = trip
    return tripped_tasks


def read_counts(tx: Transaction, task_ids: Sequence[str]) -> dict[str, AttemptCounts]:
    """Return the attempts that count for each of these tasks."""
    if not task_ids:
        return {}
    day = attempts_today(tx)
    of_task, of_issue = _by_task(tx, task_ids), _by_issue(tx, task_ids)
    return {task_id: AttemptCounts(of_task.get(task_id, 0), of_issue.get(task_id, 0), day) for task_id in task_ids}


class CountedAttempts:
    """The attempts that count for tasks, read for many at once while one dispatch starts some of them.

    Args:
        tx: The dispatch's transaction.
        write: Writes what was started and is not in the ledger yet.
    """

    def __init__(self, tx: Transaction, write: Callable[[], None]) -> None:
        self._tx, self._write = tx, write
        self._started: Counter[str] = Counter()
        self._before: dict[str, AttemptCounts] = {}

    def add(self, repository: str) -> None:
        """Count an attempt that starts."""
        self._started[repository] += 1

    def trip(
        self, task: Row[*tuple[Any, ...]], breaker: Breaker, following: Sequence[Row[*tuple[Any, ...]]]
    ) -> TrippedBreaker | None:
        """Return the breaker that holds a task.

        Args:
            task: Its row.
            breaker: Of its repository.
            following: Those of tasks that are likely to be asked about next.
        """
        tomorrow = day_of(self._tx.now) + timedelta(days=1)
        before = self._before.get(task.id)
        if before is not None and tripped(breaker, self._most(before, task.repository), tomorrow) is None:
            return None
        # Beyond what may have been started for the same issue only the ledger knows.
        self._write()
        repositories = {row.id: row.repository for row in (task, *following[: _CHUNK - 1])}
        read = read_counts(self._tx, list(repositories))
        self._before |= {task_id: self._less(counts, repositories[task_id]) for task_id, counts in read.items()}
        return tripped(breaker, read[task.id], tomorrow)

    def _most(self, before: AttemptCounts, repository: str) -> AttemptCounts:
        started = self._started[repository]
        return AttemptCounts(before.task, before.issue + started, before.day + self._started.total())

    def _less(self, counts: AttemptCounts, repository: str) -> AttemptCounts:
        """Return what `_most` makes counts of again; what starts later adds to it."""
        started = self._started[repository]
        return AttemptCounts(counts.task, counts.issue - started, counts.day - self._started.total())


def attempts_today(tx: Transaction) -> int:
    """Return how many attempts count today, in UTC."""
    return _count(tx, attempts.c.queued_at >= day_of(tx.now))


def held_tasks(
    tx: Transaction, rules_of: Callable[[str], QueueRules], *, tenant: str | None = None
) -> dict[str, TrippedBreaker]:
    """Return the ready tasks, of all tenants or of one, that a breaker holds, among the 2,000 oldest."""
    whose = of_tenant(tenant, tasks.c.repository)
    ready = select(tasks.c.id, tasks.c.repository).where(tasks.c.status == TaskStatus.READY, *whose)
    rows = tx.execute(ready.order_by(tasks.c.created_at, tasks.c.id).limit(_MAX_TASKS)).all()
    return read_tripped(tx, {row.id: rules_of(row.repository) for row in rows}, [row.id for row in rows])


def record_tripped(tx: Transaction, task: Row[*tuple[Any, ...]], trip: TrippedBreaker) -> None:
    """Write into a task's history that a breaker holds it, unless that is its last entry."""
    last = (
        select(task_events.c.actor).where(task_events.c.task_id == task.id).order_by(task_events.c.id.desc()).limit(1)
    )
    if tx.execute(last).scalar_one_or_none() == "breaker":
        return
    context = EventContext(task_id=task.id, actor="breaker", reason=str(trip), trace_id=task.trace_id)
    record_event(tx, EventSubject.TASK, TaskStatus.READY, TaskStatus.READY, context)


def _counted() -> ColumnElement[bool]:
    return or_(attempts.c.claimed_at.is_not(None), attempts.c.status == AttemptStatus.QUEUED)


def _count(tx: Transaction, condition: ColumnElement[bool]) -> int:
    return int(tx.execute(select(func.count()).select_from(attempts).where(condition, _counted())).scalar_one())


def _by_task(tx: Transaction, ids: Sequence[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for start in range(0, len(ids), _CHUNK):
        among = attempts.c.task_id.in_(ids[start : start + _CHUNK])
        query = select(attempts.c.task_id, func.count()).where(among, _counted()).group_by(attempts.c.task_id)
        counts |= {row[0]: row[1] for row in tx.execute(query)}
    return counts


def _by_issue(tx: Transaction, ids: Sequence[str]) -> dict[str, int]:
    """Return how many attempts there were at all tasks of each task's issue, or of its branch where it has none."""
    asked, beside, first, member = (tasks.alias(name) for name in ("asked", "beside", "first", "member"))
    own, other = task_signals.alias("own"), task_signals.alias("other")
    branch = func.coalesce(first.c.branch, asked.c.branch)
    joined = (
        asked.join(beside, and_(beside.c.repository == asked.c.repository, beside.c.branch == asked.c.branch))
        .outerjoin(own, and_(own.c.task_id == beside.c.id, own.c.kind == SignalKind.OPEN_ISSUE.value))
        .outerjoin(
            other,
            and_(other.c.repository == own.c.repository, other.c.kind == own.c.kind, other.c.key == own.c.key),
        )
        .outerjoin(first, first.c.id == other.c.task_id)
        .join(member, and_(member.c.repository == asked.c.repository, member.c.branch == branch))
        .join(attempts, attempts.c.task_id == member.c.id)
    )
    counts: dict[str, int] = {}
    for start in range(0, len(ids), _CHUNK):
        query = (
            select(asked.c.id, func.count(attempts.c.id.distinct()))
            .select_from(joined)
            .where(asked.c.id.in_(ids[start : start + _CHUNK]), _counted())
            .group_by(asked.c.id)
        )
        counts |= {row[0]: row[1] for row in tx.execute(query)}
    return counts
