"""Lets the calls of one attempt to one provider go at that provider's pace: so many at a time, so many in a minute."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable

from squire_pipelines.domain.provider_limits import ProviderLimits
from squire_pipelines.gateway.refusals import RefusalError

_MINUTE_S = 60.0
_ANY = 1_000_000


class Pace:
    """The turns of calls, in one event loop.

    Args:
        limits: The provider's.
        clock: Tells seconds; it does not jump.
    """

    def __init__(self, limits: ProviderLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = limits.max_calls_per_minute
        self._at_once = asyncio.Semaphore(limits.max_concurrent or _ANY)
        self._begun: deque[float] = deque(maxlen=self._per_minute or 0)
        self._clock = clock

    @contextlib.asynccontextmanager
    async def turn(self, *, may_wait: bool) -> AsyncIterator[None]:
        """Wait for a call's turn, which lasts as long as the block.

        Raises:
            RefusalError: It is not its turn now, and it may not wait, since another provider can be asked.
        """
        if not may_wait and (self._at_once.locked() or self.pause_s() > 0):
            raise RefusalError("provider_limit", "the model's provider is at the limit that the settings give it")
        async with self._at_once:
            while (pause := self.pause_s()) > 0:  # noqa: ASYNC110 - it waits for time, not for another
                await asyncio.sleep(pause)
            self._begun.append(self._clock())
            yield

    def pause_s(self) -> float:
        """Return in how many seconds the minute has room for one more call; 0 for now."""
        if self._per_minute is None or len(self._begun) < self._per_minute:
            return 0.0
        return max(0.0, self._begun[0] + _MINUTE_S - self._clock())
