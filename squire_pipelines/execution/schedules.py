"""Makes tasks of schedules whose time has come: one for each time, whoever looks, however often, after whatever crash.

Each schedule is done in one transaction that reads its row again under a lock, makes the task and moves the row to its
next time. The task's fingerprint is made of the schedule and the time, so that a time that a clock shows again makes
no second one.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.execution.repository_settings import settings_in
from squire_pipelines.execution.requests import create_request
from squire_pipelines.ledger import schedules
from squire_pipelines.ledger.schedules import Schedule
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.ledger.task_creation import RequestedTask
from squire_pipelines.observability.logging import Component, bound_context, get_logger
from squire_pipelines.settings.model import Settings

_PER_LOOK = 100

_log = get_logger(Component.PIPELINE)


@dataclass(frozen=True, slots=True)
class TimeTaken:
    """What came of a schedule's time: the task that was made, or why none was."""

    schedule_id: str
    repository: str
    task_id: str | None
    skipped: str | None
    trace_id: str

    def __str__(self) -> str:
        result = f"made the task {self.task_id}" if self.task_id is not None else f"skipped: {self.skipped}"
        return f"{self.schedule_id} of {self.repository} {result}"


def take_due_times(ledger: Ledger, settings: Settings) -> tuple[TimeTaken, ...]:
    """Make the tasks of the schedules that are due, at most a hundred in one look; return what came of each."""
    with ledger.read() as tx:
        due = schedules.due_ids(tx, limit=_PER_LOOK)
    return tuple(_taken(ledger, settings, due))


def _taken(ledger: Ledger, settings: Settings, due: Iterable[str]) -> Iterable[TimeTaken]:
    for schedule_id in due:
        with ledger.read() as tx:
            repository = schedules.get(tx, schedule_id).repository
        own = settings_in(ledger, settings, repository)
        trace_id = new_trace_id()
        try:
            with bound_context(trace_id=trace_id), ledger.write() as tx:
                taken = _take(tx, own, schedule_id, trace_id=trace_id)
        except (LookupError, ValueError) as error:
            # Such as a zone that this machine has lost: the other schedules are not kept from their times.
            reason = f"its times cannot be told here ({error}): remove it, and make it anew"
            taken = TimeTaken(schedule_id, repository, None, reason, trace_id)
        if taken is not None:
            _log.info("schedule.time", schedule=schedule_id, task=taken.task_id, skipped=taken.skipped)
            yield taken


def _take(tx: Transaction, settings: Settings, schedule_id: str, *, trace_id: str) -> TimeTaken | None:
    tx.exclusive("schedules")
    # Read again: another process may have taken this time while this one waited, or a person paused the schedule.
    schedule = schedules.get(tx, schedule_id)
    due_at = schedule.next_at
    if due_at is None:
        return None
    if due_at > tx.now:
        _correct_after_clock(tx, schedule)
        return None
    missed = schedule.rhythm.count_missed(due_at, tx.now)
    reason = _why_not(tx, settings, schedule)
    task_id = None
    if reason is None:
        created = create_request(
            tx, settings, _request(schedule, schedule_id, due_at.isoformat()), trace_id=trace_id, hold=schedule.hold
        )
        task_id = created.id
        if created.is_new:
            schedules.record_made(tx, schedule, due_at, task_id=task_id, missed=missed)
    else:
        schedules.record_skipped(tx, schedule, due_at, reason=reason, missed=missed)
    schedules.advance(tx, schedule, schedule.rhythm.after(max(due_at, tx.now)))
    return TimeTaken(schedule_id, schedule.repository, task_id, reason, trace_id)


def _correct_after_clock(tx: Transaction, schedule: Schedule) -> None:
    """Take back a next time that a clock which was ahead has put too far off. Times it took already make no task."""
    following = schedule.rhythm.after(tx.now)
    if following is not None and schedule.cron is not None:
        schedules.advance(tx, schedule, following)


def _why_not(tx: Transaction, settings: Settings, schedule: Schedule) -> str | None:
    if schedule.spec is None:
        return "what it asks for cannot be read by this version: remove it, and make it anew"
    if settings.spelling_of(schedule.repository) is None:
        return f"{schedule.repository} is not among the repositories of the settings"
    return schedules.why_last_is_open(tx, schedule.id)


def _request(schedule: Schedule, schedule_id: str, due_at: str) -> RequestedTask:
    if schedule.spec is None:
        raise ValueError(schedule_id)  # `_why_not` has said so
    return RequestedTask(
        schedule.repository,
        schedule.spec,
        schedule.created_by,
        fingerprint=hashlib.sha256(f"schedule\n{schedule_id}\n{due_at}".encode()).hexdigest()[:32],
        place=f"the schedule {schedule_id}",
        schedule_id=schedule_id,
        template=schedule.template or "",
    )
