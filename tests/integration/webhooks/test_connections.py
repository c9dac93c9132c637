"""Connections that send nothing, too little or never read: each is ended, and an address holds only so many."""

import contextlib
import queue
import select
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from squire_pipelines.http_server import AnnouncingServer, listen
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.observability.logging import Component
from squire_pipelines.server_connections import ConnectionLimits, caller_of
from squire_pipelines.webhooks.receiver import create_app
from squire_pipelines.webhooks.signing_secrets import SigningSecrets
from tests.support.deliveries import SECRET, headers, push

Serve = Callable[..., str]
HEALTH = b"GET /healthz HTTP/1.1\r\nhost: x\r\n"
HANG_S = 60
"""After this time a test fails; none waits for it."""


def stop(server: AnnouncingServer, thread: threading.Thread) -> None:
    """Let the receiver end, and wait for it."""
    server.should_exit = True
    thread.join(HANG_S)


@pytest.fixture
def serve(ledger: Ledger) -> Iterator[Serve]:
    """Start a receiver in a thread with the given limits; return its URL."""
    with contextlib.ExitStack() as stack:

        def start(**limits: float) -> str:
            app = create_app(
                ledger=ledger, secrets=lambda: SigningSecrets((SECRET,)), repositories=lambda: ("acme/shop",)
            )
            listener = stack.enter_context(listen("127.0.0.1", 0, section="webhooks"))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # full soon, for who never reads
            ready: queue.Queue[str] = queue.Queue()
            server = AnnouncingServer(
                app,
                listener,
                announce=ready.put,
                component=Component.WEBHOOKS,
                limits=ConnectionLimits(**limits),  # type: ignore[arg-type]  # counts are whole numbers in the tests
            )
            thread = threading.Thread(target=server.serve_until_stopped)
            thread.start()
            stack.callback(stop, server, thread)
            return ready.get(timeout=HANG_S)

        yield start


def connect(url: str, source: str = "127.0.0.1") -> socket.socket:
    """Open a connection to the receiver, from an address of this machine."""
    place = urlsplit(url)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(HANG_S)
    connection.bind((source, 0))
    connection.connect((place.hostname, place.port))
    return connection


def is_ended(connection: socket.socket, wait_s: float) -> bool:
    """Return whether the other side ends the connection within `wait_s`."""
    if not select.select([connection], [], [], wait_s)[0]:
        return False
    try:
        return connection.recv(65536) == b""
    except ConnectionError:
        return True


def is_healthy(connection: socket.socket, *, ends: bool = False) -> bool:
    """Ask on an open connection whether the receiver is up, and read the whole answer, in whatever pieces it comes."""
    connection.sendall(HEALTH + (b"connection: close\r\n" if ends else b"") + b"\r\n")
    answer = b""
    while b"true" not in answer and (part := connection.recv(65536)):
        answer += part
    return answer.startswith(b"HTTP/1.1 200")


def deliver(url: str) -> int:
    """Make one whole delivery and return its status."""
    body = push()
    return httpx.post(f"{url}/webhooks/github", content=body, headers=headers(body), timeout=HANG_S).status_code


def test_a_connection_that_says_nothing_is_ended(serve: Serve) -> None:
    with connect(serve(answer_within_s=0.2)) as silent:
        assert is_ended(silent, HANG_S)


@pytest.mark.parametrize(
    "beginning",
    [
        b"POST /webhooks/github HTTP/1.1\r\nhost: x\r\nx-",
        b"POST /webhooks/github HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\n",
    ],
)
def test_one_that_drips_is_ended_although_bytes_come(serve: Serve, beginning: bytes) -> None:
    with connect(serve(answer_within_s=0.3)) as dripping:
        dripping.sendall(beginning)
        for _ in range(20_000):  # far more than fit into the time, and less than uvicorn's bound on a head
            if is_ended(dripping, 0.002):
                return
            with contextlib.suppress(ConnectionError):
                dripping.send(b"x")
    pytest.fail("the connection was never ended")


def test_one_that_asks_again_and_again_and_never_reads_is_ended(serve: Serve) -> None:
    with connect(serve(answer_within_s=0.3)) as deaf, pytest.raises(ConnectionError):
        deaf.sendall((HEALTH + b"\r\n") * 1_000_000)


def test_an_address_holds_only_so_many_and_gets_a_place_back(serve: Serve) -> None:
    url = serve(per_address=2, answer_within_s=HANG_S, yields_after_s=HANG_S)
    with connect(url) as first, connect(url) as second:
        for holder in (first, second):
            assert is_healthy(holder)
        with connect(url) as third:
            assert is_ended(third, HANG_S)
        assert is_healthy(first, ends=True)
        while first.recv(65536):
            pass
        assert deliver(url) == 202


@pytest.mark.parametrize("limits", [{"per_address": 2}, {"total": 2}])
def test_connections_that_ask_for_nothing_keep_no_other_of_their_address_out(
    serve: Serve, limits: dict[str, float]
) -> None:
    url = serve(**limits, answer_within_s=HANG_S, yields_after_s=0)
    with connect(url) as oldest, connect(url) as answered:
        assert is_healthy(answered)
        assert httpx.get(f"{url}/healthz", timeout=HANG_S).status_code == 200
        assert is_ended(oldest, HANG_S)
        assert is_healthy(answered)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have one loopback address")
def test_all_addresses_together_hold_only_so_many(serve: Serve) -> None:
    url = serve(per_address=1, total=2, answer_within_s=HANG_S, yields_after_s=HANG_S)
    with contextlib.ExitStack() as stack:
        holders = [stack.enter_context(connect(url, f"127.0.0.{number}")) for number in (2, 3)]
        for holder in holders:
            assert is_healthy(holder)
        with connect(url, "127.0.0.4") as third:
            assert is_ended(third, HANG_S)


def test_a_caller_that_keeps_its_connection_is_answered_for_longer_than_one_answer_may_take(serve: Serve) -> None:
    url = serve(answer_within_s=5)
    with httpx.Client() as client:
        assert {client.get(f"{url}/healthz", timeout=HANG_S).status_code for _ in range(20)} == {200}
    assert deliver(url) == 202


@pytest.mark.parametrize(
    ("address", "caller"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_addresses_of_one_caller_are_counted_together(address: str, caller: str) -> None:
    assert caller_of(address) == caller
