"""Changing or deleting many tasks in one transaction: each with its event, what did not match in a report.

What a change of one task means is `tasks`'; here the same is done to ten thousand at once. What people do so is kept
in the audit trail.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import JsonValue
from sqlalchemy import ARRAY, ColumnElement, Row, String, any_, delete, func, insert, literal, or_, select, update

from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.errors import RefusedError
from squire_pipelines.ledger import wordlist
from squire_pipelines.ledger.audit import record_audit
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import attempts, outcomes, task_dependencies, task_events, task_words, tasks
from squire_pipelines.ledger.task_query import TaskQuery
from squire_pipelines.ledger.words import words_of

MAX_TASKS = 100_000
"""Tasks that one call takes: its transaction keeps other writers waiting."""

_BATCH = 500  # parameters of a statement: SQLite takes at least 999
_POSTGRES_BATCH = 10_000  # all ids are one parameter there
_MAX_AUDITED = 1000


@dataclass(frozen=True, slots=True)
class Unmatched:
    """A task that stays as it is, and why."""

    task_id: str
    reason: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class BulkReport:
    """What became of the tasks: the changed ones by the state they are in now (or were in when they were deleted)."""

    changed: dict[TaskStatus, tuple[str, ...]]
    unmatched: tuple[Unmatched, ...]

    @property
    def count(self) -> int:
        """How many tasks were changed."""
        return sum(len(ids) for ids in self.changed.values())


@dataclass(frozen=True, slots=True)
class Change:
    """A change that a person makes: from which states it leads where, and what is said of the others."""

    name: str
    expected: frozenset[TaskStatus]
    after: TaskStatus
    reason: str
    more_attempts: int = 0
    refused: str = "task {task} is {status}"
    hint: str = ""


def approve() -> Change:
    """Proposed tasks may run."""
    return Change(
        "approve", frozenset({TaskStatus.PROPOSED}), TaskStatus.READY, "approved", refused="task {task} is not proposed"
    )


def reject(reason: str) -> Change:
    """Proposed tasks are turned down."""
    return Change(
        "reject",
        frozenset({TaskStatus.PROPOSED}),
        TaskStatus.CANCELLED,
        reason,
        refused="task {task} is {status}, not proposed",
        hint="`squire tasks cancel {task}` stops one that was approved",
    )


def cancel(reason: str) -> Change:
    """Tasks that have not ended are cancelled; those that run are asked to stop and stay `running` meanwhile."""
    expected = frozenset(status for status in TaskStatus if not status.is_final)
    refused, hint = "task {task} has {status} already", "there is nothing to cancel"
    return Change("cancel", expected, TaskStatus.CANCELLED, reason, refused=refused, hint=hint)


def retry(more_attempts: int) -> Change:
    """Failed and cancelled tasks run again; attempt numbers go on."""
    expected = frozenset({TaskStatus.FAILED, TaskStatus.CANCELLED})
    hint = "only failed and cancelled tasks can be retried"
    return Change("retry", expected, TaskStatus.READY, "retry", more_attempts=more_attempts, hint=hint)


@dataclass(slots=True)
class _Tally:
    changed: dict[TaskStatus, list[str]] = field(default_factory=dict)
    unmatched: list[Unmatched] = field(default_factory=list)

    def report(self) -> BulkReport:
        return BulkReport({status: tuple(ids) for status, ids in self.changed.items()}, tuple(self.unmatched))


def bulk_update(tx: Transaction, which: Collection[str] | TaskQuery, change: Change, *, actor: str) -> BulkReport:
    """Make `change` to tasks by their ids, or to those that a filter finds in a state that it expects.

    All that match are changed, each with its event, or none when this raises.

    Raises:
        RefusedError: These are more than `MAX_TASKS`.
    """
    tally = _Tally()
    named = not isinstance(which, TaskQuery)
    ids = which if not isinstance(which, TaskQuery) else ids_of(tx, which)
    for rows in _batches(tx, ids, tally):
        by_status: dict[TaskStatus, list[Row[*tuple[Any, ...]]]] = {}
        for row in rows:
            status = TaskStatus(row.status)
            if status in change.expected:
                by_status.setdefault(status, []).append(row)
            elif named:
                words = {"task": row.id, "status": status}
                tally.unmatched.append(Unmatched(row.id, change.refused.format(**words), change.hint.format(**words)))
        for status, same in by_status.items():
            after = _apply(tx, change, status, same, actor)
            tally.changed.setdefault(after, []).extend(row.id for row in same)
    report = tally.report()
    _audit(tx, f"tasks.{change.name}", actor, [i for each in report.changed.values() for i in each], change.reason)
    return report


def bulk_delete(
    tx: Transaction, which: Collection[str] | TaskQuery, *, actor: str, also_unfinished: bool = False
) -> BulkReport:
    """Delete tasks with their attempts, events, outcomes, dependencies and words. What they cost stays on the books.

    Only tasks that have ended, unless `also_unfinished`; never one that runs (cancel it first), nor one for whose
    success another waits, since that one would then run without it. Raises RefusedError as `bulk_update`.
    """
    tally = _Tally()
    for rows in _batches(tx, which if not isinstance(which, TaskQuery) else ids_of(tx, which), tally):
        waiting = _waited_for(tx, [row.id for row in rows])
        gone: list[str] = []
        for row in rows:
            status = TaskStatus(row.status)
            if status is TaskStatus.RUNNING:
                tally.unmatched.append(Unmatched(row.id, f"task {row.id} runs", "cancel it first"))
            elif not status.is_final and not also_unfinished:
                tally.unmatched.append(Unmatched(row.id, f"task {row.id} is {status}", "only ended tasks are deleted"))
            elif row.id in waiting and status is not TaskStatus.SUCCEEDED:
                reason = f"task {waiting[row.id]} depends on task {row.id}"
                tally.unmatched.append(Unmatched(row.id, reason, f"cancel {waiting[row.id]} first"))
            else:
                gone.append(row.id)
                tally.changed.setdefault(status, []).append(row.id)
        _delete(tx, gone)
    report = tally.report()
    _audit(tx, "tasks.delete", actor, [i for each in report.changed.values() for i in each], "")
    return report


def ids_of(tx: Transaction, query: TaskQuery) -> tuple[str, ...]:
    """The ids of all tasks that a filter finds, whatever its order and page. Raises RefusedError when too many."""
    found = tx.execute(select(tasks.c.id).where(*_conditions(query)).order_by(tasks.c.id).limit(MAX_TASKS + 1))
    return _bounded(tuple(found.scalars()))


def _conditions(query: TaskQuery) -> Iterator[ColumnElement[bool]]:
    for column, values in (("status", query.statuses), ("kind", query.kinds), ("cause", query.causes)):
        if values:
            yield tasks.c[column].in_(values)
    if query.repository:
        yield func.lower(tasks.c.repository) == query.repository.lower()
    for name, since, until in (
        ("created_at", query.created_since, query.created_until),
        ("ended_at", query.ended_since, query.ended_until),
    ):
        if since:
            yield tasks.c[name] >= since
        if until:
            yield tasks.c[name] < until
    for word in words_of(query.text):
        yield tasks.c.id.in_(select(task_words.c.task_id).where(task_words.c.word == word))


def _bounded(ids: tuple[str, ...]) -> tuple[str, ...]:
    if len(ids) > MAX_TASKS:
        raise RefusedError(
            f"these are more than {MAX_TASKS} tasks", hint="take fewer at a time, for example by a time or a repository"
        )
    return ids


def _batches(tx: Transaction, which: Collection[str], tally: _Tally) -> Iterator[Sequence[Row[*tuple[Any, ...]]]]:
    """The rows of these tasks, each once and held until the transaction ends; those that are not there are told."""
    ids = _bounded(tuple(dict.fromkeys(which)))
    columns = (tasks.c.id, tasks.c.status, tasks.c.cancel_requested_at)
    size = _BATCH if _is_sqlite(tx) else _POSTGRES_BATCH
    for start in range(0, len(ids), size):
        batch = ids[start : start + size]
        # In one order, so that no two of these wait for each other.
        query = select(*columns).where(_among(tx, tasks.c.id, batch)).order_by(tasks.c.id).with_for_update()
        found = {row.id: row for row in tx.execute(query)}
        for task_id in batch:
            if task_id not in found:
                hint = "`squire tasks list` shows the ids"
                tally.unmatched.append(Unmatched(task_id, f"there is no task {task_id!r}", hint))
        yield [found[task_id] for task_id in batch if task_id in found]


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
    """Change rows that are all in the state `before` and held; the state that they are in now."""
    after, reason = change.after, change.reason
    if before is TaskStatus.RUNNING:  # its supervisor ends it
        after, reason = before, f"cancel requested: {reason}"
        rows = [row for row in rows if row.cancel_requested_at is None]
    ids = [row.id for row in rows]
    if ids:
        values = _columns(tx, change, before)
        these = _among(tx, tasks.c.id, ids)
        # The state is hidden from planners: where Postgres believes that hardly a row is in it, since its statistics
        # are older than these tasks, it would read all rows that are, and compare each with every id.
        as_held = func.coalesce(tasks.c.status, before) == before
        tx.execute(update(tasks).where(these, as_held).values(updated_at=tx.now, **values))
        event = {"subject": "task", "before": before, "after": after, "actor": actor, "reason": reason, "at": tx.now}
        told = [literal(value, task_events.c[name].type) for name, value in event.items()]
        names = ["task_id", "trace_id", *event]
        same = select(tasks.c.id, tasks.c.trace_id, *told).where(these).order_by(tasks.c.id)
        tx.execute(insert(task_events).from_select(names, same))
    return after


def _columns(tx: Transaction, change: Change, before: TaskStatus) -> dict[str, Any]:
    if before is TaskStatus.RUNNING:
        return {"cancel_requested_at": tx.now}
    if change.after is TaskStatus.CANCELLED:
        return {"status": change.after, "ended_at": tx.now, "cause": "cancelled", "message": change.reason}
    values: dict[str, Any] = {"status": change.after, "ready_at": tx.now}
    if before.is_final:
        values |= dict.fromkeys(("ended_at", "cause", "message", "not_before", "cancel_requested_at"))
        values["max_attempts"] = tasks.c.attempts + change.more_attempts
    return values


def _waited_for(tx: Transaction, ids: Sequence[str]) -> dict[str, str]:
    """Those of `ids` that a task which has not ended depends on, each with one such task."""
    unfinished = [status for status in TaskStatus if not status.is_final]
    query = (
        select(task_dependencies.c.depends_on, task_dependencies.c.task_id)
        .join(tasks, tasks.c.id == task_dependencies.c.task_id)
        .where(
            _among(tx, task_dependencies.c.depends_on, ids),
            ~_among(tx, task_dependencies.c.task_id, ids),
            tasks.c.status.in_(unfinished),
        )
    )
    return {row.depends_on: row.task_id for row in tx.execute(query)}


def _delete(tx: Transaction, ids: Sequence[str]) -> None:
    wordlist.forget(tx, ids)  # while the titles are there
    edges = or_(_among(tx, task_dependencies.c.task_id, ids), _among(tx, task_dependencies.c.depends_on, ids))
    tx.execute(delete(task_dependencies).where(edges))
    for table in (outcomes, task_events, attempts):
        tx.execute(delete(table).where(_among(tx, table.c.task_id, ids)))
    tx.execute(delete(tasks).where(_among(tx, tasks.c.id, ids)))


def _audit(tx: Transaction, action: str, actor: str, ids: Sequence[str], reason: str) -> None:
    if ids:
        subject = ids[0] if len(ids) == 1 else f"{len(ids)} tasks"
        detail: dict[str, JsonValue] = {"tasks": list(ids[:_MAX_AUDITED]), "count": len(ids), "reason": reason}
        record_audit(tx, actor=actor, action=action, subject=subject, detail=detail)
