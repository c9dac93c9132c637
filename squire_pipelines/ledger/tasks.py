"""Tasks: reading them, and the changes that people make to them. New ones come from `task_creation`."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, or_, select, update

from squire_pipelines.domain.budgets import BudgetLimits
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.outcomes import PullRequestState
from squire_pipelines.domain.queue_rules import QueueRules
from squire_pipelines.domain.states import EventSubject
from squire_pipelines.domain.tasks import TaskSpec, TaskStatus
from squire_pipelines.errors import LedgerError, NotFoundError, StateConflictError
from squire_pipelines.ledger import queue_waits, waiting
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.stored_json import read_json
from squire_pipelines.ledger.tables import (
    archived_tasks,
    outcomes,
    task_events,
    tasks,
)
from squire_pipelines.ledger.transitions import EventContext, change_task, record_event
from squire_pipelines.ledger.waiting import Wait, WaitKind


@dataclass(frozen=True, slots=True)
class Task:
    """A task's row."""

    id: str
    repository: str
    status: TaskStatus
    kind: str
    title: str
    priority: int
    branch: str
    base_branch: str
    spec: TaskSpec
    attempts: int
    max_attempts: int
    not_before: datetime | None
    cancel_requested_at: datetime | None
    cause: str | None
    message: str | None
    trace_id: str
    plan_id: str | None
    created_at: datetime
    ready_at: datetime | None
    ended_at: datetime | None
    updated_at: datetime
    start_requested_at: datetime | None
    schedule_id: str | None


@dataclass(frozen=True, slots=True)
class TaskEvent:
    """One row of a task's history."""

    id: int
    attempt_id: str | None
    subject: str
    before: str | None
    after: str
    actor: str
    reason: str
    trace_id: str
    at: datetime


def answering_tasks(tx: Transaction, repository: str, *, without: Sequence[str] = ()) -> dict[str, str]:
    """Return the refs of signals that a task under way, or an open pull request of ours, already answers, with its id.

    The tasks of `without` do not count.
    """
    under_way = tasks.c.status.in_([status for status in TaskStatus if not status.is_final])
    rows = tx.execute(
        select(tasks.c.id, tasks.c.spec)
        .select_from(tasks.outerjoin(outcomes, outcomes.c.task_id == tasks.c.id))
        .where(
            tasks.c.repository == repository,
            or_(under_way, outcomes.c.state == PullRequestState.OPEN),
            tasks.c.id.not_in(without),
        )
    )
    return {ref: row.id for row in rows for ref in row.spec.get("signals", ())}


def by_branch(tx: Transaction, repository: str, branch: str) -> Task | None:
    """Return the task that was given this branch of the repository; None when it is nobody's."""
    row = tx.execute(select(tasks).where(tasks.c.repository == repository, tasks.c.branch == branch)).first()
    return None if row is None else _task(row)


def get(tx: Transaction, task_id: str) -> Task:
    """Return one task. Raises NotFoundError."""
    row = tx.execute(select(tasks).where(tasks.c.id == task_id)).one_or_none()
    if row is None:
        archived = select(archived_tasks.c.archived_at).where(archived_tasks.c.id == task_id)
        if (archived_at := tx.execute(archived).scalar_one_or_none()) is not None:
            raise NotFoundError(
                f"task {task_id!r} was archived on {archived_at:%Y-%m-%d}",
                hint="`squire tasks show` says what is still known of it",
            )
        raise NotFoundError(f"there is no task {task_id!r}", hint="`squire tasks list` shows the ids")
    return _task(row)


def move_base(tx: Transaction, task_id: str, base_branch: str) -> None:
    """Give a task that is under way another base branch: its own was renamed, or only now has a name."""
    spec = get(tx, task_id).spec.model_copy(update={"base_branch": base_branch})
    values = {"base_branch": base_branch, "spec": spec.model_dump(mode="json"), "updated_at": tx.now}
    tx.execute(update(tasks).where(tasks.c.id == task_id, tasks.c.status == TaskStatus.RUNNING).values(**values))


def move_branch(tx: Transaction, task_id: str, branch: str) -> None:
    """Give a task that is under way another branch of its own; nothing of it was pushed yet."""
    values = {"branch": branch, "updated_at": tx.now}
    tx.execute(update(tasks).where(tasks.c.id == task_id, tasks.c.status == TaskStatus.RUNNING).values(**values))


def events(tx: Transaction, task_id: str) -> tuple[TaskEvent, ...]:
    """Return a task's history, oldest first."""
    rows = tx.execute(select(task_events).where(task_events.c.task_id == task_id).order_by(task_events.c.id))
    return tuple(TaskEvent(*(getattr(row, field.name) for field in fields(TaskEvent))) for row in rows)


def last_event_id(tx: Transaction) -> int:
    """Return the newest event's id, which grows whatever happens to any task."""
    return int(tx.execute(select(func.coalesce(func.max(task_events.c.id), 0))).scalar_one())


def cancel(tx: Transaction, task_id: str, *, actor: str, reason: str = "cancelled") -> TaskStatus:
    """Cancel a task: at once when it does not run, else by asking its supervisor. Returns the state it is in now.

    Raises NotFoundError; StateConflictError when it has ended, or changed at this very moment.
    """
    task = get(tx, task_id)
    if task.status.is_final:
        raise StateConflictError(f"task {task_id} has {task.status} already", hint="there is nothing to cancel")
    if task.status is TaskStatus.RUNNING:
        _request_cancel(tx, task, actor=actor, reason=reason)
        return TaskStatus.RUNNING
    change_task(
        tx,
        task,
        task.status,
        TaskStatus.CANCELLED,
        actor=actor,
        reason=reason,
        ended_at=tx.now,
        cause=Cause.CANCELLED,
        message=reason,
    )
    return TaskStatus.CANCELLED


def _request_cancel(tx: Transaction, task: Task, *, actor: str, reason: str) -> None:
    if task.cancel_requested_at is not None:
        return
    running = tasks.c.id == task.id, tasks.c.status == TaskStatus.RUNNING
    if tx.execute(update(tasks).where(*running).values(cancel_requested_at=tx.now, updated_at=tx.now)).rowcount != 1:
        raise StateConflictError(
            f"task {task.id} has just stopped running",
            hint="look at it again: `squire tasks show`",
            context={"task_id": task.id},
        )
    event = EventContext(task_id=task.id, actor=actor, reason=f"cancel requested: {reason}", trace_id=task.trace_id)
    record_event(tx, EventSubject.TASK, TaskStatus.RUNNING, TaskStatus.RUNNING, event)


def waiting_reason(
    tx: Transaction, task: Task, limits: BudgetLimits | None = None, rules: QueueRules | None = None
) -> Wait | None:
    """Return why a task does not run yet; None when it does not wait. Derived, never stored.

    With the `limits` and the `rules` of its repository, a budget, a cap and a dependency that is not merged are
    reasons too.
    """
    dependencies = waiting.read_open_dependencies(tx.query_runner(), [task.id]).get(task.id, ())
    wait = waiting.waiting_reason(task.status, task.not_before, dependencies, now=tx.now, cause=task.cause)
    if wait is None:
        return None
    if wait.kind is WaitKind.SETTINGS and task.message:
        return Wait(wait.kind, f"{wait.text}: {task.message}")
    if wait.kind is not WaitKind.START:
        return wait
    stopped = waiting.read_stopped(tx.query_runner(), [task.repository]).get(task.repository)
    if stopped is not None:
        return Wait(WaitKind.REPOSITORY, stopped)
    by_settings = queue_waits.read_waits(
        tx, {task.id: task.repository}, lambda _: rules or QueueRules(), lambda _: limits or BudgetLimits()
    )
    return by_settings.get(task.id, wait)


def _task(row: Row[*tuple[Any, ...]]) -> Task:
    values = {field.name: getattr(row, field.name) for field in fields(Task)}
    values["status"] = TaskStatus(row.status)
    values["spec"] = read_json(TaskSpec, row.spec)
    if values["spec"] is None:
        raise LedgerError(
            f"the specification of task {row.id} cannot be read", hint="run `squire ledger check`; restore a backup"
        )
    return Task(**values)
