"""Reading the bodies of requests within bounds of size, time, and of the memory that all of them take together."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request

from squire_pipelines.webhooks.limits import Limits, RequestRefusedError, busy

_MAX_DIGITS = 20  # of 2**64


@dataclass(slots=True)
class BufferShare:
    """How many bytes of the common buffer one request has taken."""

    taken: int = 0


class RequestBodies:
    """The common buffer of all requests that are not answered yet."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._buffered = 0

    @contextmanager
    def share(self) -> Iterator[BufferShare]:
        """Give a share of the common buffer, which is returned when the request is answered."""
        share = BufferShare()
        try:
            yield share
        finally:
            self._buffered -= share.taken

    async def read(self, request: Request, share: BufferShare) -> bytes:
        """Return a request's raw body. Raises RequestRefusedError for one beyond the bounds."""
        declared = request.headers.get("content-length", "")
        if declared.isascii() and declared.isdigit() and len(declared) < _MAX_DIGITS:
            self._check_size(int(declared))
        chunks: list[bytes] = []
        try:
            async with asyncio.timeout(self._limits.body_timeout_s):
                async for chunk in request.stream():
                    self._check_size(share.taken + len(chunk))
                    if self._buffered + len(chunk) > self._limits.buffered:
                        raise busy("too many deliveries at once", retry_after_s=1)
                    self._buffered += len(chunk)
                    share.taken += len(chunk)
                    chunks.append(chunk)
        except TimeoutError:
            message = f"the body did not arrive within {self._limits.body_timeout_s:g} s"
            raise RequestRefusedError(408, message, closes=True) from None
        except ClientDisconnect:
            raise RequestRefusedError(400, "the caller hung up before the body was whole") from None
        return b"".join(chunks)

    def _check_size(self, size: int) -> None:
        if size > self._limits.body:
            message = f"the body is larger than {self._limits.body} bytes"
            raise RequestRefusedError(413, message, "see webhooks.max_body")
