"""When something that is said on GitHub, and failed, is tried again: with growing waits, and a few times. Pure."""

from datetime import datetime, timedelta

MAX_TRIES = 5
"""After so many that failed, it is given up."""

_FIRST_WAIT = timedelta(minutes=5)


def next_try(now: datetime, tries: int) -> datetime:
    """Return when to try again what has been tried `tries` times, at least once; each wait is three times the last."""
    waits: int = 3 ** (min(tries, MAX_TRIES) - 1)
    return now + _FIRST_WAIT * waits
