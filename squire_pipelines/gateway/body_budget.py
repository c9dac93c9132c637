"""How much of agents' requests a gateway has in memory at once: calls with large bodies wait for each other."""

import asyncio
from collections import deque


class BodyBudget:
    """Shares a number of bytes among calls, in the order in which they ask. Used in one event loop.

    Args:
        total: Of all bodies together. A body that is larger waits until it is alone.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._used = 0
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()

    @property
    def used(self) -> int:
        """The bytes that calls have now."""
        return self._used

    async def take(self, size: int) -> None:
        """Wait until there is room for a body of that size, and take it."""
        size = min(size, self._total)
        if not self._waiting and self._used + size <= self._total:
            self._used += size
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((turn, size))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._used -= size  # its turn had come
            self._wake()
            raise

    def release(self, size: int) -> None:
        """Give back what was taken for a body of that size."""
        self._used -= min(size, self._total)
        self._wake()

    def _wake(self) -> None:
        while self._waiting:
            turn, size = self._waiting[0]
            if not turn.done() and self._used + size > self._total:
                return
            self._waiting.popleft()
            if not turn.done():
                self._used += size
                turn.set_result(None)


class BodyShare:
    """What one call has of the budget.

    Args:
        budget: Of the gateway.
        free: Bytes that each call may have without asking.
    """

    def __init__(self, budget: BodyBudget, free: int) -> None:
        self._budget = budget
        self._free = free
        self._taken = 0

    async def reserve(self, size: int, most: int) -> None:
        """Wait for room once the body is larger than what is free.

        The room is for the most that it may become, so that no two calls wait for each other with half of their bodies.
        """
        if size > self._free and not self._taken:
            await self._budget.take(most)
            self._taken = most

    def release(self) -> None:
        """Give everything back; may be repeated."""
        if self._taken:
            taken, self._taken = self._taken, 0
            self._budget.release(taken)
