"""One request of the agent to its model: read, made anew, asked at one provider after another until one answers.

Another provider is asked only as long as nothing of an answer has gone to the agent. Each provider that was asked has a
call of its own in the meter and in the record.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import httpx

from squire_pipelines.gateway import rules
from squire_pipelines.gateway.body_budget import BodyBudget, BodyShare
from squire_pipelines.gateway.call_log import CallLog
from squire_pipelines.gateway.cap_notice import notice_for
from squire_pipelines.gateway.clouds.access import CloudAccess, CredentialsError
from squire_pipelines.gateway.forward import Forward
from squire_pipelines.gateway.key_filter import CleanAnswer, KeyFilter, Message
from squire_pipelines.gateway.meter import Meter
from squire_pipelines.gateway.model import RunningCall, Tokens
from squire_pipelines.gateway.pace import Pace
from squire_pipelines.gateway.prices import Price, find_price
from squire_pipelines.gateway.provider_answer import ProviderAnswer, check_coding
from squire_pipelines.gateway.refusals import ROWS, RefusalError
from squire_pipelines.gateway.request_body import rebuild_request
from squire_pipelines.gateway.upstream import Upstream
from squire_pipelines.gateway.wire import GatewayConfig
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.trusted_certificates import tls_context

Receive = Callable[[], Awaitable[Message]]
# A larger body is read in a thread, so that the answers of other calls go on, and waits for room: until it is passed
# on, it is in memory three times.
_LARGE_BYTES = 256 * 2**10
_PIECE_BYTES = 256 * 2**10
_BODIES_AT_ONCE = 1  # of the largest that is allowed; 40 of 400 kB
# How long the provider is still listened to when the agent has left: its count of tokens may be about to come.
_LAST_WORD_S = 1.0
# Refusals after which another provider may answer: this one cannot be asked, or did not begin to.
_OF_ONE_PROVIDER = {"model", "path", "timeout", "upstream_unreachable", "provider_refused", "provider_limit"}
_log = get_logger(Component.GATEWAY)


class ClientGoneError(Exception):
    """The agent closed its connection."""


@dataclass(slots=True)
class _AgentRequest:
    """What the agent asks.

    Args:
        method: Of HTTP.
        headers: Its own.
        body: Empty once no further provider may need it.
        send: To the agent.
        share: Of the room for bodies.
    """

    method: str
    headers: list[tuple[str, str]]
    body: bytearray
    send: CleanAnswer
    share: BodyShare


@dataclass(frozen=True, slots=True)
class _Left:
    """Why the next provider is asked after one; no error, since an error's frames would keep the request's body.

    Args:
        code: Of the refusal for an agent to which no other provider answers.
        message: Of that refusal.
        unpriced: The model whose price is not known where a cap needs it.
    """

    code: str
    message: str = ""
    unpriced: str | None = None


_NO_ANSWER = _Left("upstream_unreachable", "none of the model's providers answers now; ask again later")


class ModelExchange:
    """Serves the requests to the model.

    Args:
        config: Which providers, and within which limits.
        meter: Counts.
        log: The call log, None for none.
        next_id: Gives an id for a further call.
        on_left: Called with a call that ended at a provider which did not begin to answer.
    """

    def __init__(
        self,
        config: GatewayConfig,
        meter: Meter,
        log: CallLog | None,
        *,
        next_id: Callable[[], str],
        on_left: Callable[[RunningCall], None],
    ) -> None:
        self._config = config
        self._limits = config.limits
        self._meter = meter
        self._log = log
        self._next_id = next_id
        self._on_left = on_left
        self._clouds = {
            upstream.name: CloudAccess(upstream.cloud, upstream.protocol)
            for upstream in config.upstreams
            if upstream.cloud is not None
        }
        self._paces = {upstream.name: Pace(upstream.limits) for upstream in config.upstreams}
        self._filters = {upstream.name: KeyFilter(upstream.api_key) for upstream in config.upstreams}
        self._filters |= {name: access.key_filter for name, access in self._clouds.items()}
        self._prices: asyncio.Task[Mapping[tuple[str | None, str], Price | None]] | None = None
        # One thread, since each keeps memory of its own.
        self._reader = ThreadPoolExecutor(1, "squire-gateway-reader")
        self._bodies = BodyBudget(_BODIES_AT_ONCE * config.limits.max_request_bytes)
        self._call_ended = asyncio.Event()
        self._logged_failures: set[tuple[str, str]] = set()
        self._client: httpx.AsyncClient | None = None

    @contextlib.asynccontextmanager
    async def started(self) -> AsyncIterator[None]:
        """Serve until the block ends."""
        timeout = httpx.Timeout(self._limits.idle_s, connect=self._limits.connect_s, pool=self._limits.connect_s)
        pool = httpx.Limits(max_connections=self._limits.max_concurrent)
        # In a thread, while the agent starts: the prices' library takes half a second to import.
        self._prices = asyncio.create_task(asyncio.to_thread(self._find_prices))
        hooks = {"response": [check_coding]}
        client = httpx.AsyncClient(verify=tls_context(), timeout=timeout, limits=pool, event_hooks=hooks)
        async with client as self._client:
            yield
        self._reader.shutdown(wait=False, cancel_futures=True)

    @property
    def _started_client(self) -> httpx.AsyncClient:
        if self._client is None:
            raise RuntimeError("the gateway has not started")
        return self._client

    def _find_prices(self) -> Mapping[tuple[str | None, str], Price | None]:
        return {
            (upstream.name, model): find_price(model, upstream.prices, api_url=upstream.base_url)
            for upstream in self._config.upstreams
            for model in upstream.models
        }

    def call_ended(self) -> None:
        """Have those that wait for room look again."""
        self._call_ended.set()
        self._call_ended = asyncio.Event()

    def key_filter(self) -> KeyFilter:
        """Return the filter of the provider that is asked first."""
        first = next(iter(self._config.upstreams), None)
        return self._filters[first.name] if first is not None else KeyFilter(None)

    async def serve(self, call: RunningCall, scope: Message, receive: Receive, send: CleanAnswer) -> None:
        """Serve a request. Raises RefusalError, ClientGoneError."""
        first = next(iter(self._config.upstreams), None)
        is_upgrade = any(name == b"upgrade" and value.lower() == b"websocket" for name, value in scope["headers"])
        rules.check_path(scope["method"], call.path, first.protocol if first else None, is_upgrade=is_upgrade)
        if first is None:
            raise RefusalError("model", "the attempt has no model")
        share = BodyShare(self._bodies, _LARGE_BYTES)
        try:
            await self._exchange(call, scope, receive, send, share)
        finally:
            share.release()

    async def _exchange(
        self, call: RunningCall, scope: Message, receive: Receive, send: CleanAnswer, share: BodyShare
    ) -> None:
        length = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
        body = await self._body(call, receive, share, int(length) if length.isdigit() else None)
        self._log_body(call, "request", body)
        if self._prices is not None:
            self._meter.prices = await asyncio.shield(self._prices)  # all calls wait for the one task
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        asking = asyncio.ensure_future(self._ask(call, _AgentRequest(scope["method"], headers, body, send, share)))
        del body  # it goes with the request, and is gone when it has been sent
        gone = asyncio.ensure_future(_until_gone(receive))
        try:
            await asyncio.wait({asking, gone}, return_when=asyncio.FIRST_COMPLETED)
            # After the last part of an answer the server reports the same disconnection.
            if not asking.done() and not call.answered:
                if call.forwarded:
                    await asyncio.wait({asking}, timeout=_LAST_WORD_S)
                raise ClientGoneError
            await asking
        finally:
            for task in (asking, gone):
                task.cancel()
            await asyncio.gather(asking, gone, return_exceptions=True)
            del asking, gone  # an error in one has this frame, and would keep the body until the next collection

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

    async def _ask(self, call: RunningCall, request: _AgentRequest) -> None:
        """Ask one provider after another until one has begun to answer. Raises RefusalError."""
        tried: dict[str, _Left] = {}
        upstream = self._next_open(None)
        while upstream is not None:
            left = await self._ask_one(call, request, upstream)
            if left is None:
                return
            tried[upstream.name] = left
            upstream = self._next_open(upstream)
            if upstream is not None:
                ended = call.restart(self._next_id(), upstream.name, time.monotonic())
                if ended.forwarded:
                    self._on_left(ended)
                    self._meter.admit_again()
        raise self._none_answered(tried)

    def _none_answered(self, tried: Mapping[str, _Left]) -> RefusalError:
        """Return what the agent is told when no provider is left to ask: an end, unless one may answer later."""
        final = self._meter.health.final
        if final is not None:
            return RefusalError(final.code, final.message)
        lefts = [left for name, left in tried.items() if self._meter.health.is_open(name)]
        passing = {left for left in lefts if not ROWS[left.code].is_final}
        unpriced = next((left.unpriced for left in lefts if left.unpriced is not None), None)
        if not passing and unpriced is not None:
            return self._meter.refuse_unpriced(unpriced)
        left = (passing.pop() if len(passing) == 1 else _NO_ANSWER) if passing else lefts[-1]
        return RefusalError(left.code, left.message)

    def _next_open(self, after: Upstream | None) -> Upstream | None:
        """Return the first provider behind another, or of all, that may still be asked."""
        upstreams = self._config.upstreams
        rest = upstreams if after is None else upstreams[upstreams.index(after) + 1 :]
        return next((upstream for upstream in rest if self._meter.health.is_open(upstream.name)), None)

    async def _rebuild(self, request: _AgentRequest, path: str, upstream: Upstream) -> Forward:
        """Return the request to pass on, made anew from what is known of the agent's. Raises RefusalError."""
        notice = notice_for(self._limits, self._meter.totals)
        body = request.body

        def rebuild() -> Forward:
            return rebuild_request(
                request.method,
                path,
                body,
                upstream.models,
                upstream.aliases,
                web_search=self._config.web_search,
                default_output=self._limits.max_output_tokens,
                base_url=upstream.base_url,
                notice=notice,
                platform=upstream.cloud.platform if upstream.cloud is not None else None,
            )

        if len(body) <= _LARGE_BYTES:
            return rebuild()
        reading = asyncio.get_running_loop().run_in_executor(self._reader, rebuild)
        try:
            return await asyncio.shield(reading)
        except asyncio.CancelledError:
            await asyncio.wait({reading})  # until then its body is in memory, and takes room
            raise

    async def _reserve(self, call: RunningCall, forward: Forward) -> int | None:
        """Wait until the caps have room for the call; return what to tell the provider that an answer may have."""
        while (granted := self._meter.reserve(call, forward)) is None:
            await self._call_ended.wait()
        return granted if forward.names_output or self._limits.has_caps else None

    def _log_body(self, call: RunningCall, part: str, body: bytes | bytearray) -> None:
        if self._log is not None:
            self._log.body(call, part, body)

    def _log_failure(self, provider: str, error: str) -> None:
        """Log a failure of the connection to a provider, each kind once: programs ask again and again."""
        if (provider, error) not in self._logged_failures:
            self._logged_failures.add((provider, error))
            _log.warning("gateway.upstream_failed", provider=provider, error=error)

    async def _ask_one(self, call: RunningCall, request: _AgentRequest, upstream: Upstream) -> _Left | None:
        """Ask one provider.

        Returns:
            Why the next one may be asked; None when the agent has its answer.

        Raises:
            RefusalError: The refusal that the agent gets whatever other providers there are.
        """
        call.provider = upstream.name
        request.send.key_filter = self._filters[upstream.name]
        try:
            async with self._paces[upstream.name].turn(may_wait=self._next_open(upstream) is None):
                return await self._try_one(call, request, upstream)
        except RefusalError as refusal:
            if call.status or refusal.code not in _OF_ONE_PROVIDER:
                raise
            call.error = refusal.code
            return _Left(refusal.code, refusal.message)

    async def _try_one(self, call: RunningCall, request: _AgentRequest, upstream: Upstream) -> _Left | None:
        """Ask one provider, as `_ask_one` does, with each refusal as an error. Raises RefusalError."""
        forward = (await self._rebuild(request, call.path, upstream)).within(upstream.limits.max_output)
        call.model, call.web_search, call.dropped = forward.model, forward.web_search, forward.dropped
        call.free, call.has_notice = forward.free, forward.has_notice
        if not self._meter.can_count(call, forward):
            return _Left("price_unknown", unpriced=forward.model or "")
        may_leave = self._next_open(upstream) is not None
        if not may_leave:
            request.body = bytearray()
        body = forward.body(await self._reserve(call, forward))
        if self._log is not None:
            self._log.begin(call)
        sent = self._build(upstream, forward, request.headers, body)
        del body
        answer = ProviderAnswer(
            call,
            replace(forward, rest=b""),
            words=upstream.words,
            limits=self._limits,
            meter=self._meter,
            key_filter=self._filters[upstream.name],
            log=self._log,
            may_leave=may_leave,
        )
        del forward
        return None if await self._send(call, request, sent, answer) else _NO_ANSWER

    def _build(
        self, upstream: Upstream, forward: Forward, headers: list[tuple[str, str]], body: bytes
    ) -> httpx.Request:
        return self._started_client.build_request(
            forward.method,
            upstream.base_url.rstrip("/") + forward.path,
            content=_once(body) if body else None,
            headers={
                **rules.request_headers(headers, upstream.api_key, forward.protocol),
                **({"content-length": str(len(body))} if body else {}),
            },
        )

    async def _send(
        self, call: RunningCall, request: _AgentRequest, sent: httpx.Request, answer: ProviderAnswer
    ) -> bool:
        """Send a request and pass the answer on; return whether the agent has it. Raises RefusalError."""
        client = self._started_client
        try:
            async with contextlib.AsyncExitStack() as stack:
                cloud = self._clouds.get(call.provider or "")
                response = await (client.send(sent, stream=True) if cloud is None else cloud.send(client, sent))
                stack.push_async_callback(response.aclose)
                if not answer.may_leave or rules.is_event_stream(response.headers.get("content-type", "")):
                    request.share.release()
                return await answer.pass_on(response, request.send)
        except CredentialsError as error:
            answer.note(Tokens(), reported=True)
            raise self._meter.health.refuse_further(call.provider, error.fault) from error
        except httpx.TimeoutException as error:
            if isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout):
                answer.note(Tokens(), reported=True)
            raise RefusalError("timeout", "the model's provider did not answer in time") from error
        except httpx.HTTPError as error:
            self._log_failure(call.provider or "", type(error).__name__)
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
