"""The gateway's ASGI application: takes a request, admits it, has it served, and ends its record.

Written against ASGI itself, since a call must end at once when the agent goes away. Logs neither bodies nor keys.
Requests to the model are `model_exchange`'s, those to named registries `egress`'s.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import replace
from typing import Any

from squire_pipelines.gateway import rules
from squire_pipelines.gateway.call_log import CallLog
from squire_pipelines.gateway.egress import Egress
from squire_pipelines.gateway.key_filter import CleanAnswer
from squire_pipelines.gateway.meter import Meter
from squire_pipelines.gateway.model import GatewayCall, RunningCall
from squire_pipelines.gateway.model_exchange import ClientGoneError, ModelExchange
from squire_pipelines.gateway.refusals import RefusalError
from squire_pipelines.gateway.registry_routes import EGRESS_PREFIX
from squire_pipelines.gateway.wire import GatewayConfig, GatewayStatus
from squire_pipelines.observability.logging import Component, get_logger

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
MAX_EGRESS_AT_ONCE = 64  # package managers keep many connections open
_log = get_logger(Component.GATEWAY)


class GatewayApp:
    """The application.

    Args:
        config: What it serves.
        on_call: Called with each call that has ended, refused ones too, in the server's thread; should be quick.
        log: The call log, None for none.
    """

    def __init__(self, config: GatewayConfig, *, on_call: Callable[[GatewayCall], None], log: CallLog | None) -> None:
        self._on_call = on_call
        self._limits = config.limits
        self._first = config.upstreams[0].name if config.upstreams else None
        names = [upstream.name for upstream in config.upstreams]
        believed = {upstream.name for upstream in config.upstreams if upstream.states_cost}
        self._meter = Meter(config.limits, config.before, names, believed=believed)
        self._log = log
        self._egress = Egress(config.egress) if config.egress.is_open else None
        self._model = ModelExchange(config, self._meter, log, next_id=self._next_id, on_left=self._end_left)
        self._count = 0
        self._open = {True: 0, False: 0}  # calls under way, those of egress and those of the model

    @property
    def status(self) -> GatewayStatus:
        """What has been counted so far; may be asked from any thread."""
        meter = self._meter
        unpriced = tuple(sorted({model for (_, model), price in meter.prices.items() if price is None}))
        # A copy: the counts go on, and a reader compares two moments.
        hosts = dict(self._egress.hosts) if self._egress is not None else {}
        counts = {host: replace(count) for host, count in hosts.items()}
        health = meter.health
        return GatewayStatus(meter.totals, meter.exhausted, unpriced, counts, health.seen, upstreams=health.uses)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one connection's message: the ASGI entry."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        async with self._model.started():
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
        if self._egress is not None:
            await self._egress.close()
        await send({"type": "lifespan.shutdown.complete"})

    def _next_id(self) -> str:
        self._count += 1
        return self._log.next_id() if self._log is not None else str(self._count)

    async def _http(self, scope: Message, receive: Receive, send: Send) -> None:
        call = RunningCall(str(scope["path"]), self._next_id(), provider=self._first, began=time.monotonic())
        is_egress = call.path.startswith(EGRESS_PREFIX)
        self._open[is_egress] += 1
        answer = send if is_egress else self._clean(call, send)
        refusal: RefusalError | None = None
        try:
            async with asyncio.timeout(self._limits.call_s):
                self._admit(is_egress=is_egress)
                if isinstance(answer, CleanAnswer):
                    await self._serve(call, scope, receive, answer)
                else:
                    await self._serve_egress(call, scope, answer)
        except RefusalError as error:
            call.error, refusal = error.code, error
        except TimeoutError:
            call.error, refusal = "timeout", RefusalError("timeout", "the call took longer than it may")
        except ClientGoneError:
            call.error = "client_gone"
        except asyncio.CancelledError:
            call.error = "shutdown"
            raise
        except Exception:  # noqa: BLE001 - what nobody foresaw must count as a failure, never as an answer
            call.error = "gateway_failed"
            refusal = RefusalError("gateway_failed", "the gateway could not serve this call")
            _log.exception("gateway.call_failed")
        finally:
            is_begun = bool(call.status)
            if refusal is not None and not is_begun:
                call.status = refusal.status
            self._open[is_egress] -= 1
            self._end(call)
        # After it was counted: whoever is refused may ask again at once, and is judged by this call too.
        if refusal is not None:
            await self._refuse(call, refusal, answer, is_begun=is_begun)

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

    def _clean(self, call: RunningCall, send: Send) -> CleanAnswer:
        def log_text(text: bytes) -> None:
            if self._log is not None:
                self._log.body(call, "response", text)

        return CleanAnswer(self._model.key_filter(), send, log_text)

    def _end_left(self, call: RunningCall) -> None:
        """End the call to a provider that did not begin to answer, whose request goes to another."""
        call.is_left = True
        self._meter.end(call)
        self._model.call_ended()
        self._record(call)

    def _end(self, call: RunningCall) -> None:
        if self._egress is None or not call.path.startswith(EGRESS_PREFIX):
            self._meter.end(call)
            self._model.call_ended()
        self._record(call)

    def _record(self, call: RunningCall) -> None:
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

    async def _refuse(self, call: RunningCall, refusal: RefusalError, send: Send, *, is_begun: bool) -> None:
        protocol = rules.protocol_of(call.path)
        if is_begun:
            # An answer is under way. Cut short, the agent's client would ask again; a budget's end it must be told.
            if refusal.code == "budget":
                is_response = call.path == rules.RESPONSES_PATH
                event = refusal.event(protocol, is_response=is_response)
                await send({"type": "http.response.body", "body": event, "more_body": False})
            return
        body = refusal.body(protocol)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": refusal.status, "headers": headers + refusal.headers})
        await send({"type": "http.response.body", "body": body})

    async def _serve(self, call: RunningCall, scope: Message, receive: Receive, send: CleanAnswer) -> None:
        if scope["method"] == "HEAD" and call.path == "/":  # by which Claude Code looks whether somebody is there
            call.status = 200
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})
            return
        await self._model.serve(call, scope, receive, send)
