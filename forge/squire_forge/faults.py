"""Faults that a test injects: answers that come late, wrong, truncated or not at all."""

import asyncio
import re
import threading
from collections.abc import Callable, Mapping

from pydantic import BaseModel, ConfigDict, Field, field_validator
from starlette.types import ASGIApp, Message, Receive, Scope, Send

DELIVER = "DELIVER "
"""How the pattern of a fault begins that strikes webhooks."""

_MAX_FAULTS = 100
_TRUNCATED_CLAIM_BYTES = 4_096


class Fault(BaseModel):
    """The body of `POST /_forge/faults`.

    Attributes:
        match: A regular expression that is found in `METHOD /path`, or matches a whole GraphQL operation name; one that
            begins with `DELIVER ` strikes webhooks and is found in `DELIVER event owner/name`.
        status: The status to answer with; None only delays the answer.
        body: The answer's text.
        headers: The answer's headers.
        delay_s: Seconds to wait before the answer.
        times: The number of requests that it strikes.
        after: Carry the request out first, so that only its answer is lost.
        truncate: Break the answer off in the middle.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    match: str
    status: int | None = Field(default=None, ge=100, le=599)
    body: str = ""
    headers: Mapping[str, str] = Field(default_factory=dict)
    delay_s: float = Field(default=0.0, ge=0.0, le=120.0)
    times: int = Field(default=1, ge=1, le=100_000)
    after: bool = False
    truncate: bool = False

    @field_validator("match")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"match is not a regular expression: {error}") from error
        return value


class Faults:
    """The faults that wait for a request, in the order in which they were added."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Fault, int]] = []
        self._guard = threading.Lock()

    def add(self, fault: Fault) -> None:
        """Add a fault; the oldest beyond 100 are dropped."""
        with self._guard:
            self._waiting = [*self._waiting, (fault, fault.times)][-_MAX_FAULTS:]

    def clear(self) -> None:
        """Remove all faults."""
        with self._guard:
            self._waiting = []

    def waiting(self) -> list[tuple[Fault, int]]:
        """Return the faults with the number of requests that each will still strike."""
        with self._guard:
            return list(self._waiting)

    def take_for_request(self, line: str) -> Fault | None:
        """Return the first fault for a request line (`METHOD /path`) and count it as used once."""
        return self._take(lambda pattern: re.search(pattern, line) is not None)

    def take_for_operation(self, name: str) -> Fault | None:
        """Return the first fault for a GraphQL operation and count it as used once."""
        return self._take(lambda pattern: re.fullmatch(pattern, name) is not None)

    def take_for_delivery(self, line: str) -> Fault | None:
        """Return the first fault for a webhook (`DELIVER event owner/name`) and count it as used once."""
        return self._take(
            lambda pattern: pattern.lstrip("^").startswith(DELIVER) and re.search(pattern, line) is not None
        )

    def _take(self, strikes: Callable[[str], bool]) -> Fault | None:
        with self._guard:
            for index, (fault, left) in enumerate(self._waiting):
                if strikes(fault.match):
                    self._waiting[index : index + 1] = [(fault, left - 1)] if left > 1 else []
                    return fault
        return None


async def strike(fault: Fault, send: Send) -> None:
    """Answer as the fault says. Nothing may have been sent before."""
    headers = [(name.lower().encode(), value.encode()) for name, value in fault.headers.items()]
    body = fault.body.encode()
    names = {name for name, _ in headers}
    if fault.truncate:
        # The answer promises more than it has: the server then breaks the connection off.
        headers.append((b"content-length", str(len(body) + _TRUNCATED_CLAIM_BYTES).encode()))
    if b"content-type" not in names:
        kind = b"application/json" if fault.body.startswith(("{", "[")) else b"text/plain; charset=utf-8"
        headers.append((b"content-type", kind))
    await send({"type": "http.response.start", "status": fault.status or 200, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": fault.truncate})


async def _discard(_: Message) -> None:
    """Drop an answer that is to be lost."""


class FaultMiddleware:
    """Strikes requests of the API, of git and of the pages, but none to `/_forge/`."""

    def __init__(self, app: ASGIApp, faults: Faults) -> None:
        self._app = app
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or strike it."""
        path = scope.get("path", "")
        fault = None
        if scope["type"] == "http" and not path.startswith("/_forge/"):
            fault = self._faults.take_for_request(f"{scope['method']} {path}")
        if fault is None:
            await self._app(scope, receive, send)
            return
        await asyncio.sleep(fault.delay_s)
        if fault.status is None and not fault.truncate:
            await self._app(scope, receive, send)
            return
        if fault.after:
            await self._app(scope, receive, _discard)
        await strike(fault, send)
