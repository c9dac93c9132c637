"""Egress: passes readings of named registries on, counts bytes by host, and refuses everything else.

Which requests may pass is decided in `registry_routes`. Names are resolved here and the address is checked before it is
connected to, so that a name cannot lead elsewhere between check and use.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpcore
import httpx

from squire_pipelines.gateway import registry_routes
from squire_pipelines.gateway.model import RunningCall
from squire_pipelines.gateway.refusals import RefusalError
from squire_pipelines.gateway.registry_routes import Registry, RegistryTarget

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
_REDIRECTS = range(300, 400)
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})


@dataclass(frozen=True, slots=True)
class EgressRules:
    """What an attempt may read beside its model, as the user has set it.

    Args:
        registries: The registries that this attempt may read.
        allow_private: Whether a registry's name may lead to an address that is not public.
        max_bytes: Sent and received in the whole attempt.
        max_requests: In the whole attempt.
        max_index_bytes: Of one document that is rewritten, which is held in memory.
        connect_s: For a connection.
        idle_s: Between two pieces of an answer.
    """

    registries: tuple[Registry, ...] = ()
    allow_private: bool = False
    max_bytes: int = 2 * 2**30
    max_requests: int = 10_000
    max_index_bytes: int = 32 * 2**20
    connect_s: float = 10.0
    idle_s: float = 60.0

    @property
    def is_open(self) -> bool:
        """Whether anything may pass."""
        return bool(self.registries)


@dataclass(slots=True)
class HostCount:
    """What passed to and from one host; of what is sent, the URLs are counted."""

    requests: int = 0
    received_bytes: int = 0
    sent_bytes: int = 0


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects to what a name resolves to only when all of its addresses are public, or the user allows others."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """See httpcore. Raises RefusalError when an address is not public, or there is none."""
        try:
            async with asyncio.timeout(timeout or 10.0):
                entries = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, TimeoutError, UnicodeError) as error:
            raise RefusalError("upstream_unreachable", f"{host[:100]} has no address") from error
        addresses = [str(entry[4][0]) for entry in entries]
        if not self._allow_private:
            for address in addresses:
                registry_routes.check_address(host, address)
        return await self._inner.connect_tcp(addresses[0], port, timeout, local_address, socket_options)

    async def sleep(self, seconds: float) -> None:
        """See httpcore."""
        await self._inner.sleep(seconds)


@dataclass(slots=True)
class Egress:
    """Serves `/egress/…` of one attempt, in the gateway's loop."""

    rules: EgressRules
    hosts: dict[str, HostCount] = field(default_factory=dict)
    _requests: int = 0
    _bytes: int = 0
    _pool: httpcore.AsyncConnectionPool | None = None

    async def close(self) -> None:
        """Close the connections."""
        if self._pool is not None:
            await self._pool.aclose()

    def admit(self) -> None:
        """Count a request that has arrived, whatever becomes of it. Raises RefusalError when no more may be made."""
        if self._requests >= self.rules.max_requests:
            raise RefusalError(
                "egress", f"the attempt has made the {self.rules.max_requests} requests that it may make"
            )
        self._requests += 1

    async def serve(self, call: RunningCall, scope: Message, send: Send) -> None:
        """Answer one request. Raises RefusalError."""
        raw: bytes = scope.get("raw_path") or str(scope["path"]).encode()
        registries = {registry.name: registry for registry in self.rules.registries}
        target = registry_routes.route(scope["method"], raw, scope.get("query_string", b""), registries)
        registry_routes.check_no_body(scope["headers"])
        call.target = target.host
        self._count_request(target)
        if self._pool is None:
            self._pool = httpcore.AsyncConnectionPool(
                ssl_context=httpx.create_ssl_context(),
                max_connections=16,
                network_backend=GuardedBackend(allow_private=self.rules.allow_private),
            )
        timeouts = dict.fromkeys(("connect", "pool", "write"), self.rules.connect_s) | {"read": self.rules.idle_s}
        try:
            async with self._pool.stream(
                scope["method"],
                target.url,
                headers=registry_routes.request_headers(scope["headers"], target.url),
                extensions={"timeout": timeouts},
            ) as response:
                call.forwarded = True
                await self._answer(call, scope, target, response, send)
        except httpcore.TimeoutException as error:
            raise RefusalError("timeout", f"{target.registry.name} did not answer in time") from error
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            raise RefusalError(
                "upstream_unreachable", f"{target.registry.name} cannot be reached, or broke its answer off"
            ) from error

    def _count_request(self, target: RegistryTarget) -> None:
        count = self.hosts.setdefault(target.host, HostCount())
        count.requests += 1
        count.sent_bytes += len(target.url)
        self._count_bytes(len(target.url))

    def _count_received(self, target: RegistryTarget, size: int) -> None:
        self.hosts[target.host].received_bytes += size
        self._count_bytes(size)

    def _count_bytes(self, size: int) -> None:
        self._bytes += size
        if self._bytes > self.rules.max_bytes:
            raise RefusalError("egress", f"the attempt has used up its {self.rules.max_bytes} bytes of egress")

    async def _answer(
        self, call: RunningCall, scope: Message, target: RegistryTarget, response: httpcore.Response, send: Send
    ) -> None:
        gateway_url = _gateway_url(scope)
        received = {name.lower(): value for name, value in response.headers}
        headers = registry_routes.response_headers(response.headers)
        if response.status in _REDIRECTS and b"location" in received:
            location = registry_routes.redirected(received[b"location"].decode("latin-1"), target, gateway_url)
            headers += [(b"location", location.encode("latin-1", errors="replace")), (b"content-length", b"0")]
            await _send_whole(call, response.status, headers, b"", send)
            return
        encoding = received.get(b"content-encoding", b"identity")
        is_index = registry_routes.is_index(received.get(b"content-type", b"").decode("latin-1"))
        if is_index and encoding != b"identity":
            raise RefusalError(
                "egress", f"{target.registry.name} answers in a coding that was not asked for", status=502
            )
        if not is_index or scope["method"] == "HEAD":
            # A rewritten index has another length, which is not known before it is read.
            passed = () if is_index else (b"content-length", b"content-encoding")
            headers += [(name, received[name]) for name in passed if name in received]
            await self._stream(call, target, response, headers, send)
            return
        body = bytearray()
        async for chunk in response.aiter_stream():
            self._count_received(target, len(chunk))
            body += chunk
            if len(body) > self.rules.max_index_bytes:
                limit = self.rules.max_index_bytes
                raise RefusalError("response_too_large", f"{target.registry.name} answers more than {limit} bytes")
        content = registry_routes.rewrite_urls(bytes(body), target.registry, gateway_url)
        headers.append((b"content-length", str(len(content)).encode()))
        await _send_whole(call, response.status, headers, content, send)

    async def _stream(
        self,
        call: RunningCall,
        target: RegistryTarget,
        response: httpcore.Response,
        headers: list[tuple[bytes, bytes]],
        send: Send,
    ) -> None:
        call.status = response.status
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        async for chunk in response.aiter_stream():
            call.response_bytes += len(chunk)
            self._count_received(target, len(chunk))
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        call.answered = True
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _send_whole(
    call: RunningCall, status: int, headers: list[tuple[bytes, bytes]], body: bytes, send: Send
) -> None:
    call.status, call.response_bytes, call.answered = status, len(body), True
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _gateway_url(scope: Message) -> str:
    """Return how the agent has reached us: its relay's loopback address, or nothing for any other that it names."""
    host = next((value.decode("latin-1") for name, value in scope["headers"] if name.lower() == b"host"), "")
    try:
        is_relay = host.rpartition(":")[0] in _LOOPBACK and urlsplit(f"http://{host}").port is not None
    except ValueError:
        is_relay = False
    return f"http://{host}" if is_relay else ""
