"""Connections of an agent that say nothing, that cannot be read or are one too many: each is ended, or counted."""

import logging
import select
import socket
import threading
from contextlib import ExitStack, closing, suppress
from http.server import BaseHTTPRequestHandler

import pytest

from squire_pipelines.gateway.egress import EgressRules
from squire_pipelines.gateway.model import GatewayLimits
from squire_pipelines.gateway.registry_routes import Registry
from tests.support.provider import DirectedProvider, OpenGateway, RunningGateway, plain

CHAT = "/v1/chat/completions"
BODY: dict[str, object] = {"model": "small", "messages": [{"role": "user", "content": "hello"}]}
HANG_S = 60
"""After this time a test fails; none waits for it."""


def ended(connections: list[socket.socket], wait_s: float) -> list[socket.socket]:
    """Return those that the gateway ends, of which at least one has to come within `wait_s`."""
    readable = select.select(connections, [], [], wait_s)[0]
    return [connection for connection in readable if connection.recv(1) == b""]


def answer_to(gateway: RunningGateway, request: bytes) -> bytes:
    """Return what the gateway answers on a new connection until it ends that, or the answer's first part."""
    with closing(gateway.connect()) as connection:
        connection.settimeout(HANG_S)
        with suppress(BrokenPipeError, ConnectionResetError):  # it may say no before all is sent
            connection.sendall(request)
        try:
            return connection.recv(4096)
        except ConnectionResetError:
            return b""


@pytest.mark.parametrize("is_egress_open", [False, True])
def test_silent_connections_take_only_so_many_places(open_gateway: OpenGateway, *, is_egress_open: bool) -> None:
    registries = (Registry("reg", "http://127.0.0.1:9/"),) if is_egress_open else ()
    most = 16 + 16 + (64 if is_egress_open else 0)
    gateway = open_gateway(egress=EgressRules(registries=registries))
    with ExitStack() as stack:
        silent = [stack.enter_context(closing(gateway.connect())) for _ in range(most + 100)]
        open_ones = list(silent)
        while len(open_ones) > most:
            gone = ended(open_ones, HANG_S)
            assert gone, f"{len(open_ones)} connections stay open"
            open_ones = [connection for connection in open_ones if connection not in gone]
        assert len(open_ones) == most


def test_a_connection_without_a_request_is_ended_and_a_long_call_is_not(
    upstream: DirectedProvider, open_gateway: OpenGateway
) -> None:
    others_ended = threading.Event()

    def wait(handler: BaseHTTPRequestHandler) -> None:
        assert others_ended.wait(HANG_S)
        plain(200, {"ok": 1})(handler)

    upstream.answer = wait
    gateway = open_gateway(limits=GatewayLimits(request_s=0.2))
    statuses: list[int] = []
    call = threading.Thread(target=lambda: statuses.append(gateway.client.post(CHAT, json=BODY).status_code))
    call.start()
    with closing(gateway.connect()) as silent, closing(gateway.connect()) as slow:
        slow.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nX-A: ")
        for connection in (silent, slow):
            assert ended([connection], HANG_S)
    others_ended.set()
    call.join(HANG_S)
    assert statuses == [200]


def test_every_refusal_counts_whatever_it_is_for(open_gateway: OpenGateway) -> None:
    gateway = open_gateway(limits=GatewayLimits(max_calls=3))
    codes = [gateway.client.get("/egress/reg/p").json()["error"]["code"] for _ in range(5)]
    assert codes == ["egress"] * 3 + ["budget"] * 2
    assert gateway.server.status.totals.refused == 5


def test_refused_readings_of_registries_have_an_end(upstream: DirectedProvider, open_gateway: OpenGateway) -> None:
    rules = EgressRules(registries=(Registry("reg", upstream.url + "/"),), allow_private=True, max_requests=3)
    gateway = open_gateway(egress=rules)
    refused = [gateway.client.get("/egress/other/p").json()["error"]["message"] for _ in range(4)]
    assert [("that it may make" in message) for message in refused] == [False] * 3 + [True]
    assert gateway.client.get("/egress/reg/p").status_code == 403
    assert upstream.seen == []


def test_a_call_too_many_at_once_is_told_and_counted(open_gateway: OpenGateway) -> None:
    gateway = open_gateway(limits=GatewayLimits(max_concurrent=1))
    with closing(gateway.connect()) as waiting:
        waiting.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nContent-Length: 100\r\n\r\n{")
        answer = answer_to(gateway, b"GET /v1/models HTTP/1.1\r\nHost: g\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 503")
        assert gateway.recorded()[0].error == "busy"
    assert gateway.server.status.totals.refused >= 1


def test_requests_that_cannot_be_read_are_counted_and_fill_no_log(
    open_gateway: OpenGateway, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    gateway = open_gateway(limits=GatewayLimits(max_calls=100))
    for _ in range(100):
        assert answer_to(gateway, b"NONSENSE\r\n\r\n").startswith(b"HTTP/1.1 400")
    assert gateway.server.status.totals.refused == 100
    assert gateway.client.post(CHAT, json=BODY).json()["error"]["code"] == "budget"
    lines = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert 1 <= len(lines) <= 7, "the first, second, fourth, … 64th"
    captured = capfd.readouterr()
    assert len((captured.out + captured.err).splitlines()) <= 20


def chunked(size: int, count: int) -> bytes:
    """Return a request whose body comes in `count` chunks of `size` bytes."""
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + (b"%x\r\n" % size + b" " * size + b"\r\n") * count


def test_a_body_in_tiny_pieces_is_refused_after_the_first_thousand(open_gateway: OpenGateway) -> None:
    gateway = open_gateway()
    assert answer_to(gateway, chunked(1, 20_000)).startswith(b"HTTP/1.1 400")
    assert gateway.recorded()[0].request_bytes <= 1100
    assert gateway.server.status.totals.refused >= 1


@pytest.mark.parametrize(("size", "count"), [(1, 900), (1024, 5000)])
def test_a_body_in_ordinary_pieces_is_read(open_gateway: OpenGateway, size: int, count: int) -> None:
    gateway = open_gateway()
    answer = answer_to(gateway, chunked(size, count) + b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400")
    assert gateway.recorded()[0].error == "bad_request", "read whole, and then judged: blanks are no JSON"
    assert gateway.recorded()[0].request_bytes == size * count
