"""What our servers take for a request, by RFC 9112, and how much of what is no body."""

import contextlib
import queue
import socket
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from squire_pipelines.http_server import AnnouncingServer, listen
from squire_pipelines.observability.logging import Component

HANG_S = 60
"""After this time a test fails; none waits for it."""

POST = b"POST / HTTP/1.1\r\nhost: x\r\n"
GET = b"GET / HTTP/1.1\r\nhost: x\r\n"
SIZED = b"content-length: 2\r\n\r\nab"
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n"
UPGRADE = b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n"


async def echo(request: Request) -> Response:
    """Answer with the body."""
    return Response(b"body:" + await request.body(), headers={"connection": "close"})


@pytest.fixture(scope="module")
def place() -> Iterator[tuple[str, int]]:
    """Start one server for all tests, and return where it listens."""
    ready: queue.Queue[str] = queue.Queue()
    with listen("127.0.0.1", 0, section="webhooks") as listener:
        app = Starlette(routes=[Route("/", echo, methods=["GET", "POST"])])
        server = AnnouncingServer(app, listener, announce=ready.put, component=Component.WEBHOOKS)
        thread = threading.Thread(target=server.serve_until_stopped)
        thread.start()
        url = urlsplit(ready.get(timeout=HANG_S))
        yield str(url.hostname), int(url.port or 0)
        server.should_exit = True
        thread.join(HANG_S)


def answer_to(place: tuple[str, int], *pieces: bytes) -> bytes:
    """Return what is answered to these pieces; nothing where the connection was ended instead."""
    answer = b""
    with socket.create_connection(place, HANG_S) as connection, contextlib.suppress(ConnectionError):
        for piece in pieces:
            connection.sendall(piece)
        while part := connection.recv(65536):
            answer += part
    return answer


@pytest.mark.parametrize(
    "request_text",
    [
        pytest.param(POST + b"a: b\r\n c\r\n" + SIZED, id="a header that goes on in the next line"),
        pytest.param(POST + b"a : b\r\n" + SIZED, id="a space before the colon"),
        pytest.param(POST + b"a\t: b\r\n" + SIZED, id="a tab before the colon"),
        pytest.param(b"POST / HTTP/1.1\r\n host: x\r\n" + SIZED, id="a space before the first header"),
        pytest.param(POST + b"a: b\rc\r\n" + SIZED, id="CR alone in a value"),
        pytest.param(POST + b"a: b\nc: d\r\n" + SIZED, id="LF alone after a header"),
        pytest.param(POST + b"a: b\0c\r\n" + SIZED, id="NUL in a value"),
        pytest.param(POST + b"a: b\x01c\r\n" + SIZED, id="a control character in a value"),
        pytest.param(POST + b"a(b: c\r\n" + SIZED, id="a name that is no token"),
        pytest.param(POST + b"a\xff: c\r\n" + SIZED, id="a name that is not ASCII"),
        pytest.param(POST + b": c\r\n" + SIZED, id="no name"),
        pytest.param(POST + b"abc\r\n" + SIZED, id="no colon"),
        pytest.param(CHUNKED.replace(b"\r\n\r\n", b"\r\ncontent-length: 5\r\n\r\n") + b"0\r\n\r\n", id="two framings"),
        pytest.param(
            POST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", id="and the other first"
        ),
        pytest.param(POST + b"content-length: 3\r\n" + SIZED + b"c", id="two lengths"),
        pytest.param(POST + b"content-length: +2\r\n\r\nab", id="a length with a sign"),
        pytest.param(POST + b"content-length: 0x2\r\n\r\nab", id="a length in another base"),
        pytest.param(POST + b"content-length: 1 2\r\n\r\nab", id="a length in two parts"),
        pytest.param(POST + b"content-length: " + b"9" * 30 + b"\r\n\r\nab", id="a length beyond all numbers"),
        pytest.param(POST + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", id="another coding too"),
        pytest.param(POST + b"transfer-encoding: gzip\r\n\r\n0\r\n\r\n", id="another coding alone"),
        pytest.param(POST + b"transfer-encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n", id="a coding twice"),
        pytest.param(CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0") + b"0\r\n\r\n", id="a coding in HTTP/1.0"),
        pytest.param(CHUNKED + b"0x2\r\nab\r\n0\r\n\r\n", id="a chunk's length in another base"),
        pytest.param(CHUNKED + b"2;a\nb\r\nab\r\n0\r\n\r\n", id="LF beside a chunk's length"),
        pytest.param(CHUNKED + b"2\r\nabX\r\n0\r\n\r\n", id="more than a chunk's length"),
        pytest.param(CHUNKED + b"fffffffffffffffff\r\nab\r\n0\r\n\r\n", id="a chunk beyond all numbers"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="no host"),
        pytest.param(GET + b"host: y\r\n\r\n", id="two hosts"),
        pytest.param(b"GET /\r\n\r\n", id="HTTP/0.9"),
        pytest.param(b"GET / HTTP/2.0\r\nhost: x\r\n\r\n", id="HTTP/2.0"),
        pytest.param(b"GET / HTTP/9.9\r\nhost: x\r\n\r\n", id="a version that there is not"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="the beginning of HTTP/2"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", id="TLS"),
        pytest.param(b"GET /\0 HTTP/1.1\r\nhost: x\r\n\r\n", id="NUL in the path"),
        pytest.param(b"GET /a b HTTP/1.1\r\nhost: x\r\n\r\n", id="a space in the path"),
        pytest.param(b"CONNECT a:1 HTTP/1.1\r\nhost: x\r\n\r\n", id="CONNECT"),
        pytest.param(GET + b"a: b\r\n" * 40_000 + b"\r\n", id="a head of 240 kB at once"),
        pytest.param(CHUNKED + b"1\r\na\r\n" * 3000, id="a body cut too finely"),
    ],
)
def test_what_is_no_request_is_refused(place: tuple[str, int], request_text: bytes) -> None:
    middle = len(request_text) // 2
    for pieces in ((request_text,), (request_text[:middle], request_text[middle:])):
        assert answer_to(place, *pieces)[:12] in {b"HTTP/1.1 400", b""}


@pytest.mark.parametrize(
    ("request_text", "body"),
    [
        pytest.param(POST + SIZED, b"ab", id="a length"),
        pytest.param(CHUNKED + b"1\r\na\r\n1;x=y\r\nb\r\n0\r\n\r\n", b"ab", id="chunks"),
        pytest.param(POST + b"transfer-encoding: Chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", b"ab", id="Chunked"),
        pytest.param(CHUNKED + b"2\r\nab\r\n0\r\nhost: y\r\n\r\n", b"ab", id="a trailer, which is left out"),
        pytest.param(b"GET / HTTP/1.0\r\n\r\n", b"", id="HTTP/1.0 without a host"),
        pytest.param(POST + b"a: \xff\r\n" + SIZED, b"ab", id="a value that is not ASCII"),
        pytest.param(GET + b"a: " + b"a" * 60_000 + b"\r\n\r\n", b"", id="a head of 60 kB"),
        pytest.param(GET + UPGRADE + b"\r\n", b"", id="an upgrade"),
        pytest.param(POST + UPGRADE + SIZED, b"ab", id="an upgrade with a body"),
        pytest.param(
            POST + UPGRADE + b"transfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", b"ab", id="chunks too"
        ),
    ],
)
def test_a_request_is_read_in_whatever_pieces_it_comes(
    place: tuple[str, int], request_text: bytes, body: bytes
) -> None:
    cuts = {1, 5, len(request_text) // 2, len(request_text) - 3, len(request_text) - 1, len(request_text)}
    for cut in cuts:
        answer = answer_to(place, request_text[:cut], request_text[cut:])
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.endswith(b"\r\n\r\nbody:" + body)


@pytest.mark.parametrize(
    "beginning",
    [
        pytest.param(GET + b"a: ", id="a header"),
        pytest.param(b"GET /", id="a path"),
        pytest.param(CHUNKED + b"2;", id="what stands beside a chunk's length"),
        pytest.param(CHUNKED + b"2\r\nab\r\n0\r\na: ", id="a trailer"),
    ],
)
def test_what_is_no_body_has_an_end(place: tuple[str, int], beginning: bytes) -> None:
    assert answer_to(place, beginning, *[b"a" * 10_000] * 50)[:12] in {b"HTTP/1.1 400", b""}


def test_requests_that_come_at_once_are_answered_one_by_one(place: tuple[str, int]) -> None:
    with socket.create_connection(place, HANG_S) as connection:
        keeping = b"GET /none HTTP/1.1\r\nhost: x\r\n" + UPGRADE + b"\r\n"
        connection.sendall(keeping * 20 + GET + b"\r\n")
        answers = b"".join(iter(lambda: connection.recv(65536), b""))
    assert (answers.count(b"HTTP/1.1 404"), answers.count(b"HTTP/1.1 200")) == (20, 1)


@pytest.mark.parametrize("further", [b"GET / HTTP/9.9\r\n\r\n", (GET + b"\r\n") * 2000])
def test_no_answer_to_a_later_request_can_be_taken_for_that_to_an_earlier_one(
    place: tuple[str, int], further: bytes
) -> None:
    assert answer_to(place, POST + SIZED + further) == b""
