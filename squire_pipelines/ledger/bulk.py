"""Changes many tasks in one transaction: each with its event, and with a report of those that stay as they are.

`tasks` says what a change of one task means; here the same is done to ten thousand at once, and is kept in the audit
trail.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import JsonValue
from sqlalchemy import ARRAY, ColumnElement, Row, String, and_, any_, case, func, insert, literal, null, select, update

from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.states import EventSubject
from squire_pipelines.domain.tasks import Priority, TaskStatus
from squire_pipelines.errors import RefusedError
from squire_pipelines.ledger.audit import record_audit
from squire_pipelines.ledger.list_sql import read_ids
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import task_events, tasks
from squire_pipelines.ledger.task_query import SortOrder, TaskQuery

MAX_TASKS = 100_000
"""The most tasks of one call, whose transaction keeps other writers waiting."""

_BATCH = 500  # parameters of a statement: SQLite takes at least 999
_POSTGRES_BATCH = 10_000  # all ids are one parameter there
_MAX_AUDITED = 1000
_OF_THE_END = ("ended_at", "cause", "message", "not_before", "cancel_requested_at", "start_requested_at")


@dataclass(frozen=True, slots=True)
class Unmatched:
    """A task that stays as it is, and why."""

    task_id: str
    reason: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class BulkReport:
    """The changed tasks by the state that they are in now, and those that stay as they were."""

    changed: dict[TaskStatus, tuple[str, ...]]
    unmatched: tuple[Unmatched, ...]

    @property
    def count(self) -> int:
        """Return how many tasks were changed."""
        return sum(len(ids) for ids in self.changed.values())


@dataclass(frozen=True, slots=True)
class Change:
    """A change that a person makes: the states that it expects, the one it leads to, and what to say of the others.

    With `of_waiting`, it is made to ready tasks too whose last attempt ended with that cause. Without `after`, the
    state stays, and the task gets the `priority`. With `is_start`, a task that is or becomes ready goes before the
    others of the queue, whatever the caps on pull requests say.
    """

    name: str
    expected: frozenset[TaskStatus]
    after: TaskStatus | None
    reason: str
    more_attempts: int = 0
    refused: str = "task {task} is {status}"
    hint: str = ""
    of_waiting: Cause | None = None
    priority: Priority | None = None
    is_start: bool = False

    def expects(self, status: TaskStatus, cause: str | None) -> bool:
        """Return whether it is made to a task of this state, whose last attempt ended with this cause."""
        waits = status is TaskStatus.READY and self.of_waiting is not None and cause == self.of_waiting
        return waits or status in self.expected


def approve() -> Change:
    """Return the change by which proposed tasks may run."""
    return Change(
        "approve", frozenset({TaskStatus.PROPOSED}), TaskStatus.READY, "approved", refused="task {task} is not proposed"
    )


def reject(reason: str) -> Change:
    """Return the change by which proposed tasks are turned down."""
    return Change(
        "reject",
        frozenset({TaskStatus.PROPOSED}),
        TaskStatus.CANCELLED,
        reason,
        refused="task {task} is {status}, not proposed",
        hint="`squire tasks cancel {task}` stops one that was approved",
    )


def cancel(reason: str) -> Change:
    """Return the change that cancels tasks; those that run are asked to stop and stay `running` meanwhile."""
    expected = frozenset(status for status in TaskStatus if not status.is_final)
    refused, hint = "task {task} has {status} already", "there is nothing to cancel"
    return Change("cancel", expected, TaskStatus.CANCELLED, reason, refused=refused, hint=hint)


def retry(more_attempts: int) -> Change:
    """Return the change by which failed and cancelled tasks run again, and those that wait for a change of settings.

    Attempt numbers go on.
    """
    expected = frozenset({TaskStatus.FAILED, TaskStatus.CANCELLED})
    hint = (
        "only failed and cancelled tasks can be retried, those that wait for a change of the settings, and those "
        "whose pull request was closed or left to people"
    )
    return Change(
        "retry",
        expected,
        TaskStatus.READY,
        "retry",
        more_attempts=more_attempts,
        hint=hint,
        of_waiting=Cause.CONFIGURATION,
    )


def prioritise(priority: Priority) -> Change:
    """Return the change by which tasks that have not ended get a priority, in place of the one they were planned with.

    A running task has it if it is tried again.
    """
    expected = frozenset(status for status in TaskStatus if not status.is_final)
    reason = f"priority {priority.name.lower()}"
    refused, hint = "task {task} has {status} already", "only tasks that wait or run have a place in the queue"
    return Change("priority", expected, None, reason, refused=refused, hint=hint, priority=priority)


def start() -> Change:
    """Return the change by which tasks are started before all others as soon as there is a slot.

    Proposed ones are approved with it. Caps on pull requests and the time before which a task should not run do not
    hold for them; budgets, dependencies and slots do.
    """
    return Change(
        "start",
        frozenset({TaskStatus.PROPOSED, TaskStatus.READY}),
        TaskStatus.READY,
        "started by a person",
        refused="task {task} is {status}",
        hint="only proposed and ready tasks can be started; `squire tasks retry {task}` has one run again that ended",
        is_start=True,
    )


def bulk_update(
    tx: Transaction, selection: Collection[str] | TaskQuery, change: Change, *, actor: str, trace_id: str
) -> BulkReport:
    """Make `change` to tasks by their ids, or to those that a filter finds in a state that it expects.

    All that match are changed, each with its event, or none when this raises. The audit trail has the trace of the
    command, the events have their tasks'.

    Raises:
        RefusedError: These are more than `MAX_TASKS`.
    """
    changed: dict[TaskStatus, tuple[str, ...]] = {}
    unmatched: list[Unmatched] = []
    is_filter = isinstance(selection, TaskQuery)
    selected = ids_of(tx, selection) if isinstance(selection, TaskQuery) else _bounded(tuple(dict.fromkeys(selection)))
    for batch, rows in _batches(tx, selected):
        by_status: dict[TaskStatus, list[Row[*tuple[Any, ...]]]] = {}
        for task_id in batch:
            if task_id not in rows:
                unmatched.append(
                    Unmatched(task_id, f"there is no task {task_id!r}", "`squire tasks list` shows the ids")
                )
                continue
            status = TaskStatus(rows[task_id].status)
            if change.expects(status, rows[task_id].cause):
                by_status.setdefault(status, []).append(rows[task_id])
            elif not is_filter:
                words = {"task": task_id, "status": status}
                unmatched.append(Unmatched(task_id, change.refused.format(**words), change.hint.format(**words)))
        for status, same in by_status.items():
            after = _apply(tx, change, status, same, actor)
            changed[after] = changed.get(after, ()) + tuple(row.id for row in same)
    ids = [task_id for changed_ids in changed.values() for task_id in changed_ids]
    if ids:
        subject = ids[0] if len(ids) == 1 else f"{len(ids)} tasks"
        detail: dict[str, JsonValue] = {"tasks": list(ids[:_MAX_AUDITED]), "count": len(ids), "reason": change.reason}
        action = f"tasks.{change.name}"
        record_audit(tx, actor=actor, action=action, subject=subject, detail=detail, trace_id=trace_id)
    return BulkReport(changed, tuple(unmatched))


def ids_of(tx: Transaction, query: TaskQuery) -> tuple[str, ...]:
    """Return the ids of all tasks that a filter finds, whatever its order and page. Raises RefusedError as above."""
    ids, _ = read_ids(tx.query_runner(), replace(query, order=SortOrder.OLDEST, after=None, limit=MAX_TASKS + 1))
    return _bounded(tuple(ids))


def _bounded(ids: tuple[str, ...]) -> tuple[str, ...]:
    if len(ids) > MAX_TASKS:
        raise RefusedError(
            f"these are more than {MAX_TASKS} tasks", hint="take fewer at a time, for example by a time or a repository"
        )
    return ids


def _batches(tx: Transaction, ids: Sequence[str]) -> Iterator[tuple[Sequence[str], dict[str, Row[*tuple[Any, ...]]]]]:
    """Yield ids, and the rows of those that are there, which are locked until the transaction ends."""
    columns = (tasks.c.id, tasks.c.status, tasks.c.cause, tasks.c.cancel_requested_at)
    size = _BATCH if _is_sqlite(tx) else _POSTGRES_BATCH
    for start in range(0, len(ids), size):
        batch = ids[start : start + size]
        # In one order, so that no two of these wait for each other.
        query = select(*columns).where(_among(tx, tasks.c.id, batch)).order_by(tasks.c.id).with_for_update()
        yield batch, {row.id: row for row in tx.execute(query)}


def _is_sqlite(tx: Transaction) -> bool:
    return tx.connection.dialect.name == "sqlite"


def _among(tx: Transaction, column: ColumnElement[Any], values: Sequence[str]) -> ColumnElement[bool]:
    if _is_sqlite(tx):
        return column.in_(values)
    # Of hundreds of parameters, Postgres and SQLAlchemy take longer to read the statement than to find the rows.
    return column == any_(literal(list(values), ARRAY(String)))


def _apply(
    tx: Transaction, change: Change, before: TaskStatus, rows: Sequence[Row[*tuple[Any, ...]]], actor: str
) -> TaskStatus:
    """Change rows that are locked and all in the state `before`, and return the state that they are in now."""
    if change.after is None:
        if change.priority is not None:
            _set_priority(tx, change.priority, rows, actor, change.reason)
        return before
    after, reason = change.after, change.reason
    if before is TaskStatus.RUNNING:  # its supervisor ends it
        after, reason = before, f"cancel requested: {reason}"
        rows = [row for row in rows if row.cancel_requested_at is None]
    ids = [row.id for row in rows]
    if ids:
        is_listed = _among(tx, tasks.c.id, ids)
        # The state is hidden from planners: where Postgres believes that hardly a row is in it, since its statistics
        # are older than these tasks, it would read all rows that are, and compare each with every id.
        is_before = func.coalesce(tasks.c.status, before) == before
        values = _columns(tx, change, before)
        tx.execute(update(tasks).where(is_listed, is_before).values(updated_at=tx.now, **values))
        if before is not after or not change.is_start:
            event = {"subject": EventSubject.TASK, "before": before, "after": after, "reason": reason}
            _record_events(tx, is_listed, event, actor)
        if change.is_start:
            place = {"subject": EventSubject.QUEUE, "before": null(), "after": "first", "reason": reason}
            _record_events(tx, is_listed, place, actor)
    return after


def _record_events(tx: Transaction, selected: ColumnElement[bool], event: Mapping[str, Any], actor: str) -> None:
    """Write an event of each selected task; a value may be an expression of its row."""
    values = {**event, "actor": actor, "at": tx.now}
    columns = [
        value if isinstance(value, ColumnElement) else literal(value, task_events.c[name].type)
        for name, value in values.items()
    ]
    events = select(tasks.c.id, tasks.c.trace_id, *columns).where(selected).order_by(tasks.c.id)
    tx.execute(insert(task_events).from_select(["task_id", "trace_id", *values], events))


def _set_priority(
    tx: Transaction, priority: Priority, rows: Sequence[Row[*tuple[Any, ...]]], actor: str, reason: str
) -> None:
    """Give rows that are locked a priority, with an event of those that had another."""
    selected = and_(_among(tx, tasks.c.id, [row.id for row in rows]), tasks.c.priority != priority)
    known = case(*((tasks.c.priority == member, member.name.lower()) for member in Priority))
    event = {"subject": EventSubject.QUEUE, "before": known, "after": priority.name.lower(), "reason": reason}
    _record_events(tx, selected, event, actor)  # before the row forgets what it was
    tx.execute(update(tasks).where(selected).values(priority=int(priority), updated_at=tx.now))


def _columns(tx: Transaction, change: Change, before: TaskStatus) -> dict[str, Any]:
    if before is TaskStatus.RUNNING:
        return {"cancel_requested_at": tx.now}
    if change.after is TaskStatus.CANCELLED:
        return {"status": change.after, "ended_at": tx.now, "cause": "cancelled", "message": change.reason}
    values: dict[str, Any] = {"status": change.after, "ready_at": tx.now}
    if change.is_start:
        ready_at = {} if before is TaskStatus.READY else {"ready_at": tx.now}
        return {"status": change.after, "start_requested_at": tx.now, "not_before": None, **ready_at}
    if before.is_final or change.of_waiting is not None:
        values |= dict.fromkeys(_OF_THE_END)
        values["max_attempts"] = tasks.c.attempts + change.more_attempts
    return values
