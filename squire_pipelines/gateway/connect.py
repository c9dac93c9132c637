"""CONNECT, for the hosts that the user has named as unsafe: the one method that ASGI has no word for.

A tunnel hides what is sent through it, so that nothing can be checked but where it leads and how much passes.
"""

import asyncio
from typing import Any

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from squire_pipelines.gateway import registry_routes
from squire_pipelines.gateway.egress import Egress, HostCount, resolve
from squire_pipelines.gateway.model import RunningCall
from squire_pipelines.gateway.rules import RefusalError

_MAX_HEAD_BYTES = 8192
_CHUNK_BYTES = 64 * 1024
_HIGH_WATER = 4
_log = structlog.get_logger(__name__)


class DoorProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which also knows CONNECT. The application is a `GatewayApp`."""

    _fresh = True
    _tunnel: "Tunnel | None" = None

    def data_received(self, data: bytes) -> None:
        """Bytes from the agent."""
        if self._tunnel is None and self._fresh and data.startswith(b"CONNECT "):
            self._unset_keepalive_if_required()
            self._tunnel = Tunnel(self, self.config.app)
        self._fresh = False
        if self._tunnel is not None:
            self._tunnel.feed(data)
            return
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """The agent has closed the connection."""
        if self._tunnel is not None:
            self._tunnel.lost()
        super().connection_lost(exc)

    def eof_received(self) -> None:
        """The agent will send no more."""
        if self._tunnel is not None:
            self._tunnel.lost()


class Tunnel:
    """One CONNECT from its first byte to its end."""

    def __init__(self, protocol: DoorProtocol, app: Any) -> None:
        self._protocol = protocol
        self._app = app
        self._head = bytearray()
        self._sent: asyncio.Queue[bytes] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    def feed(self, data: bytes) -> None:
        """Take what the agent sends: the request's head, then what is to pass."""
        if self._task is not None:
            self._sent.put_nowait(data)
            if self._sent.qsize() >= _HIGH_WATER:
                self._protocol.transport.pause_reading()
            return
        self._head += data
        head, end, rest = bytes(self._head).partition(b"\r\n\r\n")
        if not end and len(head) <= _MAX_HEAD_BYTES:
            return
        authority = head.split(b" ", 2)[1].decode("latin-1")
        if rest:
            self._sent.put_nowait(rest)
        self._task = asyncio.ensure_future(self._run(authority))

    def lost(self) -> None:
        """The agent is gone."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self, authority: str) -> None:
        call: RunningCall = self._app.new_call(f"CONNECT {authority}"[:200])
        try:
            async with asyncio.timeout(self._app.limits.call_s):
                await self._carry(call, authority)
        except RefusalError as refusal:
            call.error = refusal.code
            self._refuse(call, refusal)
        except TimeoutError:
            call.error = "timeout"
        except asyncio.CancelledError:
            call.error = "client_gone"
        except OSError as error:
            call.error = "upstream_unreachable"
            _log.info("gateway.tunnel_broke", reason=str(error)[:200])
            self._refuse(call, RefusalError(502, "upstream_unreachable", "the host cannot be reached"))
        finally:
            self._app.over(call)
            self._protocol.transport.close()

    def _refuse(self, call: RunningCall, refusal: RefusalError) -> None:
        if call.status:
            return
        call.status = refusal.status
        body = refusal.body()
        head = f"HTTP/1.1 {refusal.status} Refused\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        self._protocol.transport.write(head.encode() + b"connection: close\r\n\r\n" + body)

    async def _carry(self, call: RunningCall, authority: str) -> None:
        egress: Egress | None = self._app.egress
        allowed = egress.rules.unsafe_connect if egress is not None else frozenset()
        host, port = registry_routes.connect_target(authority, allowed)
        if egress is None:  # pragma: no cover - no host is allowed then
            return
        call.target = authority.lower()
        count = egress.begin(call.target)
        rules = egress.rules
        address = await resolve(host, port, allow_private=rules.allow_private, timeout_s=rules.connect_s)
        async with asyncio.timeout(rules.connect_s):
            reader, writer = await asyncio.open_connection(address, port)
        call.status, call.forwarded = 200, True
        self._protocol.transport.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        outwards = asyncio.ensure_future(self._outwards(call, egress, count, writer))
        try:
            await self._inwards(call, egress, count, reader)
        finally:
            outwards.cancel()
            writer.close()
            results = await asyncio.gather(outwards, return_exceptions=True)
        if isinstance(results[0], RefusalError):
            raise results[0]

    async def _outwards(
        self, call: RunningCall, egress: Egress, count: HostCount, writer: asyncio.StreamWriter
    ) -> None:
        try:
            while True:
                data = await self._sent.get()
                egress.count(count, sent=len(data))
                call.request_bytes += len(data)
                writer.write(data)
                await writer.drain()
                if self._sent.empty():
                    self._protocol.transport.resume_reading()
        finally:
            writer.close()  # the other direction ends with it

    async def _inwards(self, call: RunningCall, egress: Egress, count: HostCount, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(_CHUNK_BYTES):
            egress.count(count, received=len(data))
            call.response_bytes += len(data)
            self._protocol.transport.write(data)
            await self._protocol.flow.drain()
