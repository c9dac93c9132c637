"""When repositories are read regularly: at an interval, and not in the quiet hours of a time zone. Pure."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo

_QUIET_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")
_MINUTE_S = 60


@dataclass(frozen=True, slots=True)
class QuietHours:
    """A span of each day by the clock on the wall, from `begins` up to `ends`; over midnight when it ends earlier."""

    begins: time
    ends: time

    def contain(self, moment: datetime, zone: tzinfo) -> bool:
        """Return whether clocks in `zone` show a time of the span at `moment`, which is aware.

        Where the clocks are put back, the hour that comes twice is in the span both times; where they are put forward,
        the hour that is left out belongs to no span.
        """
        shown = moment.astimezone(zone).time()
        if self.begins < self.ends:
            return self.begins <= shown < self.ends
        return shown >= self.begins or shown < self.ends

    def next_change(self, moment: datetime, zone: tzinfo) -> datetime:
        """Return the first moment after `moment`, which is aware, at which the span begins or ends in `zone`."""
        today = moment.astimezone(zone).date()
        shown = (
            datetime.combine(today + timedelta(days=days), edge, tzinfo=zone).astimezone(UTC)
            for days in range(-1, 3)
            for edge in (self.begins, self.ends)
        )
        return min(change for change in shown if change > moment)


def parse_quiet_hours(text: str) -> QuietHours:
    """Return the quiet hours that a text such as `22:00-06:30` describes. Raises ValueError."""
    match = _QUIET_HOURS.fullmatch(text)
    if match is None:
        raise ValueError("quiet hours are written from-to with hours and minutes, for example 22:00-06:30")
    begins, ends = time(int(match[1]), int(match[2])), time(int(match[3]), int(match[4]))
    if begins == ends:
        raise ValueError("quiet hours begin and end at different times; leave them out to read at any time")
    return QuietHours(begins, ends)


def parse_zoned_quiet_hours(text: str) -> tuple[QuietHours, str]:
    """Return the quiet hours and the time zone's name of a text such as `22:00-06:30 Europe/Berlin`.

    Raises:
        ValueError: It is none; whether there is such a zone is not looked at.
    """
    span, blank, zone = text.partition(" ")
    if not blank or not zone:
        raise ValueError("write the hours and a time zone, for example 22:00-06:30 Europe/Berlin")
    return parse_quiet_hours(span), zone


def is_due(moment: datetime, interval_s: int) -> bool:
    """Return whether the minute of `moment` is one of those that an interval of whole minutes names.

    They count from 1970 on, so that they stay the same over restarts and changes of the clocks.
    """
    return int(moment.timestamp()) // _MINUTE_S % (interval_s // _MINUTE_S) == 0


def seconds_until_due(moment: datetime, interval_s: int) -> float:
    """Return the seconds from `moment` to the next minute that `is_due`, which is never now."""
    passed = moment.timestamp() % interval_s
    return timedelta(seconds=interval_s - passed).total_seconds()
