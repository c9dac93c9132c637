"""Bounds on our servers' connections: how many, how long without an answer, how finely cut, how much is logged."""

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from squire_pipelines.observability.logging import Component, get_logger, library_logger

# A body may come in that many pieces, and in one more for each so many of its bytes: each costs what 1 kB costs.
_FREE_PIECES = 1000
_BYTES_FOR_A_PIECE = 512
MAX_HEAD = 2**16
"""Bytes of a request's line and headers."""

# uvicorn warns of each wrong request, which anybody may send without end; its errors are exceptions of ours.
_uvicorn_errors = library_logger("uvicorn.error.connections", "error")


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What one caller may hold.

    Args:
        per_address: Open connections of one address, of IPv6 of one network of 64 bits, which is one caller's. Behind a
            proxy all have the proxy's, and on a Unix socket all have one.
        total: Open connections of all addresses together.
        answer_within_s: From its beginning, or from its last answer, until a connection is ended that has had no
            (further) answer, whatever it sends meanwhile. GitHub waits for ten seconds.
        until_request: Whether the time ends with the head of a request, since the application limits what follows.
        yields_after_s: How long a connection may ask for nothing before it gives way to a new one that would be refused
            for want of a place: whoever holds idle ones keeps no probe of the same address out.
    """

    per_address: int = 256
    total: int = 1024
    answer_within_s: float = 20.0
    until_request: bool = False
    yields_after_s: float = 1.0


@dataclass(slots=True)
class ServersConnections:
    """The connections of one server, and what was refused of them.

    Args:
        limits: Their bounds.
        component: Whose log lines they make.
        on_wrong_request: Called with each request that was refused before the application saw it.
        open_by_address: How many there are of each caller.
        idle_since: Those without a request under way, since when by the loop's clock, the longest idle first.
    """

    limits: ConnectionLimits
    component: Component
    on_wrong_request: Callable[[], None] = lambda: None
    open_by_address: Counter[str] = field(default_factory=Counter)
    idle_since: dict["BoundedConnection", float] = field(default_factory=dict)
    _events: Counter[str] = field(default_factory=Counter)

    def has_place(self, address: str, now: float) -> bool:
        """Return whether a new connection has a place, after an idle one has given way where none is left.

        Args:
            address: Of the new one. Another of the same address gives way, or any where all together are too many.
            now: By the loop's clock.
        """
        is_full = self.open_by_address.total() >= self.limits.total
        if not is_full and self.open_by_address[address] < self.limits.per_address:
            return True
        is_of_address = self.open_by_address[address] >= self.limits.per_address
        for connection, since in self.idle_since.items():
            if now - since < self.limits.yields_after_s:
                return False
            if connection.address == address or not is_of_address:
                connection.end("idle connection ended for a new one")
                return True
        return False

    def log(self, event: str, address: str) -> None:
        """Log the first, second, fourth, eighth … event of a kind, so that nobody fills the log."""
        self._events[event] += 1
        count = self._events[event]
        if not count & (count - 1):
            get_logger(self.component).warning(
                event, address=address, times=count, open_of_all=self.open_by_address.total()
            )


@lru_cache(maxsize=1024)
def caller_of(address: str) -> str:
    """Return by what an address's connections are counted: itself, or its network of 64 bits for IPv6.

    A caller gets a whole such network: https://www.rfc-editor.org/rfc/rfc6177. An IPv4 address within IPv6 is itself.
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:  # a Unix socket has no address
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ip.ipv4_mapped or ipaddress.ip_network((ip, 64), strict=False))
    return address


@dataclass(slots=True)
class BodyPieces:
    """How finely the body of one request is cut."""

    count: int = 0
    size: int = 0

    def add(self, size: int) -> bool:
        """Count a piece of `size` bytes, and return whether there are more than a body of that length may come in."""
        self.count += 1
        self.size += size
        return self.count > _FREE_PIECES + self.size // _BYTES_FOR_A_PIECE


class BoundedConnection(asyncio.Protocol):
    """One connection with its bounds, for a protocol of uvicorn's, whichever parser it reads requests with.

    The callbacks are asyncio's, all in the loop's one thread.
    """

    server_connections: ClassVar[ServersConnections]
    address: str | None = None
    """By which it is counted; None for one that is not, or not any more."""

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    cycle: Any  # uvicorn's, of the newest request
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Count the connection, or end it at once if its address, or all together, have enough."""
        address = caller_of(str((transport.get_extra_info("peername") or ("",))[0]))
        group = self.server_connections
        if not group.has_place(address, self.loop.time()):
            group.log("connection refused", address)
            transport.abort()
            return
        group.open_by_address[address] += 1
        self.address = address
        group.idle_since[self] = self.loop.time()
        self.logger = _uvicorn_errors
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Take the connection off its address's account."""
        if self.transport is None:  # it was refused
            return
        self._leave()
        self._stop_timer()
        super().connection_lost(exc)

    def _leave(self) -> None:
        """Take the connection off its address's account, once."""
        if self.address is None:
            return
        group = self.server_connections
        group.open_by_address[self.address] -= 1
        if not group.open_by_address[self.address]:
            del group.open_by_address[self.address]
        group.idle_since.pop(self, None)
        self.address = None

    def end(self, reason: str) -> None:
        """End the connection at once, and count it no more."""
        self.server_connections.log(reason, self.address or "")
        self._leave()
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Read on, unless the connection was refused or is being closed."""
        if self.address is None or self.transport.is_closing():
            return
        super().data_received(data)
        if self._leave_idle_ones() and self.server_connections.limits.until_request:
            self._stop_timer()

    def count_wrong_request(self) -> None:
        """Count a request that is none."""
        self.server_connections.on_wrong_request()
        self.server_connections.log("wrong request", self.address or "")

    def on_response_complete(self) -> None:
        """Give the next request the same time."""
        if self.address is not None:
            self.server_connections.idle_since[self] = self.loop.time()
        self._start_timer()
        super().on_response_complete()  # type: ignore[misc]  # it is uvicorn's
        self._leave_idle_ones()  # the next request may have come already

    def _leave_idle_ones(self) -> bool:
        """Count the connection as idle no more if a request is under way; return whether one is."""
        is_served = self.cycle is not None and not self.cycle.response_complete
        if is_served:
            self.server_connections.idle_since.pop(self, None)
        return is_served

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _start_timer(self) -> None:
        self._stop_timer()
        if not self.transport.is_closing():
            self._timer = self.loop.call_later(self.server_connections.limits.answer_within_s, self._end)

    def _end(self) -> None:
        self.end("connection ended without an answer")


class BoundedParser(h11.Connection):
    """Reads requests whose bodies do not come in more pieces than their length accounts for."""

    _pieces = BodyPieces()

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Return the next part of a request. Raises RemoteProtocolError, also for a body that is cut too finely."""
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._pieces = BodyPieces()
        elif isinstance(event, h11.Data) and self._pieces.add(len(event.data)):
            raise h11.RemoteProtocolError("the body comes in too many pieces")
        return event


class LimitedProtocol(BoundedConnection, H11Protocol):
    """A connection whose requests h11 reads: slower, and `CONNECT` comes to the application like all others."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Bound what is read from a connection."""
        self.conn = BoundedParser(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        super().connection_made(transport)

    def send_400_response(self, msg: str) -> None:
        """Count a request that is none, and answer it, unless another answer is under way."""
        self.count_wrong_request()
        try:
            super().send_400_response(msg)
        except h11.LocalProtocolError:
            self.transport.abort()


def limited_protocol(
    limits: ConnectionLimits, component: Component, on_wrong_request: Callable[[], None] = lambda: None
) -> type[LimitedProtocol]:
    """Return the protocol for one server whose requests h11 reads; see ServersConnections."""
    connections = ServersConnections(limits, component, on_wrong_request)
    return type("ServersProtocol", (LimitedProtocol,), {"server_connections": connections})
