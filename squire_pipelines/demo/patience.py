"""Decides how long the demo waits: as long as anything happens, for a busy machine is slow and a stuck one is idle."""

import time
from collections.abc import Callable

_LONGEST = 10  # times the patience, however much happens


class Patience:
    """Waits for what changes, in one thread.

    Args:
        patience_s: The longest time without a change.
        clock: In seconds; never goes back.
    """

    def __init__(self, patience_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._patience_s = patience_s
        self._clock = clock
        self._began = self._changed_at = clock()
        self._last: object = None

    @property
    def idle_s(self) -> float:
        """Seconds since the last change."""
        return self._clock() - self._changed_at

    def lasts(self, state: object) -> bool:
        """Take what is to be seen now; return whether to look again."""
        now = self._clock()
        if state != self._last:
            self._last, self._changed_at = state, now
        return now < min(self._changed_at + self._patience_s, self._began + self._patience_s * _LONGEST)
