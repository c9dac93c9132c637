"""Load on a receiver of webhooks: the same signed delivery under new ids, from many connections, in a process alone.

`python tests/support/webhook_load.py URL SECRET BODY_FILE SECONDS CONNECTIONS` prints what came of it as JSON. Its own
client, since a library's takes more of the processor than the receivers.
"""

import asyncio
import hashlib
import hmac
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What came of a load: answers by status, and how long each took, in seconds."""

    statuses: dict[int, int]
    waits_s: list[float]
    seconds: float

    @property
    def accepted_per_s(self) -> float:
        """Deliveries a second that were answered with 2xx."""
        return sum(count for status, count in self.statuses.items() if status // 100 == 2) / self.seconds


class _Caller(asyncio.Protocol):
    """One connection, which makes one request after the other."""

    def __init__(self, head: bytes, body: bytes, name: str, results: "_Results") -> None:
        self._head, self._body, self._name, self._results = head, body, name, results
        self._number = 0
        self._buffer = b""
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._number += 1
        self._began = time.perf_counter()
        delivery = f"x-github-delivery: {self._name}-{self._number}\r\n\r\n".encode()
        self._transport.write(self._head + delivery + self._body)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, mark, rest = self._buffer.partition(b"\r\n\r\n")
        if not mark:
            return
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        now = time.perf_counter()
        self._results.add(int(head[9:12]), now - self._began)
        if now < self._results.end:
            self._ask()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._results.lost(exc)


class _Results:
    def __init__(self, end: float, callers: int) -> None:
        self.end = end
        self.statuses: dict[int, int] = {}
        self.waits_s: list[float] = []
        self.done = asyncio.Event()
        self._callers = callers

    def add(self, status: int, wait_s: float) -> None:
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.waits_s.append(wait_s)

    def lost(self, error: Exception | None) -> None:
        if error is not None:
            self.statuses[0] = self.statuses.get(0, 0) + 1
        self._callers -= 1
        if not self._callers:
            self.done.set()


async def _load(url: str, secret: bytes, body: bytes, seconds: float, connections: int) -> LoadResult:
    place = urlsplit(url)
    host, port = str(place.hostname), place.port or 80
    signature = hmac.digest(secret, body, hashlib.sha256).hex()
    head = (
        f"POST {place.path} HTTP/1.1\r\nhost: {place.netloc}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nx-github-event: pull_request\r\nx-github-hook-id: 1\r\n"
        f"user-agent: GitHub-Hookshot/0000000\r\nx-hub-signature-256: sha256={signature}\r\n"
    ).encode()
    loop, began = asyncio.get_running_loop(), time.perf_counter()
    results = _Results(began + seconds, connections)
    for number in range(connections):
        name = f"{time.time_ns()}-{number}"
        await loop.create_connection(partial(_Caller, head, body, name, results), host, port)
    await asyncio.wait_for(results.done.wait(), seconds + 60)
    return LoadResult(results.statuses, results.waits_s, time.perf_counter() - began)


def pull_request_body(repository: str, size: int = 22_000) -> bytes:
    """Return a `pull_request` of this size, whose users and repositories have as many links as GitHub's."""
    links = ("followers", "following", "gists", "starred", "subscriptions", "organizations", "repos", "events", "forks")

    def linked(name: str, number: int) -> dict[str, object]:
        urls = {f"{link}_url": f"https://api.github.com/{name}/{link}{{/other}}" for link in links}
        return {"id": number, "node_id": f"MDQ6VXNlcg{number}", "site_admin": False, "type": "User", **urls}

    pull: dict[str, object] = {
        **linked(f"repos/{repository}/pulls/2", 279147437),
        "number": 2,
        "state": "open",
        "title": "Update the README with new information.",
        "html_url": f"https://github.com/{repository}/pull/2",
        "updated_at": "2026-05-15T15:20:33Z",
        "merged_at": None,
        "closed_at": None,
        "body": "This is a pretty simple change that we need to pull into main.",
        "head": {"ref": "changes", "sha": "ec26c3e57ca3a959ca5aad62de7213c562f8c821"},
        "base": {"ref": "main", "sha": "f95f852bd8fca8fcc58a9a2d6c842781e32a215e"},
        "requested_reviewers": [],
    }
    payload = {
        "action": "opened",
        "number": 2,
        "pull_request": pull,
        "repository": {**linked(f"repos/{repository}", 186853002), "full_name": repository},
        "sender": {**linked("users/ann", 21031067), "login": "ann"},
    }
    reviewers: list[object] = []
    pull["requested_reviewers"] = reviewers
    while len(json.dumps(payload)) < size:
        reviewers.append({**linked(f"users/reviewer-{len(reviewers)}", 2**20 + len(reviewers)), "login": "bob"})
    return json.dumps(payload).encode()


def load(url: str, secret: bytes, body_file: Path, seconds: float, connections: int) -> LoadResult:
    """Put load on a receiver from a process of its own, and return what came of it."""
    command = [sys.executable, __file__, url, secret.decode(), str(body_file), str(seconds), str(connections)]
    output = subprocess.run(command, capture_output=True, check=True, timeout=seconds + 90).stdout
    values = json.loads(output)
    return LoadResult({int(key): count for key, count in values["statuses"].items()}, values["waits_s"], values["s"])


def main(url: str, secret: str, body_file: str, seconds: str, connections: str) -> None:
    """Put the load on and print what came of it."""
    body = Path(body_file).read_bytes()
    result = asyncio.run(_load(url, secret.encode(), body, float(seconds), int(connections)))
    json.dump({"statuses": result.statuses, "waits_s": result.waits_s, "s": result.seconds}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
