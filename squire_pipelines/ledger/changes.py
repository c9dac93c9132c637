"""The only place where the state of a task or an attempt is written: compare-and-set, with an event row."""

from typing import Any

from sqlalchemy import insert, update

from squire_pipelines.domain.states import attempt_change_allowed, task_change_allowed
from squire_pipelines.domain.tasks import AttemptStatus, TaskStatus
from squire_pipelines.errors import StateConflictError
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import attempts, task_events, tasks


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
    tx.execute(
        insert(task_events).values(
            task_id=task_id,
            attempt_id=attempt_id,
            subject=subject,
            before=before,
            after=after,
            actor=actor,
            reason=reason,
            trace_id=trace_id,
            at=tx.now,
        )
    )


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
        message = f"a task cannot go from {before} to {after}"
        raise StateConflictError(message, context={"task_id": task_id})
    done = tx.execute(
        update(tasks)
        .where(tasks.c.id == task_id, tasks.c.status == before)
        .values(status=after, updated_at=tx.now, **columns)
    )
    if done.rowcount != 1:
        message = f"task {task_id} is not {before}"
        raise StateConflictError(message, hint="look at it again: `squire tasks show`", context={"task_id": task_id})
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
        message = f"an attempt cannot go from {before} to {after}"
        raise StateConflictError(message, context={"attempt_id": attempt_id})
    done = tx.execute(
        update(attempts).where(attempts.c.id == attempt_id, attempts.c.status == before).values(status=after, **columns)
    )
    if done.rowcount != 1:
        message = f"attempt {attempt_id} is not {before}"
        raise StateConflictError(message, context={"attempt_id": attempt_id})
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
