"""Passes an answer of the provider's on to the agent: whole or as a stream, counted, without the key, and looked at."""

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import httpx

from squire_pipelines.domain.provider_faults import ProviderWords, error_code, is_failure_status
from squire_pipelines.gateway import rules
from squire_pipelines.gateway.answer_content import ERROR, NO_STREAM, NOT_THE_PROTOCOL
from squire_pipelines.gateway.call_log import CallLog
from squire_pipelines.gateway.forward import Forward
from squire_pipelines.gateway.key_filter import KeyFilter
from squire_pipelines.gateway.meter import Meter
from squire_pipelines.gateway.model import GatewayLimits, RunningCall, Tokens
from squire_pipelines.gateway.refusals import RefusalError
from squire_pipelines.gateway.usage import EventCounter, read_answer

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
_FIRST_ERROR = 300  # redirects are none of the agent's business, and are not followed
_LAST_STATUS = 599  # of HTTP; what is beyond has no meaning to anybody
_BAD_GATEWAY = 502


async def check_coding(response: httpx.Response) -> None:
    """Refuse a body that is compressed more than once, since two kilobytes of such a one can be gigabytes.

    Raises:
        httpx.DecodingError: It is.
    """
    codings = response.headers.get("content-encoding", "").split(",")
    if sum(coding.strip().lower() not in {"", "identity"} for coding in codings) > 1:
        raise httpx.DecodingError("a body that is compressed more than once", request=response.request)


class ProviderAnswer:
    """The answer to one call.

    Args:
        call: Whose answer it is.
        forward: What was asked, without its body.
        words: Name its provider.
        limits: The bounds on it.
        meter: Counts what it uses.
        key_filter: Knows the key.
        log: Is told of each piece; None for none.
        may_leave: Whether another provider is asked when this one fails before it begins to answer.
    """

    def __init__(
        self,
        call: RunningCall,
        forward: Forward,
        *,
        words: ProviderWords,
        limits: GatewayLimits,
        meter: Meter,
        key_filter: KeyFilter,
        log: CallLog | None,
        may_leave: bool,
    ) -> None:
        self._call = call
        self._forward = forward
        self._words = words
        self._limits = limits
        self._meter = meter
        self._key_filter = key_filter
        self._log = log
        self.may_leave = may_leave

    def note(self, tokens: Tokens, *, reported: bool = False) -> None:
        """Record what has passed so far, before more passes, and whether that is what the call uses in the end."""
        self._call.reported = reported
        self._meter.note(self._call, tokens)
        if self._log is not None:
            self._log.progress(self._call)

    async def pass_on(self, response: httpx.Response, send: Send) -> bool:
        """Pass the answer on.

        Returns:
            Whether the agent has it; it has not where another provider's answer may replace an error.

        Raises:
            RefusalError: The agent must not get it.
            httpx.HTTPError: The provider broke it off.
        """
        is_error = response.status_code >= _FIRST_ERROR
        status = response.status_code if response.status_code <= _LAST_STATUS else _BAD_GATEWAY
        if is_error:
            self._call.error, self._call.upstream_status = "upstream_status", response.status_code
            self.note(Tokens(), reported=True)
        elif rules.is_event_stream(response.headers.get("content-type", "")):
            await self._stream(response, send)
            return True
        body = await self._whole(response, is_error=is_error)
        if is_error:
            self._refuse_if_final(response.status_code, body)
            if self.may_leave and is_failure_status(response.status_code):
                return False
        elif not self._forward.free:
            answer = read_answer(body, self._forward.input_estimate)
            self._call.error = answer.failure or (NO_STREAM if self._forward.is_stream else None)
            self.note(answer.tokens or self._estimate(len(body)), reported=True)
            if answer.failure == ERROR:
                self._call.upstream_status = response.status_code
                self._refuse_if_final(response.status_code, body)
            if self.may_leave and answer.failure in {ERROR, NOT_THE_PROTOCOL}:
                return False
        content = self._key_filter.clean(body)
        self._call.status, self._call.response_bytes = status, len(content)
        headers = rules.response_headers(response.headers.multi_items())
        headers.append((b"content-length", str(len(content)).encode()))
        self._call.answered = True
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})
        return True

    async def _whole(self, response: httpx.Response, *, is_error: bool) -> bytes:
        """Return a whole body. Raises RefusalError for one that is too large, httpx.HTTPError for one that is cut."""
        body = bytearray()
        try:
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > self._limits.max_response_bytes:
                    raise self._too_large()
        except httpx.HTTPError:
            if not is_error:
                self._meter.note_most(self._call)  # the provider wrote all of it before it sent the first byte
            raise
        return bytes(body)

    def _refuse_if_final(self, status: int, body: bytes) -> None:
        """Raise RefusalError when only the user can change what the provider's error is about."""
        cleaned = self._key_filter.clean(body)
        self._call.upstream_code = error_code(cleaned)
        fault = self._words.fault_of(status, cleaned, model=self._call.model, is_free=self._forward.free)
        if fault is not None:
            raise self._meter.health.refuse_further(self._call.provider, fault)

    def _estimate(self, size: int) -> Tokens:
        """Return what a whole answer is counted for that does not report its usage."""
        return Tokens(input=self._forward.input_estimate, output=-(-size // rules.BYTES_PER_TOKEN), estimated=True)

    async def _stream(self, response: httpx.Response, send: Send) -> None:
        call = self._call
        counter = EventCounter(self._forward.input_estimate)
        call.status = response.status_code
        headers = rules.response_headers(response.headers.multi_items())
        await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
        async for chunk in response.aiter_bytes():
            if not call.response_bytes:
                call.first_piece_s = round(time.monotonic() - call.began, 4)
            call.response_bytes += len(chunk)
            if call.response_bytes > self._limits.max_response_bytes:
                raise self._too_large()
            counter.feed(chunk)
            self.note(counter.tokens, reported=counter.is_final)
            self._meter.check_stream()
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        counter.close()
        call.error = counter.failure
        self.note(counter.tokens, reported=True)
        call.answered = True
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _too_large(self) -> RefusalError:
        limit = self._limits.max_response_bytes
        return RefusalError("response_too_large", f"the model's answer is larger than {limit} bytes")
