"""When the times of a cron text come in a time zone, also on days on which the clocks are changed. Pure.

croniter knows which times a clock on the wall shows; which moments these are is decided here.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

_FIELDS = 5
_MAX_CHARS = 500
"""Of a cron text: one that names each minute and each hour has 260."""

_STEP = re.compile(r"/([0-9]+)")
_SIZES = {"minutes": 60, "hours": 24, "days": 31, "months": 12, "days of the week": 7}
_RANDOM = re.compile(r"(?<![a-z])r(?![a-z])", re.IGNORECASE)
_ANY_HOUR = ["*"]
_DAY, _SECOND = timedelta(days=1), timedelta(seconds=1)


def check_cron(text: str) -> str:
    """Return a cron text as it is. Raises ValueError for one that Dagster refuses or whose time never comes.

    One that croniter draws by chance (`R`) is refused too: its times would be others at each look. `@hourly`, `@daily`,
    `@weekly`, `@monthly` and `@yearly` stand for five fields.
    """
    # Dagster has the same version of this parser in itself. Imported only where a schedule is set.
    from croniter.croniter import CroniterBadDateError, CroniterError, croniter  # noqa: PLC0415

    if len(text) > _MAX_CHARS or not text.isascii():
        raise ValueError(f"a schedule is of ASCII letters, digits and signs, at most {_MAX_CHARS}")
    fields = "a schedule has five fields: minute, hour, day of month, month, day of week, for example */10 * * * *"
    try:
        if len(croniter.expand(text)[0]) != _FIELDS:
            raise ValueError(fields)
        if _RANDOM.search(text):
            raise ValueError("a schedule cannot have R, by which its times would be others at each look")
        _check_steps(text)
        croniter(text).get_next()
    except CroniterBadDateError:
        raise ValueError("the schedule names a time that never comes") from None
    except CroniterError as error:
        reason = "" if "columns" in str(error) else f" ({error})"  # it speaks of columns that Dagster does not take
        raise ValueError(f"{fields}{reason}") from error
    return text


def _check_steps(text: str) -> None:
    """Refuse a step beyond its field, of which croniter makes one time in each round of the field."""
    for field, (unit, size) in zip(text.split(), _SIZES.items(), strict=False):  # `@daily` is one word
        for step in _STEP.findall(field):
            if int(step) > size:
                raise ValueError(f"{field} does not mean every {step} {unit}: of these a step has {size} at most")


@dataclass(frozen=True, slots=True)
class CronTimes:
    """The times of a cron text by the clocks of a zone.

    They are those of Debian's cron. A text that names its hours means the clock on the wall: a time that the clocks
    pass over comes at the moment at which they are put forward, and one that they show twice comes the first time. A
    text for any hour (`*`) means the time that passes: it goes on at its distance over a change of the clocks.

    Args:
        cron: Five fields, as `check_cron` takes them.
        zone: Whose clocks are meant.
    """

    cron: str
    zone: ZoneInfo

    def after(self, moment: datetime) -> datetime:
        """Return the first time after `moment` (aware), in UTC; never `moment` itself."""
        from croniter.croniter import croniter  # noqa: PLC0415 - likewise

        moment = moment.astimezone(UTC).replace(microsecond=0)
        if croniter.expand(self.cron)[0][1] == _ANY_HOUR:
            return self._after_by_passing_time(moment)
        return self._after_by_the_wall(moment)

    def _after_by_the_wall(self, moment: datetime) -> datetime:
        wall = moment.astimezone(self.zone).replace(tzinfo=None)
        while True:  # ends: walls grow, and moments with them
            wall = self._next_wall(wall)
            if (candidate := moment_of(wall, self.zone)) > moment:
                return candidate

    def _after_by_passing_time(self, moment: datetime) -> datetime:
        offset = _offset(moment, self.zone)
        wall = (moment + offset).replace(tzinfo=None)
        while True:  # each turn is one change of the clocks further
            candidate = (self._next_wall(wall) - offset).replace(tzinfo=UTC)
            change = _first_change(moment, candidate, self.zone)
            if change is None:
                return candidate
            moment, offset = change, _offset(change, self.zone)
            wall = (change + offset).replace(tzinfo=None) - _SECOND

    def _next_wall(self, wall: datetime) -> datetime:
        from croniter.croniter import croniter  # noqa: PLC0415 - likewise

        following: datetime = croniter(self.cron, wall).get_next(datetime)
        return following.replace(tzinfo=None)


def exists(wall: datetime, zone: ZoneInfo) -> bool:
    """Return whether clocks of the zone ever show this time, which is naive."""
    return _first_moment(wall, zone).astimezone(zone).replace(tzinfo=None) == wall


def moment_of(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return the moment, in UTC, at which clocks show a time, which is naive: the first of two.

    For a time that the clocks pass over, that at which they are put forward.
    """
    first = _first_moment(wall, zone)
    if exists(wall, zone):
        return first
    # By the offset from before the change it would be later than the change, and by that from after it earlier.
    return _change_between(wall.replace(tzinfo=zone, fold=1).astimezone(UTC), first, zone)


def _first_moment(wall: datetime, zone: ZoneInfo) -> datetime:
    return wall.replace(tzinfo=zone, fold=0).astimezone(UTC)


def _offset(moment: datetime, zone: ZoneInfo) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta()


def _first_change(after: datetime, until: datetime, zone: ZoneInfo) -> datetime | None:
    """Return the first moment after `after` up to `until` at which the clocks are changed; None where there is none."""
    while after < until:
        end = min(after + _DAY, until)
        if _offset(after, zone) != _offset(end, zone):
            return _change_between(after, end, zone)
        after = end
    return None


def _change_between(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """Return the second at which the offset of `before` ends, which `after` no longer has."""
    offset = _offset(before, zone)
    low, high = int(before.timestamp()), int(after.timestamp())
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _offset(datetime.fromtimestamp(middle, UTC), zone) == offset else (low, middle)
    return datetime.fromtimestamp(high, UTC)
