"""Tasks: creating them from an admitted plan, the changes that people make, and the questions that people ask."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from graphlib import CycleError, TopologicalSorter
from typing import Any

from sqlalchemy import Row, and_, case, func, insert, or_, select, update

from squire_pipelines.domain.identity import branch_name, new_id
from squire_pipelines.domain.outcomes import PullRequestState
from squire_pipelines.domain.signals import SignalKind
from squire_pipelines.domain.tasks import Plan, Risk, TaskSpec, TaskStatus, fingerprint
from squire_pipelines.errors import NotFoundError, StateConflictError
from squire_pipelines.ledger.changes import change_task, record_event
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import outcomes, plans, signals, task_dependencies, task_events, tasks

_RISKS = (Risk.LOW, Risk.MEDIUM, Risk.HIGH)
_WISH = f"{SignalKind.MANUAL_TASK}:"
PAGE = 100


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


@dataclass(frozen=True, slots=True)
class Approval:
    """When a planned task may start without a person: its confidence is high enough and its risk low enough."""

    automatic: bool
    min_confidence: float
    max_risk: Risk

    def covers(self, spec: TaskSpec) -> bool:
        """Whether `spec` is ready at once; otherwise it is proposed and waits for a person."""
        return (
            self.automatic
            and spec.confidence >= self.min_confidence
            and _RISKS.index(spec.risk) <= _RISKS.index(self.max_risk)
        )


def create_from_plan(
    tx: Transaction,
    plan: Plan,
    *,
    plan_id: str,
    versions: Mapping[str, str],
    approval: Approval,
    max_attempts: int,
    trace_id: str,
) -> tuple[str, ...]:
    """Turn a plan's tasks into rows, each fact at most once. Returns the new tasks' ids.

    A task whose fingerprint is known is not created again; others may still depend on it. A wish that a person typed
    is spent when a task of the plan answers it.
    """
    ids: dict[str, str] = {}
    created: dict[str, str] = {}
    for spec in plan.tasks:
        mark = fingerprint(plan.repository, spec, dict(versions))
        known = tx.execute(
            select(tasks.c.id).where(tasks.c.repository == plan.repository, tasks.c.fingerprint == mark)
        ).scalar_one_or_none()
        if known is not None:
            ids[spec.key] = known
            continue
        # A millisecond apart each: no two ids of a plan are the same, and they sort as the plan does.
        task_id = new_id("t", tx.now + timedelta(milliseconds=len(created)))
        ready = approval.covers(spec)
        status = TaskStatus.READY if ready else TaskStatus.PROPOSED
        tx.execute(
            insert(tasks).values(
                id=task_id,
                repository=plan.repository,
                status=status,
                kind=spec.kind,
                title=spec.title,
                priority=int(spec.priority),
                fingerprint=mark,
                spec=spec.model_dump(mode="json"),
                branch=branch_name(task_id, spec.title),
                base_branch=spec.base_branch,
                plan_id=plan_id,
                max_attempts=max_attempts,
                trace_id=trace_id,
                created_at=tx.now,
                ready_at=tx.now if ready else None,
                updated_at=tx.now,
            )
        )
        record_event(
            tx,
            task_id=task_id,
            subject="task",
            before=None,
            after=status,
            actor=f"planner:{plan.planner}",
            reason="planned and approved by settings" if ready else "planned; waits for approval",
            trace_id=trace_id,
        )
        ids[spec.key] = task_id
        created[spec.key] = task_id
    pairs = [{"task_id": one, "depends_on": other} for one, other in _dependencies(plan, ids, created)]
    if pairs:
        tx.execute(insert(task_dependencies), pairs)
    wishes = {ref.partition(":")[2] for spec in plan.tasks for ref in spec.signals if ref.startswith(_WISH)}
    if wishes:
        mine = (signals.c.repository == plan.repository) & (signals.c.kind == SignalKind.MANUAL_TASK)
        tx.execute(update(signals).where(mine, signals.c.key.in_(wishes)).values(gone_at=tx.now))
    return tuple(created.values())


def _dependencies(plan: Plan, ids: Mapping[str, str], created: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The pairs (task, task that it waits for) of the new tasks, without a cycle.

    The plan's own dependencies have none, but two keys of it may name one task, since they answer the same facts.
    """
    graph: dict[str, set[str]] = {}
    pairs: list[tuple[str, str]] = []
    wanted = [(spec.key, key) for spec in plan.tasks if spec.key in created for key in dict.fromkeys(spec.depends_on)]
    for one, other in sorted(wanted, key=lambda pair: pair[1] not in created):  # the plan's own ones first
        pair = (ids[one], ids[other])
        before = graph.setdefault(pair[0], set())
        if pair[1] in before:
            continue
        before.add(pair[1])
        try:
            TopologicalSorter(graph).prepare()
        except CycleError:
            before.remove(pair[1])
        else:
            pairs.append(pair)
    return tuple(pairs)


def covered_signals(tx: Transaction, repository: str) -> frozenset[str]:
    """Refs of the signals that a task under way or an open pull request of ours already answers."""
    under_way = tasks.c.status.in_([status for status in TaskStatus if not status.is_final])
    rows = tx.execute(
        select(tasks.c.spec)
        .select_from(tasks.outerjoin(outcomes, outcomes.c.task_id == tasks.c.id))
        .where(tasks.c.repository == repository, or_(under_way, outcomes.c.state == PullRequestState.OPEN))
    )
    return frozenset(ref for spec in rows.scalars() for ref in spec["signals"])


def get(tx: Transaction, task_id: str) -> Task:
    """One task. Raises NotFoundError."""
    row = tx.execute(select(tasks).where(tasks.c.id == task_id)).one_or_none()
    if row is None:
        message = f"there is no task {task_id!r}"
        raise NotFoundError(message, hint="`squire tasks list` shows the ids")
    return _task(row)


def list_tasks(
    tx: Transaction,
    *,
    statuses: Collection[TaskStatus] = (),
    repository: str | None = None,
    before: tuple[datetime, str] | None = None,
    limit: int = PAGE,
) -> tuple[Task, ...]:
    """A page of tasks, newest first; `before` is the last row's (created_at, id) of the page before."""
    query = select(tasks).order_by(tasks.c.created_at.desc(), tasks.c.id.desc()).limit(limit)
    if statuses:
        query = query.where(tasks.c.status.in_(statuses))
    if repository:
        query = query.where(tasks.c.repository == repository)
    if before:
        moment, last = before
        query = query.where(or_(tasks.c.created_at < moment, and_(tasks.c.created_at == moment, tasks.c.id < last)))
    return tuple(_task(row) for row in tx.execute(query))


def events(tx: Transaction, task_id: str) -> tuple[TaskEvent, ...]:
    """A task's history, oldest first."""
    rows = tx.execute(select(task_events).where(task_events.c.task_id == task_id).order_by(task_events.c.id))
    return tuple(TaskEvent(*(getattr(row, field.name) for field in fields(TaskEvent))) for row in rows)


def count_by_status(tx: Transaction, *, plan_ids: Iterable[str] | None = None) -> dict[TaskStatus, int]:
    """How many tasks are in each state."""
    query = select(tasks.c.status, func.count()).group_by(tasks.c.status)
    if plan_ids is not None:
        query = query.where(tasks.c.plan_id.in_(list(plan_ids)))
    return {TaskStatus(row[0]): row[1] for row in tx.execute(query)}


def last_event_id(tx: Transaction) -> int:
    """The newest event's id: whatever happened to any task, this grows."""
    return int(tx.execute(select(func.coalesce(func.max(task_events.c.id), 0))).scalar_one())


def approve(tx: Transaction, task_id: str, *, actor: str) -> None:
    """A person says that a proposed task may run. Raises NotFoundError, StateConflictError."""
    task = get(tx, task_id)
    change_task(
        tx,
        task_id,
        TaskStatus.PROPOSED,
        TaskStatus.READY,
        actor=actor,
        reason="approved",
        trace_id=task.trace_id,
        ready_at=tx.now,
    )


def cancel(tx: Transaction, task_id: str, *, actor: str, reason: str = "cancelled") -> TaskStatus:
    """Cancel a task: at once when it does not run, else by asking its supervisor. Returns the state it is in now.

    Raises NotFoundError; StateConflictError when it has ended, or changed in this very moment.
    """
    task = get(tx, task_id)
    if task.status.is_final:
        message = f"task {task_id} has {task.status} already"
        raise StateConflictError(message, hint="there is nothing to cancel")
    if task.status is TaskStatus.RUNNING:
        _request_cancel(tx, task, actor=actor, reason=reason)
        return TaskStatus.RUNNING
    change_task(
        tx,
        task_id,
        task.status,
        TaskStatus.CANCELLED,
        actor=actor,
        reason=reason,
        trace_id=task.trace_id,
        ended_at=tx.now,
        cause="cancelled",
        message=reason,
    )
    return TaskStatus.CANCELLED


def _request_cancel(tx: Transaction, task: Task, *, actor: str, reason: str) -> None:
    if task.cancel_requested_at is not None:
        return
    done = tx.execute(
        update(tasks)
        .where(tasks.c.id == task.id, tasks.c.status == TaskStatus.RUNNING)
        .values(cancel_requested_at=tx.now, updated_at=tx.now)
    )
    if done.rowcount != 1:
        message = f"task {task.id} has just stopped running"
        raise StateConflictError(message, hint="look at it again: `squire tasks show`", context={"task_id": task.id})
    record_event(
        tx,
        task_id=task.id,
        subject="task",
        before=TaskStatus.RUNNING,
        after=TaskStatus.RUNNING,
        actor=actor,
        reason=f"cancel requested: {reason}",
        trace_id=task.trace_id,
    )


def retry(tx: Transaction, task_id: str, *, actor: str, more_attempts: int) -> None:
    """Let a failed or cancelled task run again; attempt numbers go on. Raises NotFoundError, StateConflictError."""
    task = get(tx, task_id)
    if task.status not in {TaskStatus.FAILED, TaskStatus.CANCELLED}:
        message = f"task {task_id} is {task.status}"
        raise StateConflictError(message, hint="only failed and cancelled tasks can be retried")
    change_task(
        tx,
        task_id,
        task.status,
        TaskStatus.READY,
        actor=actor,
        reason="retry",
        trace_id=task.trace_id,
        ready_at=tx.now,
        ended_at=None,
        cause=None,
        message=None,
        not_before=None,
        cancel_requested_at=None,
        max_attempts=task.attempts + more_attempts,
    )


def cancel_dependents(tx: Transaction, *, limit: int = 1000) -> tuple[str, ...]:
    """Cancel tasks that wait for one which failed or was cancelled. Returns their ids; call until there are none."""
    dead = select(tasks.c.id).where(tasks.c.status.in_([TaskStatus.FAILED, TaskStatus.CANCELLED]))
    rows = tx.execute(
        select(tasks.c.id)
        .distinct()
        .join(task_dependencies, task_dependencies.c.task_id == tasks.c.id)
        .where(tasks.c.status.in_([TaskStatus.PROPOSED, TaskStatus.READY]), task_dependencies.c.depends_on.in_(dead))
        .limit(limit)
    )
    ids = tuple(rows.scalars())
    for task_id in ids:
        cancel(tx, task_id, actor="dispatch", reason="a task that it depends on did not succeed")
    return ids


def waiting_reason(tx: Transaction, task: Task) -> str | None:
    """Why a ready task does not run yet; None when it does not wait. Derived, never stored."""
    if task.status is not TaskStatus.READY:
        return "approval" if task.status is TaskStatus.PROPOSED else None
    if task.not_before and task.not_before > tx.now:
        return f"not before {task.not_before:%H:%M:%S} UTC"
    open_ones = tx.execute(
        select(tasks.c.id)
        .join(task_dependencies, task_dependencies.c.depends_on == tasks.c.id)
        .where(task_dependencies.c.task_id == task.id, tasks.c.status != TaskStatus.SUCCEEDED)
    ).scalars()
    if names := ", ".join(open_ones):
        return f"depends on {names}"
    return "a slot"


def demand_order() -> tuple[Any, ...]:
    """The order in which ready tasks get their turn: most urgent first, then the longest wait."""
    return (tasks.c.priority, case((tasks.c.attempts > 0, 1), else_=0), tasks.c.ready_at, tasks.c.id)


def plan_of(tx: Transaction, plan_id: str) -> Row[*tuple[Any, ...]] | None:
    """The plan's row that a task came from."""
    return tx.execute(select(plans).where(plans.c.id == plan_id)).one_or_none()


def _task(row: Row[*tuple[Any, ...]]) -> Task:
    values = {field.name: getattr(row, field.name) for field in fields(Task)}
    values["status"] = TaskStatus(row.status)
    values["spec"] = TaskSpec.model_validate(row.spec)
    return Task(**values)
