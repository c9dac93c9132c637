"""Formatting values for people. Pure functions only."""

from datetime import UTC, datetime, timedelta

from squire_pipelines.domain.plurals import counted

__all__ = ["age", "between", "counted", "duration", "instant", "size"]

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def duration(seconds: float) -> str:
    """Return a duration in its largest unit or two: `45s`, `12m`, `3h05m`, `9d`."""
    whole = max(0, int(seconds))
    if whole < _MINUTE:
        return f"{whole}s"
    if whole < _HOUR:
        return f"{whole // _MINUTE}m"
    if whole < _DAY:
        return f"{whole // _HOUR}h{whole % _HOUR // _MINUTE:02d}m"
    return f"{whole // _DAY}d"


def age(moment: datetime | None, now: datetime) -> str:
    """Return how long ago `moment` was."""
    return "" if moment is None else duration((now - moment) / timedelta(seconds=1))


def instant(moment: datetime | None) -> str:
    """Return a moment in UTC to the second: `2026-03-01 12:00:00Z`."""
    return "" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"


def between(start: datetime | None, end: datetime | None) -> str:
    """Return how long it took from `start` to `end`, or nothing while one of them is not known."""
    return "" if start is None or end is None else f"{(end - start).total_seconds():.1f}s"


def size(count: int) -> str:
    """Return a number of bytes for people: `512 B`, `1.5 MiB`."""
    value = float(count)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:  # noqa: PLR2004 - the units' own step
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"
