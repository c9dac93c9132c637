"""The gateway between a real client on its Unix socket and a real provider on loopback."""

import dataclasses
import json
import stat
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx
import pytest

from squire_pipelines.errors import ConfigError
from squire_pipelines.gateway.model import GatewayCall, GatewayLimits
from squire_pipelines.gateway.server import Gateway, socket_directory
from squire_pipelines.gateway.upstream import Upstream
from squire_pipelines.gateway.wire import GatewayConfig
from squire_pipelines.trusted_certificates import tls_context
from tests.support.model_server import ModelServer, Turn
from tests.support.provider import AnswerWith, DirectedProvider, OpenGateway

CHAT = "/v1/chat/completions"
BODY = {"model": "small", "messages": [{"role": "user", "content": "hello"}]}
KEY = "sk-" + "k" * 20


def events(*lines: str, then: Callable[[], object] | None = None) -> Callable[[BaseHTTPRequestHandler], None]:
    """An answer of server-sent events, one flush each; `then` runs before the last."""

    def write(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("content-type", "text/event-stream")
        handler.end_headers()
        for number, line in enumerate(lines):
            if then is not None and number == len(lines) - 1:
                then()
            handler.wfile.write(f"data: {line}\n\n".encode())
            handler.wfile.flush()

    return write


FINISH = {"index": 0, "delta": {}, "finish_reason": "stop"}
USAGE = json.dumps({"choices": [FINISH], "usage": {"prompt_tokens": 11, "completion_tokens": 4}})


def test_a_call_gets_the_key_and_is_recorded(upstream: DirectedProvider, open_gateway: OpenGateway) -> None:
    gateway = open_gateway()
    headers = {"Authorization": "Bearer unused", "Cookie": "a=b", "X-Stainless-Os": "x"}
    answer = gateway.client.post(CHAT, json=BODY, headers=headers)
    assert answer.status_code == 200
    seen = upstream.seen[0]
    assert (seen.method, seen.path) == ("POST", "/v1/chat/completions")
    assert seen.headers["authorization"] == f"Bearer {KEY}"
    assert "cookie" not in seen.headers
    assert json.loads(seen.body) == BODY
    (call,) = gateway.recorded()
    assert (call.model, call.status, call.error) == ("small", 200, None)
    assert (call.input_tokens, call.output_tokens) == (5, 2)
    assert call.request_bytes > 0
    assert call.response_bytes == len(answer.content)
    assert 0 < call.latency_s < 10


def test_without_a_key_none_is_sent(upstream: DirectedProvider, open_gateway: OpenGateway) -> None:
    open_gateway(key=None).client.post(CHAT, json=BODY, headers={"Authorization": "Bearer theirs"})
    assert "authorization" not in upstream.seen[0].headers


def test_the_list_of_models_passes(
    upstream: DirectedProvider, open_gateway: OpenGateway, answer_with: AnswerWith
) -> None:
    answer_with(200, {"data": [{"id": "small"}]})
    gateway = open_gateway()
    assert gateway.client.get("/v1/models").json() == {"data": [{"id": "small"}]}
    assert upstream.seen[0].path == "/v1/models"
    assert gateway.recorded()[0].model is None


@pytest.mark.parametrize(
    ("asked", "refused"),
    [
        (("GET", "/v1/files", None), (404, "path")),
        (("DELETE", CHAT, None), (405, "method")),
        (("POST", CHAT, {"model": "large"}), (400, "model")),
        (("POST", CHAT, ["no object"]), (400, "bad_request")),
    ],
)
def test_what_does_not_pass_is_refused_and_recorded(
    upstream: DirectedProvider, open_gateway: OpenGateway, asked: tuple[str, str, object], refused: tuple[int, str]
) -> None:
    (method, path, body), (status, code) = asked, refused
    gateway = open_gateway()
    answer = gateway.client.request(method, path, json=body)
    assert answer.status_code == status
    assert answer.json()["error"]["code"] == code
    assert upstream.seen == []
    (call,) = gateway.recorded()
    assert (call.status, call.error) == (status, code)


def test_a_stream_passes_piece_by_piece(upstream: DirectedProvider, open_gateway: OpenGateway) -> None:
    release = threading.Event()
    upstream.answer = events('{"piece": 1}', USAGE, then=lambda: release.wait(10))
    gateway = open_gateway()
    with gateway.client.stream("POST", CHAT, json={**BODY, "stream": True}) as answer:
        lines = answer.iter_lines()
        assert next(lines) == 'data: {"piece": 1}'
        # Only now does the provider write the rest: nothing was held back.
        release.set()
        assert USAGE in "\n".join(lines)
    assert json.loads(upstream.seen[0].body)["stream_options"] == {"include_usage": True}
    (call,) = gateway.recorded()
    assert (call.input_tokens, call.output_tokens, call.error) == (11, 4, None)


def test_an_agent_that_goes_away_ends_the_call(upstream: DirectedProvider, open_gateway: OpenGateway) -> None:
    release = threading.Event()
    upstream.answer = events('{"piece": 1}', USAGE, then=lambda: release.wait(10))
    gateway = open_gateway()
    with gateway.client.stream("POST", CHAT, json={**BODY, "stream": True}) as answer:
        assert next(answer.iter_lines())
    (call,) = gateway.recorded()
    release.set()
    assert call.error == "client_gone"


def test_an_agent_that_goes_away_while_it_asks_is_recorded(open_gateway: OpenGateway) -> None:
    gateway = open_gateway()
    with gateway.connect() as connection:
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nContent-Length: 100\r\n\r\n{")
    (call,) = gateway.recorded()
    assert (call.error, call.status) == ("client_gone", 0)


def test_an_error_of_the_providers_passes_without_the_key(open_gateway: OpenGateway, answer_with: AnswerWith) -> None:
    answer_with(429, {"error": {"message": f"Too many requests with {KEY}"}}, {"retry-after": "7", "set-cookie": "a"})
    gateway = open_gateway()
    answer = gateway.client.post(CHAT, json=BODY)
    assert answer.status_code == 429
    assert KEY not in answer.text
    assert "[redacted]" in answer.text
    assert answer.headers["retry-after"] == "7"
    assert "set-cookie" not in answer.headers
    (call,) = gateway.recorded()
    assert (call.status, call.error, call.upstream_status) == (429, "upstream_status", 429)


def test_a_redirect_is_not_followed(
    upstream: DirectedProvider, open_gateway: OpenGateway, answer_with: AnswerWith
) -> None:
    answer_with(302, {}, {"location": upstream.url + "/elsewhere"})
    gateway = open_gateway()
    refused = gateway.client.post(CHAT, json=BODY)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "provider_refused")
    assert "Correct its `base_url`" in (gateway.server.status.seen.user_fault or "")
    assert upstream.url not in refused.text, "where the provider is, and why it refuses, is the user's to know"
    assert len(upstream.seen) == 1


def test_a_provider_that_is_not_there_is_a_502(open_gateway: OpenGateway) -> None:
    gateway = open_gateway(url="http://127.0.0.1:9/v1")
    answer = gateway.client.post(CHAT, json=BODY)
    assert answer.status_code == 502
    assert answer.json()["error"]["code"] == "upstream_unreachable"
    assert gateway.recorded()[0].error == "upstream_unreachable"


def test_a_stream_that_breaks_is_cut_not_ended(upstream: DirectedProvider, open_gateway: OpenGateway) -> None:
    def broken(handler: BaseHTTPRequestHandler) -> None:
        handler.protocol_version = "HTTP/1.1"
        handler.send_response(200)
        handler.send_header("content-type", "text/event-stream")
        handler.send_header("transfer-encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"a\r\ndata: {}\n\n\r\nff\r\nhalf")
        handler.wfile.flush()
        handler.close_connection = True

    upstream.answer = broken
    gateway = open_gateway()
    with (
        pytest.raises(httpx.RemoteProtocolError),
        gateway.client.stream("POST", CHAT, json={**BODY, "stream": True}) as answer,
    ):
        list(answer.iter_bytes())
    assert gateway.recorded()[0].error == "upstream_unreachable"


def test_a_provider_that_is_silent_is_given_up(upstream: DirectedProvider, open_gateway: OpenGateway) -> None:
    release = threading.Event()

    def silent(_: BaseHTTPRequestHandler) -> None:
        release.wait(10)

    upstream.answer = silent
    gateway = open_gateway(limits=GatewayLimits(idle_s=0.3))
    answer = gateway.client.post(CHAT, json=BODY)
    release.set()
    assert answer.status_code == 504
    assert gateway.recorded()[0].error == "timeout"


def test_a_call_has_an_end_however_it_trickles(open_gateway: OpenGateway) -> None:
    gateway = open_gateway(limits=GatewayLimits(call_s=0.3))
    with gateway.connect() as connection:
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nContent-Length: 100\r\n\r\n{")
        assert b"504" in connection.recv(1000)
    assert gateway.recorded()[0].error == "timeout"


def test_a_request_that_is_too_large_is_refused(upstream: DirectedProvider, open_gateway: OpenGateway) -> None:
    gateway = open_gateway(limits=GatewayLimits(max_request_bytes=1000))
    assert gateway.client.post(CHAT, json={**BODY, "pad": "x" * 2000}).status_code == 413
    assert upstream.seen == []


def test_an_answer_that_is_too_large_is_refused_or_cut(
    upstream: DirectedProvider, open_gateway: OpenGateway, answer_with: AnswerWith
) -> None:
    gateway = open_gateway(limits=GatewayLimits(max_response_bytes=1000))
    answer_with(200, {"pad": "x" * 2000})
    assert gateway.client.post(CHAT, json=BODY).status_code == 502
    upstream.answer = events(*(["x" * 600] * 3))
    with (
        pytest.raises(httpx.RemoteProtocolError),
        gateway.client.stream("POST", CHAT, json={**BODY, "stream": True}) as answer,
    ):
        list(answer.iter_bytes())
    assert [call.error for call in gateway.recorded(2)] == ["response_too_large"] * 2


def test_calls_are_counted_and_end(upstream: DirectedProvider, open_gateway: OpenGateway) -> None:
    gateway = open_gateway(limits=GatewayLimits(max_calls=2))
    assert [gateway.client.post(CHAT, json=BODY).status_code for _ in range(3)] == [200, 200, 400]
    assert len(upstream.seen) == 2
    assert sorted(call.error or "" for call in gateway.recorded(3)) == ["", "", "budget"]


def test_a_recorder_that_fails_does_not_fail_the_call(upstream: DirectedProvider) -> None:
    def broken(_: GatewayCall) -> None:
        raise ValueError

    with (
        socket_directory() as path,
        Gateway(path, GatewayConfig("test-1", (Upstream(upstream.url, None, ("small",)),)), on_call=broken),
        httpx.Client(
            transport=httpx.HTTPTransport(verify=tls_context(), uds=str(path)), base_url="http://g", timeout=30
        ) as client,
    ):
        assert [client.post(CHAT, json=BODY).status_code for _ in range(2)] == [200, 200]


def test_neither_bodies_nor_keys_reach_log_or_record(
    open_gateway: OpenGateway, capfd: pytest.CaptureFixture[str]
) -> None:
    gateway = open_gateway(url="http://127.0.0.1:9/v1")
    body = {**BODY, "messages": [{"role": "user", "content": "private words"}]}
    gateway.client.post(CHAT, json=body)
    recorded = json.dumps([dataclasses.asdict(call) for call in gateway.recorded()], default=str)
    out, err = capfd.readouterr()
    for secret in (KEY, "private words"):
        assert secret not in recorded + out + err


@pytest.mark.slow
def test_closing_ends_calls_that_are_under_way(upstream: DirectedProvider) -> None:
    release = threading.Event()
    started = threading.Event()
    upstream.answer = events('{"piece": 1}', USAGE, then=lambda: release.wait(10))
    calls: list[GatewayCall] = []

    def ask(path: Path) -> None:
        transport = httpx.HTTPTransport(verify=tls_context(), uds=str(path))
        with httpx.Client(transport=transport, base_url="http://g", timeout=20) as client:
            try:
                with client.stream("POST", CHAT, json={**BODY, "stream": True}) as answer:
                    for _ in answer.iter_lines():
                        started.set()
            except httpx.HTTPError:
                return

    with socket_directory() as path:
        with Gateway(path, GatewayConfig("test-1", (Upstream(upstream.url, None, ("small",)),)), on_call=calls.append):
            asking = threading.Thread(target=ask, args=(path,))
            asking.start()
            assert started.wait(10)
        asking.join(10)
        assert not asking.is_alive()
        assert not path.exists()
    release.set()
    assert [call.error for call in calls] in (["shutdown"], ["client_gone"])


def test_the_socket_is_in_a_directory_that_only_we_can_reach() -> None:
    with socket_directory() as path:
        assert stat.S_IMODE(path.parent.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o711
        with Gateway(path, GatewayConfig("test-1", (Upstream("http://127.0.0.1:9"),))):
            assert stat.S_IMODE(path.stat().st_mode) == 0o666
    assert not path.parent.parent.exists()


def test_a_long_temporary_directory_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    with socket_directory() as path:
        assert len(bytes(path)) < 100
    with socket_directory(tmp_path) as path:
        assert tmp_path in path.parents


def test_a_socket_that_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="bytes"):
        Gateway(tmp_path / ("x" * 120), GatewayConfig("test-1"))
    with pytest.raises(ConfigError, match="does not exist"):
        Gateway(tmp_path / "no" / "s", GatewayConfig("test-1"))


def test_the_scripted_model_is_reached_through_the_gateway(open_gateway: OpenGateway) -> None:
    with ModelServer([Turn(text="Hello.\nWorld.", prompt_tokens=21, completion_tokens=8)]) as model:
        gateway = open_gateway(url=model.url)
        answer = gateway.client.post(CHAT, json={**BODY, "stream": True})
        assert "World." in answer.text
    (call,) = gateway.recorded()
    assert (call.input_tokens, call.output_tokens) == (21, 8)
