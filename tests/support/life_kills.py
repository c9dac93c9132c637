"""Processes of ours that are killed: at a write of the ledger, or at a request to GitHub, before it or after it.

A kill is an exception that nothing of ours catches. After it the process is dead: what it would still write or ask in
its `finally` blocks is refused, as a real kill would have it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from squire_pipelines.ledger.store import Ledger, Transaction


class KilledError(BaseException):
    """The process was killed."""


class Killer:
    """Counts the moments at which a process could be killed, and kills it at the one that is due.

    A killer that is not armed kills nobody. `moments` counts those since it was armed last.
    """

    def __init__(self) -> None:
        self.moments = 0
        self.kills = 0
        self._due: int | None = None
        self._is_dead = False

    def arm(self, due: int | None) -> None:
        """Begin a process that is killed at moment number `due`, from 0; None for one that lives."""
        self.moments, self._due, self._is_dead = 0, due, False

    def pass_moment(self) -> None:
        """Go past one moment, or die at it. Raises KilledError."""
        if self._is_dead:
            raise KilledError
        if self._due == self.moments:
            self._is_dead = True
            self.kills += 1
            raise KilledError
        self.moments += 1


class MortalLedger(Ledger):
    """A ledger whose process may be killed right before and right after each write."""

    killer: Killer

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """Begin a transaction that writes."""
        self.killer.pass_moment()
        with super().write() as tx:
            yield tx
        self.killer.pass_moment()


class MortalTransport(httpx.AsyncBaseTransport):
    """Requests whose process may be killed before they are sent, and after they were carried out."""

    def __init__(self, transport: httpx.AsyncBaseTransport, killer: Killer) -> None:
        self._transport = transport
        self._killer = killer

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it."""
        self._killer.pass_moment()
        response = await self._transport.handle_async_request(request)
        self._killer.pass_moment()
        return response
