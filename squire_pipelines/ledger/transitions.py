"""The only place where the state of a task or an attempt is written: compare-and-set, with a row of history."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from sqlalchemy import Table, bindparam, insert, update

from squire_pipelines.domain.states import EventSubject, attempt_change_allowed, task_change_allowed
from squire_pipelines.domain.tasks import AttemptStatus, TaskStatus
from squire_pipelines.errors import StateConflictError
from squire_pipelines.ledger.prepared_write import MAX_ROWS, NewRows, PreparedWrite
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import attempts, task_events, tasks

_EVENT_COLUMNS = tuple(column.name for column in task_events.c if column.name != "id")
_INSERT_EVENT = PreparedWrite(
    insert(task_events).values({name: bindparam(name) for name in _EVENT_COLUMNS}).inline()  # nobody asks for the id
)
_NEW_EVENTS = NewRows(task_events, _EVENT_COLUMNS)
_START_TASKS = (
    update(tasks)
    .where(tasks.c.id.in_(bindparam("ids", expanding=True)), tasks.c.status == TaskStatus.READY)
    .values(status=TaskStatus.RUNNING, attempts=tasks.c.attempts + 1, updated_at=bindparam("now"))
    .returning(tasks.c.id)
)


class _Task(Protocol):
    """A `Task`, or its row."""

    @property
    def id(self) -> str: ...

    @property
    def trace_id(self) -> str: ...


class _Attempt(_Task, Protocol):
    """An `Attempt`, or its row."""

    @property
    def task_id(self) -> str: ...


class _NewAttempt(_Attempt, Protocol):
    """An `Attempt`."""

    @property
    def number(self) -> int: ...


@lru_cache(maxsize=64)
def _update_of(table: Table, names: tuple[str, ...]) -> PreparedWrite:
    """Return the statement that sets these columns of the row with an id, if it is in a state."""
    return PreparedWrite(
        update(table)
        .where(table.c.id == bindparam("expected_id"), table.c.status == bindparam("expected_status"))
        .values({name: bindparam(f"new_{name}") for name in names})
    )


def _set(tx: Transaction, table: Table, row_id: str, before: str, **columns: Any) -> bool:
    """Set columns of a row that is in the state `before`; whether it was."""
    columns["updated_at"] = tx.now
    values = {f"new_{name}": value for name, value in columns.items()}
    expected = {"expected_id": row_id, "expected_status": before}
    return _update_of(table, tuple(columns)).run(tx.connection, expected | values) == 1


@dataclass(frozen=True, slots=True, kw_only=True)
class EventContext:
    """Whose history an event belongs to, who caused it and why."""

    task_id: str
    actor: str
    reason: str
    trace_id: str
    attempt_id: str | None = None


def record_event(tx: Transaction, subject: EventSubject, before: str | None, after: str, context: EventContext) -> None:
    """Write one row of a task's history."""
    _INSERT_EVENT.run(tx.connection, _event(tx, subject, before, after, context))


def _event(
    tx: Transaction, subject: EventSubject, before: str | None, after: str, context: EventContext
) -> dict[str, Any]:
    return {
        "task_id": context.task_id,
        "attempt_id": context.attempt_id,
        "subject": subject,
        "before": before,
        "after": after,
        "actor": context.actor,
        "reason": context.reason,
        "trace_id": context.trace_id,
        "at": tx.now,
    }


def start_tasks(tx: Transaction, task_ids: Sequence[str]) -> frozenset[str]:
    """Take ready tasks to running, each with one attempt more, and return those that were ready.

    Their history follows with `record_starts`. Used in dispatch's transaction, under its lock.
    """
    started: set[str] = set()
    for first in range(0, len(task_ids), MAX_ROWS):
        part = list(task_ids[first : first + MAX_ROWS])
        started.update(tx.execute(_START_TASKS, {"ids": part, "now": tx.now}).scalars())
    return frozenset(started)


def record_starts(tx: Transaction, started: Iterable["_NewAttempt"]) -> None:
    """Write into the histories of tasks that `start_tasks` has started: the task's row, then its attempt's."""
    rows = []
    for attempt in started:
        of_task = EventContext(
            task_id=attempt.task_id, actor="dispatch", reason=f"attempt {attempt.number}", trace_id=attempt.trace_id
        )
        of_attempt = EventContext(
            task_id=attempt.task_id,
            actor="dispatch",
            reason="dispatched",
            trace_id=attempt.trace_id,
            attempt_id=attempt.id,
        )
        rows.append(_event(tx, EventSubject.TASK, TaskStatus.READY, TaskStatus.RUNNING, of_task))
        rows.append(_event(tx, EventSubject.ATTEMPT, None, AttemptStatus.QUEUED, of_attempt))
    _NEW_EVENTS.add(tx.connection, rows)


def change_task(
    tx: Transaction, task: _Task, before: TaskStatus, after: TaskStatus, *, actor: str, reason: str, **columns: Any
) -> None:
    """Take a task from `before` to `after` and set `columns` with it.

    Raises:
        StateConflictError: The change is not in the table of allowed ones, or the task is not in `before` (any more).
    """
    context = {"task_id": task.id}
    if not task_change_allowed(before, after):
        raise StateConflictError(f"a task cannot go from {before} to {after}", context=context)
    if not _set(tx, tasks, task.id, before, status=after, **columns):
        raise StateConflictError(
            f"task {task.id} is not {before}", hint="look at it again: `squire tasks show`", context=context
        )
    event = EventContext(task_id=task.id, actor=actor, reason=reason, trace_id=task.trace_id)
    record_event(tx, EventSubject.TASK, before, after, event)


def change_attempt(
    tx: Transaction,
    attempt: _Attempt,
    before: AttemptStatus,
    after: AttemptStatus,
    *,
    actor: str,
    reason: str,
    **columns: Any,
) -> None:
    """Take an attempt from `before` to `after` and set `columns` with it. Raises StateConflictError likewise."""
    context = {"attempt_id": attempt.id}
    if not attempt_change_allowed(before, after):
        raise StateConflictError(f"an attempt cannot go from {before} to {after}", context=context)
    if not _set(tx, attempts, attempt.id, before, status=after, **columns):
        raise StateConflictError(f"attempt {attempt.id} is not {before}", context=context)
    record_attempt_event(tx, attempt, before, after, actor=actor, reason=reason)


def record_attempt_event(
    tx: Transaction, attempt: _Attempt, before: AttemptStatus | None, after: AttemptStatus, *, actor: str, reason: str
) -> None:
    """Write one row of history about an attempt."""
    event = EventContext(
        task_id=attempt.task_id, attempt_id=attempt.id, actor=actor, reason=reason, trace_id=attempt.trace_id
    )
    record_event(tx, EventSubject.ATTEMPT, before, after, event)
