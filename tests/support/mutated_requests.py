"""Requests to a receiver of webhooks that are wrong in every way, among right ones; and what has to hold of them all.

They are made by chance from a number, so that each can be made again. What is signed is an event, which is to be in the
ledger once, however often it is sent; nothing else is to be there.
"""

import asyncio
import contextlib
import hashlib
import random
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus, urlsplit

from squire_pipelines.github.protocol import sign
from tests.support.deliveries import SECRET, push

MAX_BODY = 2**17
CALLERS = 32
_ANSWER_WITHIN_S = 30.0
_REPLAYED = 500
_SLOW_S = 0.3

Event = tuple[str, str]
"""A delivery's id and the hash of its body."""


@dataclass(frozen=True, slots=True)
class MutatedRequest:
    """A request as bytes.

    Args:
        kind: In which way it is wrong.
        content: What is sent.
        event: Which event it is, where it is signed.
        is_right: Whether it has to be accepted.
        slow_at: After how many bytes it pauses.
        is_cut: Whether it ends before it is whole.
    """

    kind: str
    content: bytes
    event: Event | None = None
    is_right: bool = False
    slow_at: int | None = None
    is_cut: bool = False


@dataclass(slots=True)
class MutatedRun:
    """What came of mutated requests."""

    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    acknowledged: set[Event] = field(default_factory=set)
    sent: set[Event] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)

    @property
    def overloads(self) -> int:
        """How many were sent away since the receiver or the ledger was busy."""
        return sum(count for (_, status), count in self.statuses.items() if status == 503)

    def note(self, request: MutatedRequest, status: int, body: bytes) -> None:
        """Note an answer, and what is wrong with it."""
        self.statuses[request.kind, status] += 1
        shown = f"{request.kind}: {status}: {body[:200]!r}: {request.content[:400]!r}"
        is_accepted = status in {200, 202} and b" /healthz " not in request.content[:30]
        if is_accepted and request.event is not None:
            self.acknowledged.add(request.event)
        if is_accepted and request.event is None:
            self.problems.append(f"accepted unsigned: {shown}")
        if status >= 500 and status != 503:
            self.problems.append(f"broken: {shown}")
        if request.is_right and status not in {200, 202, 503}:
            self.problems.append(f"right and refused: {shown}")

    def check_ledger(self, path: Path) -> list[str]:
        """Return what is wrong with the ledger: each acknowledged event is there once, and none that was not sent."""
        with closing(sqlite3.connect(path)) as connection:
            rows = connection.execute("SELECT delivery_id, body_sha256 FROM deliveries").fetchall()
        stored = Counter((str(name), str(digest)) for name, digest in rows)
        return [
            *(f"stored {count} times: {event}" for event, count in stored.items() if count != 1),
            *(f"acknowledged and not stored: {event}" for event in self.acknowledged - set(stored)),
            *(f"stored and never signed: {event}" for event in set(stored) - self.sent),
        ]


class RequestMaker:
    """Makes requests by chance; the same ones for the same number.

    Args:
        seed: The number.
        secret: That of the receiver.
    """

    def __init__(self, seed: int, secret: bytes = SECRET) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - sample requests
        self._secret = secret
        self._seed = seed
        self._number = 0
        self._earlier: list[MutatedRequest] = []
        self._kinds: dict[Callable[[], MutatedRequest], float] = {
            self._right: 30,
            self._replay: 15,
            self._replay_of_another_body: 3,
            self._form: 4,
            self._chunked: 4,
            self._unsigned: 12,
            self._method_or_path: 8,
            self._headers: 8,
            self._content_type: 5,
            self._odd_json: 8,
            self._cut: 3,
            self._oversized: 2,
            self._no_http: 6,
            self._slow: 0.05,
            self._stuck: 0.02,
        }

    def requests(self, count: int) -> Iterator[MutatedRequest]:
        """Yield requests."""
        kinds, weights = list(self._kinds), list(self._kinds.values())
        for _ in range(count):
            request = self._chance.choices(kinds, weights)[0]()
            if request.event is not None and len(self._earlier) < _REPLAYED:
                self._earlier.append(request)
            yield request

    def _body(self) -> bytes:
        self._number += 1
        return push(self._chance.choice(("acme/shop", "else/where")), number=self._number)

    def _make(
        self,
        kind: str,
        body: bytes,
        *,
        name: str = "",
        method: str = "POST",
        path: str = "/webhooks/github",
        signed: bytes | None = None,
        is_event: bool = True,
        framed: bytes | None = None,
        **headers: str | None,
    ) -> MutatedRequest:
        self._number += 1
        name = name or f"m-{self._seed}-{self._number}"
        known: dict[str, str | None] = {
            "host": "receiver",
            "content-type": "application/json",
            "content-length": str(len(body)),
            "x-github-event": "push",
            "x-github-delivery": name,
            "x-github-hook-id": "1",
            "x-hub-signature-256": sign(body if signed is None else signed, self._secret),
        }
        known |= {key.replace("_", "-"): value for key, value in headers.items()}
        head = "".join(f"{key}: {value}\r\n" for key, value in known.items() if value is not None)
        content = f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + (body if framed is None else framed)
        event = (name, hashlib.sha256(body).hexdigest()) if is_event else None
        return MutatedRequest(kind, content, event, is_right=is_event)

    def _right(self) -> MutatedRequest:
        return self._make("right", self._body(), path=self._chance.choice(("/webhooks/github", "/webhook")))

    def _replay(self) -> MutatedRequest:
        return self._chance.choice(self._earlier) if self._earlier else self._right()

    def _replay_of_another_body(self) -> MutatedRequest:
        earlier = self._replay()
        return self._make("another body", self._body(), name=earlier.event[0] if earlier.event else "")

    def _form(self) -> MutatedRequest:
        body = f"payload={quote_plus(self._body().decode())}".encode()
        return self._make("form", body, content_type="application/x-www-form-urlencoded")

    def _chunked(self) -> MutatedRequest:
        body = self._body()
        cut = self._chance.randrange(1, len(body))
        parts = (body[:cut], body[cut:])
        framed = b"".join(f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in parts) + b"0\r\n\r\n"
        return self._make("chunked", body, framed=framed, content_length=None, transfer_encoding="chunked")

    def _unsigned(self) -> MutatedRequest:
        body = self._body()
        flipped = bytearray(body)
        flipped[self._chance.randrange(len(body))] ^= 1 << self._chance.randrange(7)
        right = sign(body, self._secret)
        signatures = (None, "", "sha256=", "sha256=" + "0" * 64, right[:-1], right + "0", right.upper(), right[7:])
        others = (sign(body, b""), sign(body, b"another"), sign(bytes(flipped), self._secret), "x" * 5000, "sha1=00")
        signature = self._chance.choice(signatures + others)
        return self._make("unsigned", body, is_event=False, x_hub_signature_256=signature, x_hub_signature="sha1=00")

    def _method_or_path(self) -> MutatedRequest:
        method = self._chance.choice(("GET", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "FOO", "POST"))
        paths = ("/", "//", "/webhooks/github/", "/webhooks/../webhooks/github", "/hooks/none", "/%00", "/healthz")
        path = self._chance.choice((*paths, "/webhook?x=1"))
        body = b"" if method in {"GET", "HEAD"} else self._body()
        is_event = method == "POST" and path == "/webhook?x=1"
        return self._make("method or path", body, method=method, path=path, is_event=is_event)

    def _headers(self) -> MutatedRequest:
        changed = self._chance.choice(
            (
                {"x_github_event": None},
                {"x_github_event": "a b"},
                {"x_github_event": "x" * 101},
                {"x_github_delivery": None},
                {"x_github_delivery": "<script>"},
                {"x_github_delivery": "\xff\xfe"},
                {"x_github_delivery": "y" * 3000},
                {"content_length": "nine"},
                {"content_length": "-1"},
                {"content_length": "9" * 30},
                {"host": None},
                {"expect": "something"},
                {"x_padding": "z" * 70_000},
            )
        )
        may_be_taken = not changed.keys().isdisjoint({"expect", "x_padding"})
        request = self._make("headers", self._body(), is_event=may_be_taken, **changed)
        return replace(request, is_right=False)

    def _content_type(self) -> MutatedRequest:
        changed = self._chance.choice(
            (
                {"content_type": None},
                {"content_type": "text/plain"},
                {"content_type": "application/jsonp"},
                {"content_encoding": "gzip"},
                {"content_encoding": "br"},
                {"content_type": "multipart/form-data; boundary=x"},
            )
        )
        return self._make("content type", self._body(), is_event=False, **changed)

    def _odd_json(self) -> MutatedRequest:
        self._number += 1
        deep = self._chance.randrange(1000, 60_000)
        odd = self._chance.choice(
            (
                b"[" * deep,
                b'{"a":' * (deep // 5) + b"1" + b"}" * (deep // 5),
                b'{"repository": {"full_name": "acme/shop"}, ' + b'"b": [' * (deep // 8),
                b"",
                b"null",
                b"[]",
                b'"text"',
                b"\xff\xfe{}",
                b'{"repository": 5}',
                b'{"repository": {"full_name": ["x"]}}',
                b'{"action": 1e999, "repository": {"full_name": "acme/shop"}}',
                b'{"number": ' + b"9" * 5000 + b"}",
                b"payload=%7B",
                b"payload",
            )
        )
        if self._chance.random() < 0.3:
            return self._duplicate_keys()
        return replace(self._make("odd JSON", odd), is_right=False)

    def _duplicate_keys(self) -> MutatedRequest:
        self._number += 1
        repository = b'{"full_name": "acme/shop", "full_name": "acme/shop"}'
        first = b'{"ref": "refs/heads/main", "after": "%x", "ref": "refs/heads/other", "repository": 1, ' % self._number
        body = first + b'"repository": ' + repository + b"}"
        return self._make("duplicate keys", body)

    def _cut(self) -> MutatedRequest:
        request = self._right()
        cut = self._chance.randrange(1, len(request.content))
        return MutatedRequest("cut", request.content[:cut], is_cut=True)

    def _oversized(self) -> MutatedRequest:
        body = b" " * self._chance.randrange(MAX_BODY + 1, MAX_BODY * 2)
        return self._make("oversized", body, is_event=False)

    def _no_http(self) -> MutatedRequest:
        chance = self._chance
        content = chance.choice(
            (
                bytes(chance.randrange(256) for _ in range(chance.randrange(1, 200))) + b"\r\n\r\n",
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
                b"POST /webhooks/github HTTP/9.9\r\n\r\n",
                b"POST /webhooks/github\r\n\r\n",
                b"POST  /webhooks/github HTTP/1.1\r\nhost: x\r\n\r\n",
                b"POST /webhooks/github HTTP/1.1\r\nhost x\r\n\r\n",
                b"POST /webhooks/github HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n\r\n",
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                b"POST /webhooks/github HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
            )
        )
        return MutatedRequest("no HTTP", content, is_cut=True)

    def _slow(self) -> MutatedRequest:
        request = self._right()
        return replace(request, kind="slow", slow_at=len(request.content) - 20)

    def _stuck(self) -> MutatedRequest:
        request = self._right()
        return MutatedRequest("stuck", request.content[:-5])


async def _send(url: str, request: MutatedRequest, connection: list[Any]) -> tuple[int, bytes] | None:
    """Send one request, on the connection that there is or on a new one; None where no answer came."""
    place = urlsplit(url)
    if not connection:
        connection[:] = await asyncio.open_connection(place.hostname, place.port)
    reader, writer = connection
    try:
        first = request.content[: request.slow_at]
        writer.write(first)
        await writer.drain()
        if request.slow_at is not None:
            await asyncio.sleep(_SLOW_S)
            writer.write(request.content[request.slow_at :])
        if request.is_cut:
            writer.write_eof()
        head = await reader.readuntil(b"\r\n\r\n")
        fields = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:] if b": " in line)
        is_head = request.content.startswith(b"HEAD ")
        body = b"" if is_head else await reader.readexactly(int(fields.get(b"content-length", b"0")))
        if fields.get(b"connection") == b"close" or request.is_cut:
            _close(connection)
        return int(head[9:12]), body
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
        _close(connection)
        return None


def _close(connection: list[Any]) -> None:
    for writer in connection[1:]:
        writer.close()
    connection.clear()


async def _ask(url: str, request: MutatedRequest, connection: list[Any]) -> tuple[int, bytes] | None:
    """Send a request, and once more where the receiver had closed the connection; None where no answer came."""
    for _ in range(2):
        had_connection = bool(connection)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ANSWER_WITHIN_S):
                answer = await _send(url, request, connection)
                if answer is not None or not had_connection:
                    return answer
    return None


async def _call(url: str, requests: Iterator[MutatedRequest], run: MutatedRun) -> None:
    connection: list[Any] = []
    for request in requests:
        if request.event is not None:
            run.sent.add(request.event)
        if request.is_cut:
            _close(connection)
        status, body = await _ask(url, request, connection) or (0, b"")
        run.note(request, status, body)
    _close(connection)


def send_mutated(url: str, count: int, *, seed: int = 1) -> MutatedRun:
    """Send so many mutated requests to a receiver from several callers, and return what came of them."""
    run = MutatedRun()
    requests = RequestMaker(seed).requests(count)

    async def send() -> None:
        await asyncio.gather(*(_call(url, requests, run) for _ in range(CALLERS)))

    asyncio.run(send())
    return run


def settings_variables() -> dict[str, str]:
    """Return the variables of a receiver that is to see each request, and not only that one address floods."""
    return {
        "SQUIRE_WEBHOOKS__MAX_BODY": str(MAX_BODY),
        "SQUIRE_WEBHOOKS__REFUSALS_PER_ADDRESS": "100000",
        "SQUIRE_LOGGING__LEVEL": "error",
    }
