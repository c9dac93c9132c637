"""Bounds on our servers' connections: how many, how long without an answer, how finely cut, how much is logged."""

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from squire_pipelines.observability.logging import Component, get_logger, library_logger

# A body may come in that many pieces, and in one more for each so many of its bytes: each costs what 1 kB costs.
_FREE_PIECES = 1000
_BYTES_FOR_A_PIECE = 512
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
    """

    per_address: int = 256
    total: int = 1024
    answer_within_s: float = 20.0
    until_request: bool = False


@dataclass(slots=True)
class ServersConnections:
    """The connections of one server, and what was refused of them.

    Args:
        limits: Their bounds.
        component: Whose log lines they make.
        on_wrong_request: Called with each request that was refused before the application saw it.
    """

    limits: ConnectionLimits
    component: Component
    on_wrong_request: Callable[[], None] = lambda: None
    open_by_address: Counter[str] = field(default_factory=Counter)
    _events: Counter[str] = field(default_factory=Counter)

    def log(self, event: str, address: str) -> None:
        """Log the first, second, fourth, eighth … event of a kind, so that nobody fills the log."""
        self._events[event] += 1
        count = self._events[event]
        if not count & (count - 1):
            get_logger(self.component).warning(
                event, address=address, times=count, open_of_all=self.open_by_address.total()
            )


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


class BoundedParser(h11.Connection):
    """Reads requests whose bodies do not come in more pieces than their length accounts for."""

    _pieces = 0
    _size = 0

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Return the next part of a request. Raises RemoteProtocolError, also for a body that is cut too finely."""
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._pieces = self._size = 0
        elif isinstance(event, h11.Data):
            self._pieces += 1
            self._size += len(event.data)
            if self._pieces > _FREE_PIECES + self._size // _BYTES_FOR_A_PIECE:
                raise h11.RemoteProtocolError("the body comes in too many pieces")
        return event


class LimitedProtocol(H11Protocol):
    """One connection. The callbacks are asyncio's, all in the loop's one thread."""

    server_connections: ClassVar[ServersConnections]
    _address: str | None = None
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Count the connection, or end it at once if its address, or all together, have enough."""
        address = caller_of(str((transport.get_extra_info("peername") or ("",))[0]))
        group = self.server_connections
        of_address, of_all = group.open_by_address[address], group.open_by_address.total()
        if of_address >= group.limits.per_address or of_all >= group.limits.total:
            group.log("connection refused", address)
            transport.abort()
            return
        group.open_by_address[address] += 1
        self._address = address
        self.logger = _uvicorn_errors
        self.conn = BoundedParser(h11.SERVER, max_incomplete_event_size=2**16)
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Take the connection off its address's account."""
        if self._address is None:
            return
        open_by_address = self.server_connections.open_by_address
        open_by_address[self._address] -= 1
        if not open_by_address[self._address]:
            del open_by_address[self._address]
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, unless the connection was refused or is being closed."""
        if self._address is None or self.transport.is_closing():
            return
        super().data_received(data)
        is_served = self.cycle is not None and not self.cycle.response_complete
        if is_served and self.server_connections.limits.until_request:
            self._stop_timer()

    def send_400_response(self, msg: str) -> None:
        """Count a request that is none, and answer it, unless another answer is under way."""
        self.server_connections.on_wrong_request()
        self.server_connections.log("wrong request", self._address or "")
        try:
            super().send_400_response(msg)
        except h11.LocalProtocolError:
            self.transport.abort()

    def on_response_complete(self) -> None:
        """Give the next request the same time."""
        self._start_timer()
        super().on_response_complete()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _start_timer(self) -> None:
        self._stop_timer()
        if not self.transport.is_closing():
            self._timer = self.loop.call_later(self.server_connections.limits.answer_within_s, self._end)

    def _end(self) -> None:
        self.server_connections.log("connection ended without an answer", self._address or "")
        self.transport.abort()


def limited_protocol(
    limits: ConnectionLimits, component: Component, on_wrong_request: Callable[[], None] = lambda: None
) -> type[LimitedProtocol]:
    """Return uvicorn's protocol for one server, with `limits` on its connections; see ServersConnections."""
    connections = ServersConnections(limits, component, on_wrong_request)
    return type("ServersProtocol", (LimitedProtocol,), {"server_connections": connections})
