"""Decides how long the demo waits: as long as anything happens, for a busy machine is slow and a stuck one is idle."""

import time
from collections.abc import Callable

_LONGEST = 10  # times the patience, however much happens
_SLOWEST = 5  # times the longest time without a change until now: a step may take so much longer than those before
_FIRST_REMINDER_S = 15.0


class Patience:
    """Waits for what changes, in one thread. On a machine on which each step takes long it waits longer.

    Args:
        patience_s: The longest time without a change, at least.
        clock: In seconds; never goes back.
    """

    def __init__(self, patience_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._patience_s = patience_s
        self._clock = clock
        self._began = self._changed_at = clock()
        self._last: object = None
        self._slowest_s = 0.0
        self._remind_after_s = _FIRST_REMINDER_S

    @property
    def idle_s(self) -> float:
        """Seconds since the last change."""
        return self._clock() - self._changed_at

    @property
    def limit_s(self) -> float:
        """Seconds without a change after which it ends."""
        return max(self._patience_s, _SLOWEST * self._slowest_s)

    def lasts(self, state: object) -> bool:
        """Take what is to be seen now; return whether to look again."""
        now = self._clock()
        if state != self._last:
            self._slowest_s = max(self._slowest_s, now - self._changed_at)
            self._last, self._changed_at = state, now
            self._remind_after_s = _FIRST_REMINDER_S
        limit_s = self.limit_s
        return now < min(self._changed_at + limit_s, self._began + limit_s * _LONGEST)

    def takes_long(self) -> bool:
        """Return whether nothing has changed for long, once; again when twice that time has passed."""
        if self.idle_s < self._remind_after_s:
            return False
        self._remind_after_s *= 2
        return True
