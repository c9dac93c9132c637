"""The only place where the state of a task or an attempt is written: compare-and-set, with an event row."""

from functools import lru_cache
from typing import Any

from sqlalchemy import Table, bindparam, insert, update

from squire_pipelines.domain.states import attempt_change_allowed, task_change_allowed
from squire_pipelines.domain.tasks import AttemptStatus, TaskStatus
from squire_pipelines.errors import StateConflictError
from squire_pipelines.ledger.prepared_write import PreparedWrite
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import attempts, task_events, tasks

_INSERT_EVENT = PreparedWrite(
    insert(task_events)
    .values({column.name: bindparam(column.name) for column in task_events.c if column.name != "id"})
    .inline()  # nobody asks for the new id
)


@lru_cache(maxsize=64)
def _update_of(table: Table, names: tuple[str, ...]) -> PreparedWrite:
    """The statement that sets these columns of the row with an id, if it is in a state."""
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


def record_event(
    tx: Transaction,
    *,
    task_id: str,
    subject: str,
    before: str | None,
    after: str,
    actor: str,
    reason: str,
    trace_id: str,
    attempt_id: str | None = None,
) -> None:
    """Write one row of a task's history. `subject` is `task` or `attempt`."""
    event = {
        "task_id": task_id,
        "attempt_id": attempt_id,
        "subject": subject,
        "before": before,
        "after": after,
        "actor": actor,
        "reason": reason,
        "trace_id": trace_id,
        "at": tx.now,
    }
    _INSERT_EVENT.run(tx.connection, event)


def change_task(
    tx: Transaction,
    task_id: str,
    before: TaskStatus,
    after: TaskStatus,
    *,
    actor: str,
    reason: str,
    trace_id: str,
    **columns: Any,
) -> None:
    """Take a task from `before` to `after` and set `columns` with it.

    Raises:
        StateConflictError: The change is not in the table of allowed ones, or the task is not in `before` (any more).
    """
    if not task_change_allowed(before, after):
        raise StateConflictError(f"a task cannot go from {before} to {after}", context={"task_id": task_id})
    done = _set(tx, tasks, task_id, before, status=after, **columns)
    if not done:
        raise StateConflictError(
            f"task {task_id} is not {before}",
            hint="look at it again: `squire tasks show`",
            context={"task_id": task_id},
        )
    record_event(
        tx, task_id=task_id, subject="task", before=before, after=after, actor=actor, reason=reason, trace_id=trace_id
    )


def change_attempt(
    tx: Transaction,
    attempt_id: str,
    task_id: str,
    before: AttemptStatus,
    after: AttemptStatus,
    *,
    actor: str,
    reason: str,
    trace_id: str,
    **columns: Any,
) -> None:
    """Take an attempt from `before` to `after` and set `columns` with it. Raises StateConflictError likewise."""
    if not attempt_change_allowed(before, after):
        raise StateConflictError(f"an attempt cannot go from {before} to {after}", context={"attempt_id": attempt_id})
    done = _set(tx, attempts, attempt_id, before, status=after, **columns)
    if not done:
        raise StateConflictError(f"attempt {attempt_id} is not {before}", context={"attempt_id": attempt_id})
    record_event(
        tx,
        task_id=task_id,
        attempt_id=attempt_id,
        subject="attempt",
        before=before,
        after=after,
        actor=actor,
        reason=reason,
        trace_id=trace_id,
    )
