"""Schedules of requests: when each is due, and what it may be. Pure; the rows are `ledger.schedules`."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from squire_pipelines.domain.cron_times import CronTimes, exists, moment_of

MAX_MISSED = 100
"""As many missed times are counted; of more, it is said that there were so many at least."""

MAX_AHEAD_DAYS = 366 * 5
"""How far ahead a request may be put off: further is a mistyped year."""


class ScheduleState(StrEnum):
    """A schedule's stored state; one that is `done` has made its only task, and one that is removed makes none."""

    ACTIVE = "active"
    PAUSED = "paused"
    DONE = "done"
    REMOVED = "removed"

    @property
    def is_over(self) -> bool:
        """Whether it makes no task any more, whatever a person does."""
        return self in {ScheduleState.DONE, ScheduleState.REMOVED}


@dataclass(frozen=True, slots=True)
class Rhythm:
    """When a request becomes a task: at each time of a cron text, or once.

    Args:
        cron: Five fields; None where it becomes a task once.
        time_zone: The name of the zone whose clocks the cron text means.
        once_at: The only time; None with a cron text.
    """

    cron: str | None
    time_zone: str
    once_at: datetime | None = None

    def after(self, moment: datetime) -> datetime | None:
        """Return the first time after `moment`; None where there is none any more."""
        if self.cron is None:
            return self.once_at if self.once_at is not None and self.once_at > moment else None
        return CronTimes(self.cron, ZoneInfo(self.time_zone)).after(moment)

    def count_missed(self, due_at: datetime, now: datetime) -> int:
        """Return how many times after `due_at` have come by `now`, of which none makes a task; `MAX_MISSED` at most."""
        missed = 0
        following = self.after(due_at)
        while following is not None and following <= now and missed < MAX_MISSED:
            missed += 1
            following = self.after(following)
        return missed


def parse_start(text: str, time_zone: str, now: datetime) -> datetime:
    """Return the moment of a date and time of ISO 8601, which clocks in `time_zone` show unless it has an offset.

    Of a time that the clocks show twice, it is the first. Raises ValueError for what is no time, a time that the clocks
    pass over, and one that is past or too far ahead.
    """
    example = "write for example 2026-03-01T12:00 or 2026-03-01T12:00+01:00"
    try:
        parsed = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{text!r} is not a time: {example}") from None
    if len(text.strip()) <= len("2026-03-01"):
        raise ValueError(f"{text!r} has no time of day: {example}")
    zone = ZoneInfo(time_zone)
    try:
        if parsed.tzinfo is None and not exists(parsed, zone):
            raise ValueError(f"clocks in {time_zone} never show {text.strip()}: they are put forward over it")
        moment = moment_of(parsed, zone) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{text!r} is not a time: {example}") from None
    if moment <= now:
        raise ValueError(f"{text.strip()} is past: it is {now.astimezone(UTC):%Y-%m-%dT%H:%M}Z now")
    if (moment - now).days > MAX_AHEAD_DAYS:
        raise ValueError(f"{text.strip()} is more than five years ahead")
    return moment
