"""Bounds on the receiver's connections: how many one address and all may hold, how long one goes without an answer."""

import asyncio
import ipaddress
from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

from squire_pipelines.observability.logging import Component, get_logger

_log = get_logger(Component.WEBHOOKS)


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What one caller may hold.

    Args:
        per_address: Open connections of one address, of IPv6 of one network of 64 bits, which is one caller's. Behind a
            proxy all have the proxy's.
        total: Open connections of all addresses together.
        answer_within_s: From its beginning, or from its last answer, until a connection is ended that has had no
            (further) answer, whatever it sends meanwhile. GitHub waits for ten seconds.
    """

    per_address: int = 256
    total: int = 1024
    answer_within_s: float = 20.0


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


class LimitedProtocol(H11Protocol):
    """One connection. The callbacks are asyncio's, all in the loop's one thread."""

    limits: ClassVar[ConnectionLimits]
    open_by_address: ClassVar[Counter[str]]
    _address: str | None = None
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Count the connection, or end it at once if its address, or all together, have enough."""
        address = caller_of(str((transport.get_extra_info("peername") or ("",))[0]))
        of_address, of_all = self.open_by_address[address], self.open_by_address.total()
        if of_address >= self.limits.per_address or of_all >= self.limits.total:
            _log.warning("connection refused", address=address, open=of_address, open_of_all=of_all)
            transport.abort()
            return
        self.open_by_address[address] += 1
        self._address = address
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Take the connection off its address's account."""
        if self._address is None:
            return
        self.open_by_address[self._address] -= 1
        if not self.open_by_address[self._address]:
            del self.open_by_address[self._address]
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, unless the connection was refused."""
        if self._address is not None:
            super().data_received(data)

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
            self._timer = self.loop.call_later(self.limits.answer_within_s, self._end)

    def _end(self) -> None:
        _log.info("connection ended without an answer", address=self._address, after_s=self.limits.answer_within_s)
        self.transport.abort()


def limited_protocol(limits: ConnectionLimits) -> type[LimitedProtocol]:
    """Return uvicorn's protocol for one server, with `limits` on its connections."""
    return type("ServersProtocol", (LimitedProtocol,), {"limits": limits, "open_by_address": Counter()})
