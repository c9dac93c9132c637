"""Egress to a registry on loopback: what passes, what is rewritten, what is refused."""

import json
import threading
from contextlib import closing
from http.client import HTTPResponse
from http.server import BaseHTTPRequestHandler

import pytest

from squire_pipelines.gateway.egress import EgressRules
from squire_pipelines.gateway.registry_routes import Registry
from tests.support.provider import Answer, DirectedProvider, OpenGateway, RunningGateway, plain


def rules(upstream: DirectedProvider, **more: object) -> EgressRules:
    base = upstream.url.removesuffix("/v1")
    values: dict[str, object] = {
        "registries": (Registry("reg", base, ("https://files.example.net/",)),),
        "allow_private": True,
    }
    return EgressRules(**{**values, **more})  # type: ignore[arg-type]  # a test's own values


def bytes_answer(
    body: bytes, kind: str = "application/octet-stream", status: int = 200, more: dict[str, str] | None = None
) -> Answer:
    def write(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"content-type": kind, "content-length": str(len(body)), **(more or {})}.items():
            handler.send_header(name, value)
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(body)

    return write


@pytest.fixture
def gateway(upstream: DirectedProvider, open_gateway: OpenGateway) -> RunningGateway:
    return open_gateway(egress=rules(upstream))


def test_a_file_passes_as_it_is_and_is_counted(upstream: DirectedProvider, gateway: RunningGateway) -> None:
    body = bytes(range(256)) * 400
    upstream.answer = bytes_answer(body, more={"set-cookie": "a=b"})
    answer = gateway.client.get(
        "/egress/reg/p/a.tgz", headers={"Cookie": "c", "Authorization": "d", "Range": "bytes=0-"}
    )
    assert answer.content == body
    assert "set-cookie" not in answer.headers
    (seen,) = upstream.seen
    assert seen.path == "/p/a.tgz"
    assert "cookie" not in seen.headers
    assert "authorization" not in seen.headers
    assert seen.headers["range"] == "bytes=0-"
    (call,) = gateway.recorded()
    host = upstream.url.split("/")[2]
    assert (call.target, call.status, call.response_bytes, call.error) == (host, 200, len(body), None)
    count = gateway.server.status.hosts[host]
    assert (count.requests, count.received_bytes, count.sent_bytes) == (1, len(body), len(f"http://{host}/p/a.tgz"))
    assert gateway.server.status.totals.requests == 0
    before = gateway.server.status
    gateway.client.get("/egress/reg/p/a.tgz")
    assert gateway.server.status.hosts[host].received_bytes == before.hosts[host].received_bytes + len(body)


def test_an_index_is_rewritten_to_lead_through_the_gateway(upstream: DirectedProvider, gateway: RunningGateway) -> None:
    base = upstream.url.removesuffix("/v1")
    upstream.answer = plain(200, {"tarball": f"{base}/p/-/p-1.tgz", "wheel": "https://files.example.net/w.whl"})
    document = gateway.client.get("/egress/reg/p", headers={"Host": "127.0.0.1:8787"}).json()
    assert document == {
        "tarball": "http://127.0.0.1:8787/egress/reg/p/-/p-1.tgz",
        "wheel": "http://127.0.0.1:8787/egress/reg/~1/w.whl",
    }
    odd = gateway.client.get("/egress/reg/p", headers={"Host": "evil.example.com"}).json()
    assert odd["tarball"] == "/egress/reg/p/-/p-1.tgz"


def test_a_head_passes(upstream: DirectedProvider, gateway: RunningGateway) -> None:
    upstream.answer = bytes_answer(b"{}", "application/json")
    answer = gateway.client.head("/egress/reg/p")
    assert (answer.status_code, answer.content) == (200, b"")
    assert upstream.seen[0].method == "HEAD"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/egress/reg/p", b"upload", 405),
        ("PUT", "/egress/reg/p", None, 405),
        ("GET", "/egress/reg/p", b"upload", 403),
        ("GET", "/egress/reg/p?upload=1", None, 403),
        ("GET", "/egress/other/p", None, 403),
        ("GET", "/egress/reg/%2e%2e/p", None, 403),
        ("GET", "http://registry.example.com/p", None, 404),
    ],
)
def test_everything_else_is_refused_and_logged(
    upstream: DirectedProvider, gateway: RunningGateway, *, method: str, path: str, body: bytes | None, status: int
) -> None:
    assert gateway.client.request(method, path, content=body).status_code == status
    assert upstream.seen == []
    assert gateway.recorded()[0].error in {"method", "egress", "path"}


def test_without_open_registries_nothing_is_read(open_gateway: OpenGateway) -> None:
    assert open_gateway().client.get("/egress/reg/p").status_code == 403


def test_a_redirect_to_a_named_place_leads_there_and_no_other(
    upstream: DirectedProvider, gateway: RunningGateway
) -> None:
    upstream.answer = bytes_answer(b"", status=302, more={"location": "https://files.example.net/a.tgz"})
    answer = gateway.client.get("/egress/reg/p", headers={"Host": "127.0.0.1:1"})
    assert (answer.status_code, answer.headers["location"]) == (302, "http://127.0.0.1:1/egress/reg/~1/a.tgz")
    upstream.answer = bytes_answer(b"", status=302, more={"location": "http://169.254.169.254/latest"})
    assert gateway.client.get("/egress/reg/p").status_code == 502
    assert gateway.recorded(2)[1].error == "redirect"


def test_a_name_that_leads_inwards_is_refused(upstream: DirectedProvider, open_gateway: OpenGateway) -> None:
    gateway = open_gateway(egress=rules(upstream, allow_private=False))
    assert gateway.client.get("/egress/reg/p").json()["error"]["code"] == "address"
    assert upstream.seen == []


def test_bytes_and_requests_have_an_end(upstream: DirectedProvider, open_gateway: OpenGateway) -> None:
    upstream.answer = bytes_answer(b"x" * 600)
    gateway = open_gateway(egress=rules(upstream, max_bytes=1000, max_requests=3))
    assert gateway.client.get("/egress/reg/p").status_code == 200
    with pytest.raises(Exception, match=r"(?i)peer closed|disconnected|incomplete"):
        gateway.client.get("/egress/reg/p")
    upstream.answer = plain(200, {"a": 1})
    assert [gateway.client.get("/egress/reg/p").status_code for _ in range(2)] == [403, 403]
    assert [call.error for call in gateway.recorded(4)] == [None, "egress", "egress", "egress"]
    assert len(upstream.seen) == 2, "without bytes left nothing is asked"


def test_an_index_is_bounded_and_comes_in_the_coding_that_was_asked_for(
    upstream: DirectedProvider, open_gateway: OpenGateway
) -> None:
    gateway = open_gateway(egress=rules(upstream, max_index_bytes=100))
    upstream.answer = plain(200, {"pad": "x" * 200})
    assert gateway.client.get("/egress/reg/p").json()["error"]["code"] == "response_too_large"
    upstream.answer = bytes_answer(b"gz", "application/json", more={"content-encoding": "gzip"})
    assert gateway.client.get("/egress/reg/p").status_code == 502


def test_a_registry_that_is_not_there_is_a_502(open_gateway: OpenGateway, upstream: DirectedProvider) -> None:
    registries = (Registry("gone", "http://127.0.0.1:9/"), Registry("nowhere", "http://name.invalid/"))
    gateway = open_gateway(egress=rules(upstream, registries=registries))
    assert gateway.client.get("/egress/gone/p").status_code == 502
    assert gateway.client.get("/egress/nowhere/p").status_code == 502


def test_a_registry_that_is_silent_is_given_up(upstream: DirectedProvider, open_gateway: OpenGateway) -> None:
    release = threading.Event()

    def silent(_: BaseHTTPRequestHandler) -> None:
        release.wait(10)

    upstream.answer = silent
    gateway = open_gateway(egress=rules(upstream, idle_s=0.3))
    assert gateway.client.get("/egress/reg/p").status_code == 504
    release.set()


@pytest.mark.parametrize("opened", [True, False])
def test_a_tunnel_is_refused_with_a_sentence_and_logged(
    upstream: DirectedProvider, open_gateway: OpenGateway, *, opened: bool
) -> None:
    authority = upstream.url.split("/")[2]
    gateway = open_gateway(egress=rules(upstream)) if opened else open_gateway()
    with closing(gateway.connect()) as connection:
        connection.sendall(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
        answer = HTTPResponse(connection, method="GET")
        answer.begin()
        error = json.loads(answer.read())["error"]
        connection.sendall(b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 200"), "what follows is read as a request of its own"
    assert (answer.status, error["code"]) == (405, "method")
    assert error["message"].startswith("the gateway opens no tunnels")
    assert [(call.status, call.error) for call in gateway.recorded(2)] == [(405, "method"), (200, None)]
    assert [seen.path for seen in upstream.seen] == ["/v1/models"]
