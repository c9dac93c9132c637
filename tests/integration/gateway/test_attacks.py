"""An agent that tries to get more from its provider than answers: through a real gateway, to a provider on loopback."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from http.server import BaseHTTPRequestHandler

import httpx
import pytest

from squire_pipelines.gateway.model import GatewayLimits
from squire_pipelines.trusted_certificates import tls_context
from tests.support import model_requests
from tests.support.provider import AnswerWith, DirectedProvider, OpenGateway, RunningGateway, plain

CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
BODY: dict[str, object] = {"model": "small", "messages": [{"role": "user", "content": "hello"}]}
KEY = "sk-" + "k" * 20


def at_once(gateway: RunningGateway, bodies: list[dict[str, object]]) -> list[httpx.Response]:
    """The answers to requests that are made together."""

    def ask(body: dict[str, object]) -> httpx.Response:
        transport = httpx.HTTPTransport(verify=tls_context(), uds=str(gateway.socket_path))
        with httpx.Client(transport=transport, base_url="http://gateway", timeout=30) as client:
            return client.post(CHAT, json=body)

    with ThreadPoolExecutor(len(bodies)) as pool:
        return list(pool.map(ask, bodies))


@pytest.mark.slow
@pytest.mark.parametrize("limit", [{}, {"max_tokens": 50_000}, {"max_tokens": "9"}, {"max_tokens": -1}, {"n": 8}])
def test_sixteen_calls_at_once_cannot_pass_a_cap(
    upstream: DirectedProvider, open_gateway: OpenGateway, limit: dict[str, object]
) -> None:
    granted: list[int] = []

    def write(handler: BaseHTTPRequestHandler) -> None:
        # A provider that writes as much as it may, in each of the answers that it is asked for.
        body = json.loads(upstream.seen[len(granted)].body)
        granted.append(body["max_tokens"] * body.get("n", 1))
        plain(200, {"usage": {"prompt_tokens": 10, "completion_tokens": granted[-1]}})(handler)

    upstream.answer = write
    gateway = open_gateway(limits=GatewayLimits(max_tokens=10_000))
    answers = at_once(gateway, [BODY | limit] * 16)
    calls = gateway.recorded(16)
    assert sum(call.total_tokens for call in calls) <= 10_000
    assert gateway.server.status.totals.tokens <= 10_000
    assert {answer.status_code for answer in answers} <= {200, 400}
    assert granted


def test_calls_that_wait_for_room_are_answered_when_others_used_less(
    open_gateway: OpenGateway, answer_with: AnswerWith
) -> None:
    answer_with(200, {"usage": {"prompt_tokens": 10, "completion_tokens": 5}})
    gateway = open_gateway(limits=GatewayLimits(max_tokens=10_000))
    answers = at_once(gateway, [{**BODY, "max_tokens": 50_000}] * 8)
    assert [answer.status_code for answer in answers] == [200] * 8
    assert gateway.server.status.totals.tokens == 8 * 15


def test_calls_at_once_cannot_pass_a_cap_on_calls(upstream: DirectedProvider, open_gateway: OpenGateway) -> None:
    gateway = open_gateway(limits=GatewayLimits(max_calls=10, max_concurrent=64))
    answers = at_once(gateway, [BODY] * 12)
    assert sorted(answer.status_code for answer in answers) == [200] * 10 + [400] * 2
    assert len(upstream.seen) == 10


def test_more_connections_than_may_be_open_are_turned_away(open_gateway: OpenGateway) -> None:
    gateway = open_gateway(limits=GatewayLimits(max_concurrent=2))
    with ExitStack() as connections:
        for _ in range(2):
            waiting = connections.enter_context(closing(gateway.connect()))
            waiting.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nContent-Length: 100\r\n\r\n{")
        third = connections.enter_context(closing(gateway.connect()))
        third.sendall(b"GET /v1/models HTTP/1.1\r\nHost: g\r\n\r\n")
        assert third.recv(1000).startswith(b"HTTP/1.1 503")


def test_refused_requests_are_calls_too(upstream: DirectedProvider, open_gateway: OpenGateway) -> None:
    gateway = open_gateway(limits=GatewayLimits(max_calls=5))
    wrong = [(CHAT, {"model": "large"}), ("/v1/files", {}), (CHAT, []), (RESPONSES, {"model": "small"}), (CHAT, 7)]
    statuses = [gateway.client.post(path, json=body).status_code for path, body in wrong]
    assert statuses == [400, 404, 400, 400, 400]
    refused = gateway.client.post(CHAT, json=BODY)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "budget")
    assert gateway.server.status.totals.refused == 6
    assert upstream.seen == []


def test_bodies_that_would_take_long_to_read_are_not_read(
    upstream: DirectedProvider, open_gateway: OpenGateway
) -> None:
    gateway = open_gateway()
    head = b'{"model": "small", "messages": ['
    for body in (b"[" * 2**22, head + b"[]," * 2**20 + b"0]}", head + b'{"a":1},' * 2**19 + b"0]}"):
        answer = gateway.client.post(CHAT, content=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")
    assert upstream.seen == []


@pytest.mark.parametrize("program", model_requests.honest_requests())
def test_what_agents_programs_send_reaches_the_provider(
    upstream: DirectedProvider, open_gateway: OpenGateway, program: str
) -> None:
    path, document = model_requests.honest_requests()[program]
    gateway = open_gateway(limits=GatewayLimits(max_tokens=200_000))
    assert gateway.client.post(path, json=document).status_code == 200
    assert model_requests.breaks(path, upstream.seen[0].body) == []
    assert model_requests.schema_error(path, upstream.seen[0].body) is None


def test_what_was_dropped_and_what_may_be_searched_is_in_the_record(
    upstream: DirectedProvider, open_gateway: OpenGateway
) -> None:
    body = {"model": "small", "input": "hello", "tools": [{"type": "web_search"}, {"type": "mcp"}], "background": True}
    closed, opened = open_gateway(), open_gateway(web_search=True)
    for gateway in (closed, opened):
        assert gateway.client.post(RESPONSES, json=body).status_code == 200
    (without,), (with_search,) = closed.recorded(), opened.recorded()
    assert (without.web_search, without.dropped) == (False, ("type=web_search", "type=mcp", "background"))
    assert (with_search.web_search, with_search.dropped) == (True, ("type=mcp", "background"))
    assert [b"web_search" in seen.body for seen in upstream.seen] == [False, True]


def test_a_budget_for_thinking_that_does_not_fit_is_refused(
    upstream: DirectedProvider, open_gateway: OpenGateway
) -> None:
    thinking = {"type": "enabled", "budget_tokens": 4000}
    body = {**BODY, "max_tokens": 5000, "thinking": thinking}
    assert open_gateway(limits=GatewayLimits(max_tokens=3000)).client.post(MESSAGES, json=body).status_code == 200
    sent = json.loads(upstream.seen[0].body)
    assert 1024 <= sent["thinking"]["budget_tokens"] < sent["max_tokens"] < 3000
    refused = open_gateway(limits=GatewayLimits(max_tokens=1000)).client.post(MESSAGES, json=body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "budget")


@pytest.mark.parametrize("status", [200, 400, 429, 500])
@pytest.mark.parametrize("kind", ["text/event-stream", "application/json"])
@pytest.mark.parametrize("path", [CHAT, model_requests.STREAM])
def test_the_key_comes_back_in_no_header_body_or_stream(
    upstream: DirectedProvider, open_gateway: OpenGateway, path: str, status: int, kind: str
) -> None:
    def write(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("content-type", f"{kind}; boundary={KEY}")
        handler.send_header("x-request-id", f"req-{KEY}")
        handler.send_header("retry-after", KEY)
        handler.end_headers()
        handler.wfile.write(b'data: {"error": "bad key ' + KEY[:9].encode())
        handler.wfile.flush()
        handler.wfile.write(KEY[9:].encode() + b'"}\n\n')

    upstream.answer = write
    body = BODY if path == CHAT else {"contents": []}
    answer = open_gateway().client.post(path, json={**body, "stream": True})
    assert answer.status_code == status
    assert KEY not in str(answer.headers.multi_items())
    assert answer.headers["x-request-id"] == "req-[redacted]"
    assert answer.text == 'data: {"error": "bad key [redacted]"}\n\n'
