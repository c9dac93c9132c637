"""The gateway's ASGI application: takes a request, checks it, passes it on with the key, streams the answer back.

Written against ASGI itself, since a call must end at once when the agent goes away. Logs neither bodies nor keys.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import structlog

from squire_pipelines.gateway import rules
from squire_pipelines.gateway.model import GatewayCall, GatewayLimits
from squire_pipelines.gateway.usage import EventCounter, Tokens, tokens_of

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
_FIRST_ERROR = 400
_REDIRECTS = range(300, 400)
_log = structlog.get_logger(__name__)


class ClientGoneError(Exception):
    """The agent closed its connection."""


@dataclass(slots=True)
class _Call:
    """One call as it goes on; becomes a `GatewayCall`."""

    path: str
    model: str | None = None
    status: int = 0
    request_bytes: int = 0
    response_bytes: int = 0
    tokens: Tokens = field(default_factory=Tokens)
    error: str | None = None
    answered: bool = False
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    began: float = field(default_factory=time.monotonic)

    def record(self) -> GatewayCall:
        return GatewayCall(
            path=self.path[:200],
            model=self.model,
            status=self.status,
            started_at=self.started_at,
            latency_s=round(time.monotonic() - self.began, 4),
            input_tokens=self.tokens.input,
            output_tokens=self.tokens.output,
            cached_tokens=self.tokens.cached,
            request_bytes=self.request_bytes,
            response_bytes=self.response_bytes,
            error=self.error,
        )


class GatewayApp:
    """The application. `on_call` runs in the server's thread and should be quick.

    Args:
        base_url: The upstream's, with its version: `https://api.example.com/v1`.
        api_key: Put into each request; None for an upstream without keys.
        allowed_models: The ids that the agent may name.
        on_call: Told of each call, refused ones too, when it is over.
        limits: The bounds.
    """

    def __init__(
        self,
        *,
        base_url: str,
        api_key: str | None,
        allowed_models: Collection[str],
        on_call: Callable[[GatewayCall], None],
        limits: GatewayLimits,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._api_key = api_key
        self._allowed = frozenset(allowed_models)
        self._on_call = on_call
        self._limits = limits
        self._calls = 0
        self._client: httpx.AsyncClient | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """The ASGI entry."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        limits = self._limits
        timeout = httpx.Timeout(limits.idle_s, connect=limits.connect_s, pool=limits.connect_s)
        pool = httpx.Limits(max_connections=limits.max_concurrent)
        async with httpx.AsyncClient(timeout=timeout, limits=pool, follow_redirects=False) as client:
            self._client = client
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def _http(self, scope: Message, receive: Receive, send: Send) -> None:
        call = _Call(path=str(scope["path"]))
        try:
            async with asyncio.timeout(self._limits.call_s):
                await self._serve(call, scope, receive, send)
        except rules.RefusalError as refusal:
            call.error = refusal.code
            await self._refuse(call, refusal, send)
        except TimeoutError:
            call.error = "timeout"
            await self._refuse(call, rules.RefusalError(504, "timeout", "the call took longer than it may"), send)
        except ClientGoneError:
            call.error = "client_gone"
        except asyncio.CancelledError:
            call.error = "shutdown"
            raise
        finally:
            self._tell(call.record())

    def _tell(self, record: GatewayCall) -> None:
        try:
            self._on_call(record)
        except Exception:  # noqa: BLE001 - the agent's call is done; whoever keeps the books must not break the next one
            _log.exception("gateway.on_call_failed")

    async def _refuse(self, call: _Call, refusal: rules.RefusalError, send: Send) -> None:
        if call.status:
            # An answer is under way: without its last part the agent's client notices that it was cut.
            return
        body = refusal.body()
        call.status = refusal.status
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _serve(self, call: _Call, scope: Message, receive: Receive, send: Send) -> None:
        rules.check_path(scope["method"], call.path)
        if self._calls >= self._limits.max_calls:
            message = f"this attempt has used up its {self._limits.max_calls} calls"
            raise rules.RefusalError(403, "budget", message)
        self._calls += 1
        body = await self._body(call, receive)
        forward = rules.prepare(scope["method"], call.path, body, self._allowed)
        call.model = forward.model
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        passing = asyncio.ensure_future(self._pass_on(call, forward, headers, send))
        gone = asyncio.ensure_future(_until_gone(receive))
        try:
            await asyncio.wait({passing, gone}, return_when=asyncio.FIRST_COMPLETED)
            # After the last part of an answer the server reports the same disconnection.
            if not passing.done() and not call.answered:
                raise ClientGoneError
            await passing
        finally:
            for task in (passing, gone):
                task.cancel()
            await asyncio.gather(passing, gone, return_exceptions=True)

    async def _body(self, call: _Call, receive: Receive) -> bytes:
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            body += message.get("body", b"")
            call.request_bytes = len(body)
            if len(body) > self._limits.max_request_bytes:
                limit = self._limits.max_request_bytes
                raise rules.RefusalError(413, "request_too_large", f"the request is larger than {limit} bytes")
            if not message.get("more_body", False):
                return bytes(body)

    async def _pass_on(self, call: _Call, forward: rules.Forward, headers: list[tuple[str, str]], send: Send) -> None:
        if self._client is None:
            message = "the gateway has not started"
            raise RuntimeError(message)
        request = self._client.build_request(
            forward.method,
            self._base_url + forward.path,
            content=forward.body or None,
            headers=rules.request_headers(headers, self._api_key),
        )
        try:
            async with contextlib.AsyncExitStack() as stack:
                response = await self._client.send(request, stream=True)
                stack.push_async_callback(response.aclose)
                await self._answer(call, response, send)
        except httpx.TimeoutException as error:
            raise rules.RefusalError(504, "timeout", "the model's provider did not answer in time") from error
        except httpx.HTTPError as error:
            _log.warning("gateway.upstream_failed", error=type(error).__name__)
            message = "the model's provider cannot be reached, or broke its answer off"
            raise rules.RefusalError(502, "upstream_unreachable", message) from error

    async def _answer(self, call: _Call, response: httpx.Response, send: Send) -> None:
        if response.status_code in _REDIRECTS:
            raise rules.RefusalError(502, "upstream_status", "the model's provider redirects; check its base URL")
        if response.status_code >= _FIRST_ERROR:
            call.error = "upstream_status"
        if rules.is_event_stream(response.headers.get("content-type", "")):
            await self._stream(call, response, send)
            return
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > self._limits.max_response_bytes:
                raise self._too_large()
        call.tokens = tokens_of(bytes(body)) or call.tokens
        content = rules.without_key(bytes(body), self._api_key)
        call.status, call.response_bytes = response.status_code, len(content)
        headers = rules.response_headers(response.headers.multi_items())
        headers.append((b"content-length", str(len(content)).encode()))
        call.answered = True
        await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    async def _stream(self, call: _Call, response: httpx.Response, send: Send) -> None:
        counter = EventCounter()
        call.status = response.status_code
        headers = rules.response_headers(response.headers.multi_items())
        await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
        try:
            async for chunk in response.aiter_bytes():
                call.response_bytes += len(chunk)
                if call.response_bytes > self._limits.max_response_bytes:
                    raise self._too_large()
                counter.feed(chunk)
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        finally:
            counter.close()
            call.tokens = counter.tokens
        call.answered = True
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _too_large(self) -> rules.RefusalError:
        limit = self._limits.max_response_bytes
        return rules.RefusalError(502, "response_too_large", f"the model's answer is larger than {limit} bytes")


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
