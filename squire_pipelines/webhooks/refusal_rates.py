"""How often requests of each address were refused lately: beyond a rate it gets the same answer for all of them, 429.

A request that is right is not refused, whatever others of its address did: behind a proxy all have one address.
"""

import time
from collections import OrderedDict
from collections.abc import Callable

MAX_ADDRESSES = 4096
"""Of so many addresses the rate is known; the one that was refused longest ago is forgotten for a new one."""


class RefusalRates:
    """A bucket of tokens for each address: a refusal takes one, and they come back over time.

    Args:
        per_minute: Gives how many requests of one address may be refused in a minute.
        clock: Gives the time in seconds.
    """

    def __init__(self, per_minute: Callable[[], int], clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """Return for how many seconds an address has had its share of refusals; 0 for one that has not."""
        per_minute = self._per_minute()
        left = self._left(address, per_minute)
        return 0.0 if left >= 1 else (1 - left) * 60 / per_minute

    def note(self, address: str) -> None:
        """Count a refusal of an address."""
        left = self._left(address, self._per_minute())
        self._buckets[address] = max(0.0, left - 1), self._clock()
        self._buckets.move_to_end(address)
        if len(self._buckets) > MAX_ADDRESSES:
            self._buckets.popitem(last=False)

    def _left(self, address: str, per_minute: int) -> float:
        left, at = self._buckets.get(address, (float(per_minute), 0.0))
        return min(per_minute, left + (self._clock() - at) * per_minute / 60)
