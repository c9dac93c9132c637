"""The gateway's ASGI application: takes a request, checks it, passes it on with the key, streams the answer back.

Written against ASGI itself, since a call must end at once when the agent goes away. Logs neither bodies nor keys.
Requests to named registries are `egress`'s.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx

from squire_pipelines.gateway import rules
from squire_pipelines.gateway.body_budget import BodyBudget, BodyShare
from squire_pipelines.gateway.call_log import CallLog
from squire_pipelines.gateway.cap_notice import notice_for
from squire_pipelines.gateway.egress import Egress
from squire_pipelines.gateway.forward import Forward
from squire_pipelines.gateway.key_filter import CleanAnswer, KeyFilter
from squire_pipelines.gateway.meter import Meter
from squire_pipelines.gateway.model import GatewayCall, RunningCall, Tokens
from squire_pipelines.gateway.prices import Price, find_price
from squire_pipelines.gateway.provider_answer import ProviderAnswer
from squire_pipelines.gateway.refusals import RefusalError
from squire_pipelines.gateway.registry_routes import EGRESS_PREFIX
from squire_pipelines.gateway.request_body import rebuild_request
from squire_pipelines.gateway.upstream import Upstream
from squire_pipelines.gateway.wire import GatewayConfig, GatewayStatus
from squire_pipelines.observability.logging import Component, get_logger

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
# A larger body is read in a thread, so that the answers of other calls go on, and waits for room: until it is passed
# on, it is in memory three times.
_LARGE_BYTES = 256 * 2**10
_PIECE_BYTES = 256 * 2**10
_BODIES_AT_ONCE = 1  # of the largest that is allowed; 40 of 400 kB
MAX_EGRESS_AT_ONCE = 64  # package managers keep many connections open
# How long the provider is still listened to when the agent has left: its count of tokens may be about to come.
_LAST_WORD_S = 1.0
_log = get_logger(Component.GATEWAY)


class ClientGoneError(Exception):
    """The agent closed its connection."""


class GatewayApp:
    """The application.

    Args:
        config: What it serves.
        on_call: Called with each call that has ended, refused ones too, in the server's thread; should be quick.
        log: The call log, None for none.
    """

    def __init__(self, config: GatewayConfig, *, on_call: Callable[[GatewayCall], None], log: CallLog | None) -> None:
        self._config = config
        self._upstream = config.upstreams[0] if config.upstreams else None
        self._on_call = on_call
        self._limits = config.limits
        self._meter = Meter(config.limits, config.before)
        self._prices: asyncio.Task[Mapping[str, Price | None]] | None = None
        self._log = log
        self._egress = Egress(config.egress) if config.egress.is_open else None
        self._key_filter = KeyFilter(self._upstream.api_key if self._upstream is not None else None)
        # One thread, since each keeps memory of its own.
        self._reader = ThreadPoolExecutor(1, "squire-gateway-reader")
        self._bodies = BodyBudget(_BODIES_AT_ONCE * config.limits.max_request_bytes)
        self._call_ended = asyncio.Event()
        self._logged_failures: set[str] = set()
        self._count = 0
        self._open = {True: 0, False: 0}  # calls under way, those of egress and those of the model
        self._client: httpx.AsyncClient | None = None

    @property
    def status(self) -> GatewayStatus:
        """What has been counted so far; may be asked from any thread."""
        meter = self._meter
        unpriced = tuple(sorted(model for model, price in meter.prices.items() if price is None))
        # A copy: the counts go on, and a reader compares two moments.
        hosts = dict(self._egress.hosts) if self._egress is not None else {}
        counts = {host: replace(count) for host, count in hosts.items()}
        return GatewayStatus(meter.totals, meter.exhausted, unpriced, counts, meter.seen)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one connection's message: the ASGI entry."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        limits = self._limits
        timeout = httpx.Timeout(limits.idle_s, connect=limits.connect_s, pool=limits.connect_s)
        pool = httpx.Limits(max_connections=limits.max_concurrent)
        # In a thread, while the agent starts: the prices' library takes half a second to import.
        self._prices = asyncio.create_task(asyncio.to_thread(self._find_prices))
        async with httpx.AsyncClient(timeout=timeout, limits=pool, follow_redirects=False) as client:
            self._client = client
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
        if self._egress is not None:
            await self._egress.close()
        self._reader.shutdown(wait=False, cancel_futures=True)
        await send({"type": "lifespan.shutdown.complete"})

    def _find_prices(self) -> Mapping[str, Price | None]:
        upstream = self._upstream
        if upstream is None:
            return {}
        return {model: find_price(model, upstream.prices, api_url=upstream.base_url) for model in upstream.models}

    async def _http(self, scope: Message, receive: Receive, send: Send) -> None:
        self._count += 1
        call_id = self._log.next_id() if self._log is not None else str(self._count)
        provider = self._upstream.name if self._upstream is not None else None
        call = RunningCall(path=str(scope["path"]), call_id=call_id, provider=provider, began=time.monotonic())
        is_egress = call.path.startswith(EGRESS_PREFIX)
        self._open[is_egress] += 1
        if not is_egress:
            send = CleanAnswer(self._key_filter, send, lambda text: self._log_body(call, "response", text))
        try:
            async with asyncio.timeout(self._limits.call_s):
                self._admit(is_egress=is_egress)
                if is_egress:
                    await self._serve_egress(call, scope, send)
                else:
                    await self._serve(call, scope, receive, send)
        except RefusalError as refusal:
            call.error = refusal.code
            await self._refuse(call, refusal, send)
        except TimeoutError:
            call.error = "timeout"
            await self._refuse(call, RefusalError("timeout", "the call took longer than it may"), send)
        except ClientGoneError:
            call.error = "client_gone"
        except asyncio.CancelledError:
            call.error = "shutdown"
            raise
        finally:
            self._open[is_egress] -= 1
            self._end(call)

    def count_wrong_request(self) -> None:
        """Count a request that cannot be read as one that was refused."""
        self._meter.count_refused()

    def _admit(self, *, is_egress: bool) -> None:
        """Count a request before anything else is done for it. Raises RefusalError when it is one too many."""
        if is_egress and self._egress is not None:
            self._egress.admit()
        else:
            self._meter.admit()
        most = MAX_EGRESS_AT_ONCE if is_egress else self._limits.max_concurrent
        if self._open[is_egress] > most:
            raise RefusalError("busy", f"the gateway answers {most} requests at a time; try again later")

    def _end(self, call: RunningCall) -> None:
        if self._egress is None or not call.path.startswith(EGRESS_PREFIX):
            self._meter.end(call)
            self._call_ended.set()  # those that wait for room look again
            self._call_ended = asyncio.Event()
        record = call.record(time.monotonic() - call.began)
        try:
            if self._log is not None:
                self._log.end(call, record)
            self._on_call(record)
        except Exception:  # noqa: BLE001 - the agent's call is done; whoever records it must not break the next one
            _log.exception("gateway.on_call_failed")

    async def _serve_egress(self, call: RunningCall, scope: Message, send: Send) -> None:
        if self._egress is None:
            raise RefusalError("egress", "no registry is open to the attempt: it reaches its model alone")
        await self._egress.serve(call, scope, send)

    async def _refuse(self, call: RunningCall, refusal: RefusalError, send: Send) -> None:
        protocol = rules.protocol_of(call.path)
        if call.status:
            # An answer is under way. Cut short, the agent's client would ask again; a budget's end it must be told.
            if refusal.code == "budget":
                is_response = call.path == rules.RESPONSES_PATH
                event = refusal.event(protocol, is_response=is_response)
                await send({"type": "http.response.body", "body": event, "more_body": False})
            return
        body = refusal.body(protocol)
        call.status = refusal.status
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": refusal.status, "headers": headers + refusal.headers})
        await send({"type": "http.response.body", "body": body})

    async def _serve(self, call: RunningCall, scope: Message, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD" and call.path == "/":  # by which Claude Code looks whether somebody is there
            call.status = 200
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})
            return
        is_upgrade = any(name == b"upgrade" and value.lower() == b"websocket" for name, value in scope["headers"])
        protocol = self._upstream.protocol if self._upstream is not None else None
        rules.check_path(scope["method"], call.path, protocol, is_upgrade=is_upgrade)
        if self._upstream is None:
            raise RefusalError("model", "the attempt has no model")
        share = BodyShare(self._bodies, _LARGE_BYTES)
        try:
            await self._exchange(call, scope, receive, send, share, upstream=self._upstream)
        finally:
            share.release()

    async def _exchange(
        self,
        call: RunningCall,
        scope: Message,
        receive: Receive,
        send: Send,
        share: BodyShare,
        *,
        upstream: Upstream,
    ) -> None:
        length = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
        body = await self._body(call, receive, share, int(length) if length.isdigit() else None)
        forward = await self._rebuild(scope["method"], call.path, body, upstream)
        call.model, call.web_search, call.dropped = forward.model, forward.web_search, forward.dropped
        call.free, call.has_notice = forward.free, forward.has_notice
        if self._prices is not None:
            self._meter.prices = await asyncio.shield(self._prices)  # all calls wait for the one task
        self._log_body(call, "request", body)
        del body
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        passing = asyncio.ensure_future(self._pass_on(call, forward, headers, send, share, upstream=upstream))
        del forward  # the body goes with the call, and is gone when it has been sent
        gone = asyncio.ensure_future(_until_gone(receive))
        try:
            await asyncio.wait({passing, gone}, return_when=asyncio.FIRST_COMPLETED)
            # After the last part of an answer the server reports the same disconnection.
            if not passing.done() and not call.answered:
                if call.forwarded:
                    await asyncio.wait({passing}, timeout=_LAST_WORD_S)
                raise ClientGoneError
            await passing
        finally:
            for task in (passing, gone):
                task.cancel()
            await asyncio.gather(passing, gone, return_exceptions=True)
            del passing, gone  # an error in one has this frame, and would keep the body until the next collection

    async def _body(self, call: RunningCall, receive: Receive, share: BodyShare, length: int | None) -> bytearray:
        body = bytearray()
        most = min(length or self._limits.max_request_bytes, self._limits.max_request_bytes)
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            body += message.get("body", b"")
            call.request_bytes = len(body)
            if len(body) > self._limits.max_request_bytes:
                limit = self._limits.max_request_bytes
                raise RefusalError("request_too_large", f"the request is larger than {limit} bytes")
            if not message.get("more_body", False):
                return body
            await share.reserve(len(body), most)

    async def _rebuild(self, method: str, path: str, body: bytearray, upstream: Upstream) -> Forward:
        """Return the request to pass on, made anew from what is known of the agent's. Raises RefusalError."""
        notice = notice_for(self._limits, self._meter.totals)

        def rebuild() -> Forward:
            return rebuild_request(
                method,
                path,
                body,
                upstream.models,
                upstream.aliases,
                web_search=self._config.web_search,
                default_output=self._limits.max_output_tokens,
                base_url=upstream.base_url,
                notice=notice,
            )

        if len(body) <= _LARGE_BYTES:
            return rebuild()
        return await asyncio.get_running_loop().run_in_executor(self._reader, rebuild)

    async def _reserve(self, call: RunningCall, forward: Forward) -> int | None:
        """Wait until the caps have room for the call; return what to tell the provider that an answer may have."""
        while (granted := self._meter.reserve(call, forward)) is None:
            await self._call_ended.wait()
        return granted if forward.names_output or self._limits.has_caps else None

    def _log_body(self, call: RunningCall, part: str, body: bytes | bytearray) -> None:
        if self._log is not None:
            self._log.body(call, part, body)

    def _log_failure(self, error: str) -> None:
        """Log a failure of the connection to the provider, each kind once: programs ask again and again."""
        if error not in self._logged_failures:
            self._logged_failures.add(error)
            _log.warning("gateway.upstream_failed", error=error)

    async def _pass_on(
        self,
        call: RunningCall,
        forward: Forward,
        headers: list[tuple[str, str]],
        send: Send,
        share: BodyShare,
        *,
        upstream: Upstream,
    ) -> None:
        if self._client is None:
            raise RuntimeError("the gateway has not started")
        body = forward.body(await self._reserve(call, forward))
        if self._log is not None:
            self._log.begin(call)
        request = self._client.build_request(
            forward.method,
            upstream.base_url.rstrip("/") + forward.path,
            content=_once(body) if body else None,
            headers={
                **rules.request_headers(headers, upstream.api_key, forward.protocol),
                **({"content-length": str(len(body))} if body else {}),
            },
        )
        del body
        answer = ProviderAnswer(
            call,
            replace(forward, rest=b""),
            words=upstream.words,
            limits=self._limits,
            meter=self._meter,
            key_filter=self._key_filter,
            log=self._log,
        )
        del forward
        try:
            async with contextlib.AsyncExitStack() as stack:
                response = await self._client.send(request, stream=True)
                stack.push_async_callback(response.aclose)
                share.release()
                await answer.pass_on(response, send)
        except httpx.TimeoutException as error:
            if isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout):
                answer.note(Tokens(), reported=True)
            raise RefusalError("timeout", "the model's provider did not answer in time") from error
        except httpx.HTTPError as error:
            self._log_failure(type(error).__name__)
            if not call.status and isinstance(error, httpx.ConnectError):
                answer.note(Tokens(), reported=True)  # nothing of the request has passed
            raise RefusalError(
                "upstream_unreachable", "the model's provider cannot be reached, or broke its answer off"
            ) from error


async def _once(body: bytes) -> AsyncIterator[bytes]:
    """Yield a body in pieces, so that nobody keeps it twice, or for as long as the answer lasts."""
    for start in range(0, len(body), _PIECE_BYTES):
        yield body[start : start + _PIECE_BYTES]


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
