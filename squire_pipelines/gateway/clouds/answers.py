"""A platform's answer as the agent's program knows it: server-sent events, and errors in the protocol's own form.

Bedrock's event stream is read by AWS's own library. What is in it is `ResponseStream` of
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModelWithResponseStream.html.
"""

import base64
import binascii
import json
import struct
from collections.abc import AsyncIterator
from typing import Any

import httpx

from squire_pipelines.gateway.clouds.cloud import Platform
from squire_pipelines.gateway.clouds.libraries import require
from squire_pipelines.gateway.model import Protocol
from squire_pipelines.gateway.rules import as_object

EVENT_STREAM_TYPE = "application/vnd.amazon.eventstream"
_MAX_EVENT_BYTES = 4 * 2**20
_MAX_ERROR_BYTES = 64 * 2**10
_FIRST_ERROR = 300
_BODY_HEADERS = frozenset({"content-type", "content-length", "content-encoding", "transfer-encoding"})
# https://docs.anthropic.com/en/api/errors
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
} | {
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}
_STATUSES_OF_EXCEPTIONS = {
    "throttlingException": 429,
    "serviceUnavailableException": 503,
    "validationException": 400,
}


class BrokenStreamError(httpx.RemoteProtocolError):
    """A stream that is none of AWS's."""


class EventStreamReader:
    """Reads a stream of Bedrock's, piece by piece.

    Raises:
        ConfigError: AWS's library is not installed.
    """

    def __init__(self) -> None:
        library = require(Platform.BEDROCK, "botocore.eventstream")
        self._buffer = library.EventStreamBuffer()
        # The others are what the library raises for a header of no known type, of no text, or that is cut.
        self._errors: tuple[type[Exception], ...] = (library.ParserError, LookupError, ValueError, struct.error)
        self._unread = 0
        self._broken: BrokenStreamError | None = None

    def feed(self, piece: bytes) -> bytes:
        """Return the server-sent events that a piece completes. Raises BrokenStreamError, after what came before."""
        self.close()
        self._unread += len(piece)
        self._buffer.add_data(piece)
        events = b""
        try:
            for message in self._buffer:
                self._unread -= message.prelude.total_length
                events += _event_of(message.headers, message.payload)
        except self._errors as error:
            self._broken = BrokenStreamError(f"no event stream: {type(error).__name__}")
        if self._unread > _MAX_EVENT_BYTES:
            self._broken = BrokenStreamError(f"an event has more than {_MAX_EVENT_BYTES} bytes")
        if not events:
            self.close()
        return events

    def close(self) -> None:
        """End the stream. Raises BrokenStreamError for one that broke after the last events."""
        if self._broken is not None:
            raise self._broken


def _event_of(headers: dict[str, Any], payload: bytes) -> bytes:
    kind = headers.get(":message-type")
    try:
        document = as_object(json.loads(payload))
        if kind == "event":
            # Padding beside `bytes` hides the length of the text.
            return _write(json.loads(base64.b64decode(document["bytes"], validate=True)))
    except (ValueError, KeyError, TypeError, binascii.Error, RecursionError):
        if kind == "event":
            return b""  # of a kind that this interface does not have
        document = {}
    code = str(headers.get(":exception-type") or headers.get(":error-code") or "error")
    message = str(document.get("message") or headers.get(":error-message") or code)
    status = _STATUSES_OF_EXCEPTIONS.get(code, 500)
    return _write(_anthropic_error(status, code, message))


def _write(document: Any) -> bytes:
    """Return an event as Anthropic's interface sends it."""
    event = as_object(document)
    name = event.get("type")
    if not isinstance(name, str) or "\n" in name or "\r" in name:
        return b""
    return f"event: {name}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n".encode(errors="replace")


def _anthropic_error(status: int, code: str | None, message: str) -> dict[str, Any]:
    error = {"type": _TYPES.get(status, "api_error"), "message": message}
    return {"type": "error", "error": {**error, "code": code} if code else error}


def error_body(headers: httpx.Headers, status: int, body: bytes) -> bytes:
    """Return an error of a platform's in Anthropic's form, with the platform's own code.

    AWS names the code in a header, Google in `error.status` and the details.
    """
    try:
        document = as_object(json.loads(body))
    except (ValueError, RecursionError):
        document = {}
    error = document.get("error")
    if document.get("type") == "error" and isinstance(error, dict):
        return body  # Anthropic's own, which the platform has passed on
    inner = as_object(error) or document
    code = (
        headers.get("x-amzn-errortype", "").partition(":")[0]
        or str(inner.get("__type") or inner.get("code") or "").rpartition("#")[2]
    )
    message = str(inner.get("message") or inner.get("Message") or f"the platform answers {status}")
    if isinstance(error, dict):
        details = inner.get("details")
        entries = details if isinstance(details, list) else []
        reasons = [entry.get("reason") for entry in entries if isinstance(entry, dict)]
        code = str(next((reason for reason in reasons if reason), None) or inner.get("status") or code)
    return json.dumps(_anthropic_error(status, code or None, message)).encode()


class _TranslatedStream(httpx.AsyncByteStream):
    def __init__(self, response: httpx.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._response.status_code >= _FIRST_ERROR:
            body = b""
            async for piece in self._response.aiter_bytes():
                body += piece[: _MAX_ERROR_BYTES - len(body)]
                if len(body) >= _MAX_ERROR_BYTES:
                    break
            yield error_body(self._response.headers, self._response.status_code, body)
            return
        reader = EventStreamReader()
        async for piece in self._response.aiter_bytes():
            if events := reader.feed(piece):
                yield events
        reader.close()

    async def aclose(self) -> None:
        await self._response.aclose()


def translate(protocol: Protocol, response: httpx.Response) -> httpx.Response:
    """Return a platform's answer, whose body is not read yet, as the agent's program knows it."""
    is_stream = response.headers.get("content-type", "").partition(";")[0].strip().lower() == EVENT_STREAM_TYPE
    is_error = response.status_code >= _FIRST_ERROR and protocol is Protocol.ANTHROPIC
    if not (is_error or is_stream):
        return response
    headers = [(name, value) for name, value in response.headers.multi_items() if name not in _BODY_HEADERS]
    headers.append(("content-type", "application/json" if is_error else "text/event-stream; charset=utf-8"))
    return httpx.Response(
        response.status_code, headers=headers, stream=_TranslatedStream(response), request=response.request
    )
