"""When a delivery that could not be applied is tried again: with growing waits, and a few times. Pure."""

from datetime import datetime, timedelta

_FIRST_WAIT = timedelta(seconds=10)
_FACTOR = 4
_MAX_POWER = 6


def next_try(failed_at: datetime, tries: int) -> datetime:
    """Return when to try again what was tried `tries` times, the last time `failed_at`; each wait is four of the last.

    The fifth try begins a quarter of an hour after the first, and no wait is longer than half a day.
    """
    if tries < 1:
        return failed_at
    waits: int = _FACTOR ** min(tries - 1, _MAX_POWER)
    return failed_at + _FIRST_WAIT * waits
