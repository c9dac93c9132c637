"""When a child process that died is started again: at once the first time, then after growing waits, for ever. Pure."""

PROVEN_S = 600.0
"""A child that has lived for so long before it died has not died again and again."""

_FIRST_WAIT_S = 5.0
_LONGEST_WAIT_S = 300.0
_MAX_DOUBLINGS = 10


def count_deaths(before: int, lived_s: float) -> int:
    """Return how often a child has died in a row, with a death after `lived_s` seconds; `before` it were so many."""
    return 1 if lived_s >= PROVEN_S else before + 1


def restart_wait_s(deaths: int) -> float:
    """Return for how many seconds a child that has died so often in a row is left alone: 0, 5, 10, 20, at most 300."""
    return 0.0 if deaths <= 1 else min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** min(deaths - 2, _MAX_DOUBLINGS))
