"""Schedules: their rows, what people change about them, and what came of each of their times."""

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from pydantic import JsonValue
from sqlalchemy import Row, and_, delete, func, insert, or_, select, update

from squire_pipelines.domain.identity import new_id
from squire_pipelines.domain.outcomes import PullRequestState
from squire_pipelines.domain.schedules import Rhythm, ScheduleState
from squire_pipelines.domain.tasks import TaskSpec, TaskStatus
from squire_pipelines.errors import NotFoundError, RefusedError, StateConflictError
from squire_pipelines.ledger.audit import record_audit
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.stored_json import read_json
from squire_pipelines.ledger.tables import outcomes, schedule_runs, schedules, tasks
from squire_pipelines.ledger.tenants import of_tenant

MAX_RUNS = 100
"""Of each schedule, so many rows of what came of its times are kept: the newest."""

_OVER = [state for state in ScheduleState if state.is_over]


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule's row. `spec` is None when this version cannot read it; `once_at` of a past one is not kept.

    `template` is the label of the template whose words it has, and None where a person wrote them.
    """

    id: str
    repository: str
    title: str
    spec: TaskSpec | None
    template: str | None
    hold: bool
    cron: str | None
    time_zone: str
    state: ScheduleState
    next_at: datetime | None
    created_by: str
    trace_id: str
    created_at: datetime
    ended_at: datetime | None
    updated_at: datetime

    @property
    def rhythm(self) -> Rhythm:
        """When it is due from now on."""
        return Rhythm(self.cron, self.time_zone, self.next_at if self.cron is None else None)


@dataclass(frozen=True, slots=True)
class ScheduleRun:
    """What came of a time of a schedule, or of several one after another that were skipped for the same reason.

    `due_at` is the first of them and `last_due_at` the last; `times` counts them, and `missed` those that had come
    meanwhile while nothing looked. It has the task that was made, or the reason why none was.
    """

    id: int
    schedule_id: str
    due_at: datetime
    last_due_at: datetime
    times: int
    missed: int
    task_id: str | None
    skipped: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class NewSchedule:
    """A request that is to become a task later; `next_at` is its first time."""

    repository: str
    spec: TaskSpec
    rhythm: Rhythm
    next_at: datetime
    actor: str
    hold: bool = False
    template: str | None = None


def create(tx: Transaction, schedule: NewSchedule, *, most: int, trace_id: str) -> Schedule:
    """Create a schedule. Raises RefusedError when its repository has `most` that are active or paused."""
    tx.exclusive("schedules")
    query = select(func.count()).where(schedules.c.repository == schedule.repository, schedules.c.state.not_in(_OVER))
    if tx.execute(query).scalar_one() >= most:
        raise RefusedError(
            f"{schedule.repository} has {most} schedules, and may not have more",
            hint="remove one with `squire schedules remove`, or raise dispatch.max_schedules",
        )
    schedule_id = new_id("s", tx.now)
    tx.execute(
        insert(schedules).values(
            id=schedule_id,
            repository=schedule.repository,
            title=schedule.spec.title,
            spec=schedule.spec.model_dump(mode="json"),
            template=schedule.template,
            hold=schedule.hold,
            cron=schedule.rhythm.cron,
            time_zone=schedule.rhythm.time_zone,
            state=ScheduleState.ACTIVE,
            next_at=schedule.next_at,
            created_by=schedule.actor,
            trace_id=trace_id,
            created_at=tx.now,
            updated_at=tx.now,
        )
    )
    created = get(tx, schedule_id)
    _audit(tx, created, "schedules.new", actor=schedule.actor, trace_id=trace_id)
    return created


def get(tx: Transaction, schedule_id: str) -> Schedule:
    """Return one schedule. Raises NotFoundError."""
    row = tx.execute(select(schedules).where(schedules.c.id == schedule_id)).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no schedule {schedule_id!r}", hint="`squire schedules list` shows the ids")
    return _schedule(row)


def page(
    tx: Transaction,
    *,
    repository: str | None = None,
    with_ended: bool = False,
    after: str | None = None,
    limit: int,
    tenant: str | None = None,
) -> tuple[Schedule, ...]:
    """Return schedules, newest first: those that are active or paused, and with `with_ended` all that are kept.

    With `tenant` they are those of its repositories alone.
    """
    query = (
        select(schedules).where(*of_tenant(tenant, schedules.c.repository)).order_by(schedules.c.id.desc()).limit(limit)
    )
    if repository is not None:
        query = query.where(func.lower(schedules.c.repository) == repository.lower())
    if not with_ended:
        query = query.where(schedules.c.state.not_in(_OVER))
    if after is not None:
        query = query.where(schedules.c.id < after)
    return tuple(_schedule(row) for row in tx.execute(query))


def runs(tx: Transaction, schedule_id: str, *, limit: int) -> tuple[ScheduleRun, ...]:
    """Return what came of a schedule's last times, newest first."""
    query = select(schedule_runs).where(schedule_runs.c.schedule_id == schedule_id)
    rows = tx.execute(query.order_by(schedule_runs.c.id.desc()).limit(limit))
    return tuple(ScheduleRun(*(getattr(row, field.name) for field in fields(ScheduleRun))) for row in rows)


def change_state(tx: Transaction, schedule_id: str, state: ScheduleState, *, actor: str, trace_id: str) -> Schedule:
    """Pause a schedule, let it go on, or remove it. Its next time is then the first after now: none is made up for.

    Raises:
        NotFoundError: There is no such schedule.
        StateConflictError: It is over, or in that state already.
    """
    tx.exclusive("schedules")
    schedule = get(tx, schedule_id)
    if schedule.state.is_over or schedule.state is state:
        raise StateConflictError(
            f"the schedule {schedule_id} is {schedule.state} already",
            hint="`squire schedules list --all` shows all; make another with `squire tasks new --every`",
        )
    if schedule.cron is None and state is not ScheduleState.REMOVED:
        raise StateConflictError(
            f"the schedule {schedule_id} has one time only, and cannot be paused",
            hint=f"remove it with `squire schedules remove {schedule_id}`",
        )
    next_at = schedule.rhythm.after(tx.now) if state is ScheduleState.ACTIVE else None
    _set(tx, schedule_id, state=state, next_at=next_at, ended_at=tx.now if state.is_over else None)
    _audit(tx, schedule, f"schedules.{_VERBS[state]}", actor=actor, trace_id=trace_id)
    return get(tx, schedule_id)


_VERBS = {ScheduleState.ACTIVE: "resume", ScheduleState.PAUSED: "pause", ScheduleState.REMOVED: "remove"}


def due_ids(tx: Transaction, *, limit: int) -> tuple[str, ...]:
    """Return the schedules to look at: those whose time has come, the longest ago first.

    With them, those whose row is of a later time than now: the clock was set back since, so that their next time may
    lie too far ahead.
    """
    is_due = or_(schedules.c.next_at <= tx.now, schedules.c.updated_at > tx.now)
    query = select(schedules.c.id).where(and_(schedules.c.state == ScheduleState.ACTIVE, is_due))
    return tuple(tx.execute(query.order_by(schedules.c.next_at, schedules.c.id).limit(limit)).scalars())


def why_last_is_open(tx: Transaction, schedule_id: str) -> str | None:
    """Return why a task that the schedule made is not done with; None where each of them is."""
    under_way = tasks.c.status.in_([status for status in TaskStatus if not status.is_final])
    row = tx.execute(
        select(tasks.c.id, tasks.c.status, outcomes.c.pr_number)
        .select_from(tasks.outerjoin(outcomes, outcomes.c.task_id == tasks.c.id))
        .where(tasks.c.schedule_id == schedule_id, or_(under_way, outcomes.c.state == PullRequestState.OPEN))
        .order_by(tasks.c.id.desc())
        .limit(1)
    ).one_or_none()
    if row is None:
        return None
    if TaskStatus(row.status).is_final:
        return f"the pull request #{row.pr_number} of its task {row.id} is open"
    return f"its task {row.id} is {row.status}"


def advance(tx: Transaction, schedule: Schedule, next_at: datetime | None) -> None:
    """Move a schedule on to its next time; None ends it."""
    if next_at is None:
        _set(tx, schedule.id, state=ScheduleState.DONE, next_at=None, ended_at=tx.now)
    else:
        _set(tx, schedule.id, next_at=next_at)


def record_made(tx: Transaction, schedule: Schedule, due_at: datetime, *, task_id: str, missed: int) -> None:
    """Record that a time made a task."""
    _insert_run(tx, schedule.id, due_at, missed=missed, task_id=task_id)


def record_skipped(tx: Transaction, schedule: Schedule, due_at: datetime, *, reason: str, missed: int) -> None:
    """Record that a time made no task, and why: in the row of the time before where that was skipped for the same."""
    last = runs(tx, schedule.id, limit=1)
    if not last or last[0].skipped != reason:
        _insert_run(tx, schedule.id, due_at, missed=missed, skipped=reason)
        return
    row = update(schedule_runs).where(schedule_runs.c.id == last[0].id)
    tx.execute(row.values(last_due_at=due_at, times=last[0].times + 1, missed=last[0].missed + missed, at=tx.now))


def _insert_run(tx: Transaction, schedule_id: str, due_at: datetime, **values: Any) -> None:
    row = {"schedule_id": schedule_id, "due_at": due_at, "last_due_at": due_at, "times": 1, "at": tx.now}
    tx.execute(insert(schedule_runs).values(**row, **values))
    of_schedule = schedule_runs.c.schedule_id == schedule_id
    query = select(schedule_runs.c.id).where(of_schedule).order_by(schedule_runs.c.id.desc()).offset(MAX_RUNS - 1)
    if (oldest := tx.execute(query.limit(1)).scalar_one_or_none()) is not None:
        tx.execute(delete(schedule_runs).where(of_schedule, schedule_runs.c.id < oldest))


def _set(tx: Transaction, schedule_id: str, **values: Any) -> None:
    tx.execute(update(schedules).where(schedules.c.id == schedule_id).values(**values, updated_at=tx.now))


def _audit(tx: Transaction, schedule: Schedule, action: str, *, actor: str, trace_id: str) -> None:
    detail: dict[str, JsonValue] = {
        "repository": schedule.repository,
        "title": schedule.title,
        "template": schedule.template,
        "cron": schedule.cron,
        "time_zone": schedule.time_zone,
        "next_at": schedule.next_at.isoformat() if schedule.next_at is not None else None,
    }
    # With the repository, by which the row is known to be a tenant's, also when the schedule is forgotten.
    subject = f"{schedule.repository} {schedule.id}"
    record_audit(tx, actor=actor, action=action, subject=subject, detail=detail, trace_id=trace_id)


def _schedule(row: Row[*tuple[Any, ...]]) -> Schedule:
    values = {field.name: getattr(row, field.name) for field in fields(Schedule)}
    return Schedule(**{**values, "state": ScheduleState(row.state), "spec": read_json(TaskSpec, row.spec)})
