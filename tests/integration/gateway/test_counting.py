"""Tokens, costs and caps as answers pass, in each protocol."""

import json
import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx
import pytest

from squire_pipelines.gateway.call_log import CallLog, read_calls
from squire_pipelines.gateway.model import GatewayLimits, GatewayTotals, Protocol
from squire_pipelines.gateway.prices import Price
from squire_pipelines.gateway.server import socket_directory
from squire_pipelines.trusted_certificates import tls_context
from tests.support.provider import Answer, AnswerWith, DirectedProvider, OpenGateway, serve_upstream

CHAT, MESSAGES, COUNT = "/v1/chat/completions", "/v1/messages", "/v1/messages/count_tokens"
RESPONSES = "/v1/responses"
KEY = "sk-" + "k" * 20
BETA = "interleaved-thinking-2025-05-14"
BODY = {"model": "small", "messages": [{"role": "user", "content": "hello"}]}
RESERVED = 300
STREAM = {**BODY, "stream": True, "max_tokens": RESERVED}
PRICES = {"small": Price(input=1.0, output=10.0, cached=0.1)}


def stream(*events: object, release: threading.Event | None = None, hold_after: int = -1) -> Answer:
    """Server-sent events; after `hold_after` of them the provider waits for `release`."""

    def write(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("content-type", "text/event-stream")
        handler.end_headers()
        for number, event in enumerate(events):
            if number == hold_after and release is not None:
                release.wait(20)
            name = f"event: {event['type']}\n" if isinstance(event, dict) and "type" in event else ""
            handler.wfile.write(f"{name}data: {json.dumps(event)}\n\n".encode())
            handler.wfile.flush()

    return write


def words(count: int) -> list[dict[str, object]]:
    return [{"choices": [{"index": 0, "delta": {"content": "wo "}}]} for _ in range(count)]


GEMINI = "/v1beta/models/small:streamGenerateContent"
GEMINI_COUNT = "/v1beta/models/small:countTokens"
GEMINI_BODY: dict[str, object] = {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}
GEMINI_STREAM = {**GEMINI_BODY, "generationConfig": {"maxOutputTokens": RESERVED}}


def gemini_words(count: int, **more: object) -> list[object]:
    candidate = {"index": 0, "content": {"role": "model", "parts": [{"text": "wo "}]}, **more}
    return [{"candidates": [candidate]} for _ in range(count)]


GEMINI_END = {
    "candidates": [{"index": 0, "content": {"role": "model", "parts": [{"text": ""}]}, "finishReason": "STOP"}],
    "usageMetadata": {
        "promptTokenCount": 100,
        "cachedContentTokenCount": 90,
        "candidatesTokenCount": 12,
        "thoughtsTokenCount": 30,
        "totalTokenCount": 142,
    },
}
CLAUDE_START = {
    "type": "message_start",
    "message": {"usage": {"input_tokens": 10, "cache_read_input_tokens": 90, "output_tokens": 1}},
}
CLAUDE_TEXT = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "wo "}}
CLAUDE_END = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 42}}


def test_an_anthropic_call_gets_its_key_in_its_own_header(
    upstream: DirectedProvider, open_gateway: OpenGateway, answer_with: AnswerWith
) -> None:
    answer_with(200, {"usage": {"input_tokens": 7, "cache_creation_input_tokens": 3, "output_tokens": 5}})
    gateway = open_gateway(prices=PRICES)
    sent = {"x-api-key": "theirs", "authorization": "Bearer theirs", "anthropic-beta": BETA, "x-odd": "y"}
    assert gateway.client.post(MESSAGES, json=BODY, headers=sent).status_code == 200
    headers = upstream.seen[0].headers
    assert headers["x-api-key"] == KEY
    assert "authorization" not in headers
    assert "x-odd" not in headers
    assert headers["anthropic-beta"] == BETA
    assert headers["anthropic-version"] == "2023-06-01"
    (call,) = gateway.recorded()
    assert (call.input_tokens, call.output_tokens, call.estimated) == (10, 5, False)
    assert call.cost_usd == pytest.approx(60e-6)


def test_an_anthropic_stream_is_counted_from_its_events(upstream: DirectedProvider, open_gateway: OpenGateway) -> None:
    upstream.answer = stream(CLAUDE_START, *[CLAUDE_TEXT] * 3, CLAUDE_END, {"type": "message_stop"})
    gateway = open_gateway(prices=PRICES)
    answer = gateway.client.post(MESSAGES, json=STREAM)
    assert "event: message_stop" in answer.text
    (call,) = gateway.recorded()
    assert (call.input_tokens, call.cached_tokens, call.output_tokens, call.estimated) == (100, 90, 42, False)
    assert call.cost_usd == pytest.approx((10 + 9 + 420) * 1e-6)
    assert "stream_options" not in json.loads(upstream.seen[0].body)


def test_a_gemini_call_gets_its_key_in_its_own_header_and_is_counted(
    upstream: DirectedProvider, open_gateway: OpenGateway
) -> None:
    upstream.answer = stream(*gemini_words(3), GEMINI_END)
    gateway = open_gateway(prices=PRICES)
    sent = {"x-goog-api-key": "theirs", "authorization": "Bearer theirs", "x-goog-api-client": "y"}
    answer = gateway.client.post(f"{GEMINI}?alt=json&key=theirs", json=GEMINI_STREAM, headers=sent)
    assert '"STOP"' in answer.text
    (timed,) = gateway.recorded()
    assert 0 < (timed.first_piece_s or 0) <= timed.latency_s
    (seen,) = upstream.seen
    assert seen.path == "/v1/models/small:streamGenerateContent?alt=sse"
    assert seen.headers["x-goog-api-key"] == KEY
    assert not {"authorization", "x-goog-api-client"} & seen.headers.keys()
    assert json.loads(seen.body) == GEMINI_STREAM
    (call,) = gateway.recorded()
    assert (call.input_tokens, call.cached_tokens, call.output_tokens, call.estimated) == (100, 90, 42, False)
    assert call.model == "small"
    assert call.cost_usd == pytest.approx((10 + 9 + 420) * 1e-6)


def test_counting_geminis_tokens_is_free(open_gateway: OpenGateway, answer_with: AnswerWith) -> None:
    answer_with(200, {"totalTokens": 11})
    gateway = open_gateway(limits=GatewayLimits(max_tokens=1))
    assert gateway.client.post(GEMINI_COUNT, json=GEMINI_BODY).json() == {"totalTokens": 11}
    assert gateway.server.status.totals == GatewayTotals(0, 0.0, 1)


def test_a_provider_of_one_protocol_serves_its_paths_alone(
    upstream: DirectedProvider, open_gateway: OpenGateway
) -> None:
    gateway = open_gateway(protocol=Protocol.GEMINI)
    assert gateway.client.post(GEMINI, json=GEMINI_BODY).status_code == 200
    refused = gateway.client.post(MESSAGES, json=BODY)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "protocol")
    assert "name a provider of the agent's protocol" in refused.json()["error"]["message"]
    assert len(upstream.seen) == 1


def test_counting_tokens_is_free(open_gateway: OpenGateway, answer_with: AnswerWith) -> None:
    answer_with(200, {"input_tokens": 11})
    gateway = open_gateway(limits=GatewayLimits(max_tokens=1))
    assert gateway.client.post(COUNT, json=BODY).json() == {"input_tokens": 11}
    assert gateway.server.status.totals == GatewayTotals(0, 0.0, 1)


def test_an_alias_is_called_by_its_models_name(upstream: DirectedProvider, open_gateway: OpenGateway) -> None:
    gateway = open_gateway(aliases={"fast": "small", "other": "large"})
    assert gateway.client.post(CHAT, json={**BODY, "model": "fast"}).status_code == 200
    assert json.loads(upstream.seen[0].body)["model"] == "small"
    assert gateway.client.post(CHAT, json={**BODY, "model": "other"}).status_code == 400
    refused = gateway.client.post(MESSAGES, json={**BODY, "model": "other"}).json()
    assert (refused["type"], refused["error"]["type"]) == ("error", "invalid_request_error")


def test_a_model_without_a_price_costs_null_and_is_named(open_gateway: OpenGateway) -> None:
    gateway = open_gateway()
    gateway.client.post(CHAT, json=BODY)
    (call,) = gateway.recorded()
    assert call.cost_usd is None
    assert gateway.server.status.unpriced == ("small",)


def test_a_stream_that_the_agent_leaves_costs_its_reservation(
    upstream: DirectedProvider, open_gateway: OpenGateway
) -> None:
    release = threading.Event()
    upstream.answer = stream(*words(6), release=release, hold_after=5)
    gateway = open_gateway()
    with gateway.client.stream("POST", CHAT, json=STREAM) as answer:
        lines = answer.iter_lines()
        passed = sum("wo " in next(lines) for _ in range(10))
    (call,) = gateway.recorded()
    release.set()
    assert passed == 5
    assert (call.error, call.output_tokens, call.estimated) == ("client_gone", RESERVED, True)
    assert call.input_tokens is not None
    assert call.input_tokens > 0


def test_a_stream_that_the_agent_leaves_costs_what_the_provider_reports_at_once(
    upstream: DirectedProvider, open_gateway: OpenGateway
) -> None:
    left = threading.Event()
    usage = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 6}}
    upstream.answer = stream(*words(6), usage, release=left, hold_after=5)
    gateway = open_gateway()
    with gateway.client.stream("POST", CHAT, json=STREAM) as answer:
        assert "wo " in next(answer.iter_lines())
    left.set()
    (call,) = gateway.recorded()
    assert (call.error, call.input_tokens, call.output_tokens, call.estimated) == ("client_gone", 9, 6, False)


def test_a_stream_without_usage_is_estimated(upstream: DirectedProvider, open_gateway: OpenGateway) -> None:
    upstream.answer = stream(*words(8))
    gateway = open_gateway()
    gateway.client.post(CHAT, json=STREAM)
    (call,) = gateway.recorded()
    assert (call.error, call.output_tokens, call.estimated) == ("unfinished", 8, True)


def test_an_answer_without_usage_is_estimated_and_an_error_is_free(
    open_gateway: OpenGateway, answer_with: AnswerWith
) -> None:
    gateway = open_gateway()
    answer_with(200, {"text": "x" * 40})
    gateway.client.post(CHAT, json=BODY)
    answer_with(500, {"error": "x" * 40})
    gateway.client.post(CHAT, json=BODY)
    good, bad = sorted(gateway.recorded(2), key=lambda call: call.status)
    assert good.estimated
    assert (good.output_tokens or 0) >= 10
    assert (bad.input_tokens, bad.output_tokens) == (None, None)


@pytest.mark.parametrize(
    ("path", "events"),
    [
        (CHAT, words(40)),
        (MESSAGES, [CLAUDE_START, *[CLAUDE_TEXT] * 40]),
        (GEMINI, gemini_words(40)),
        (RESPONSES, [{"type": "response.output_text.delta", "delta": "wo "}] * 40),
    ],
)
def test_a_cap_cuts_a_stream_with_an_error_that_agents_understand(
    upstream: DirectedProvider, open_gateway: OpenGateway, path: str, events: list[dict[str, object]]
) -> None:
    upstream.answer = stream(*events)
    gateway = open_gateway(limits=GatewayLimits(max_tokens=120))
    text = "x" * (1 if path == MESSAGES else 300)
    body = {
        CHAT: {**STREAM, "messages": [{"role": "user", "content": text}]},
        MESSAGES: {**STREAM, "messages": [{"role": "user", "content": text}]},
        GEMINI: {**GEMINI_STREAM, "contents": [{"parts": [{"text": text}]}]},
        RESPONSES: {"model": "small", "input": text, "stream": True},
    }[path]
    answer = gateway.client.post(path, json=body)
    last = [line for line in answer.text.splitlines() if line.startswith("data:")][-1]
    error = json.loads(last[5:])["error"]
    if path == GEMINI:
        assert (error["status"], error["details"][0]["reason"]) == ("INVALID_ARGUMENT", "BUDGET")
    else:
        kind = "invalid_request_error" if path == MESSAGES else "squire_gateway"
        assert (error["type"], error["code"]) == (kind, "budget")
    assert ("event: error" in answer.text) is (path == MESSAGES)
    assert ("event: response.failed" in answer.text) is (path == RESPONSES)
    again = gateway.client.post(path, json=body)
    assert (again.status_code, again.headers["x-should-retry"]) == (400, "false")
    first, second = gateway.recorded(2)
    assert (first.error, second.error) == ("budget", "budget")
    assert first.total_tokens > 120
    assert gateway.server.status.exhausted == "120 tokens"
    assert len(upstream.seen) == 1


def test_what_earlier_gateways_of_the_attempt_used_counts(
    upstream: DirectedProvider, open_gateway: OpenGateway
) -> None:
    gateway = open_gateway(limits=GatewayLimits(max_tokens=120), before=GatewayTotals(119, 0.0, 3))
    assert gateway.client.post(CHAT, json=BODY).status_code == 400
    assert upstream.seen == []


def test_an_agent_that_has_used_most_of_its_cap_is_told_in_each_call(
    upstream: DirectedProvider, open_gateway: OpenGateway, answer_with: AnswerWith
) -> None:
    answer_with(200, {"usage": {"prompt_tokens": 700, "completion_tokens": 110}})
    gateway = open_gateway(limits=GatewayLimits(max_tokens=1000))
    for number in range(1, 4):
        gateway.client.post(CHAT, json=BODY)
        gateway.recorded(number)
        answer_with(200, {"usage": {"prompt_tokens": 20, "completion_tokens": 2}})
    first, *others = (json.loads(seen.body)["messages"][-1]["content"] for seen in upstream.seen)
    assert first == "hello"
    assert [content.startswith("hello\n\nNote from the system") for content in others] == [True, True]
    assert all(f" {percent} % of the budget" in content for percent, content in zip((81, 83), others, strict=True))
    assert [call.has_notice for call in gateway.recorded(3)] == [False, True, True]
    assert gateway.server.status.seen.notices == 2


def test_a_request_for_more_than_is_left_is_lowered(upstream: DirectedProvider, open_gateway: OpenGateway) -> None:
    open_gateway(limits=GatewayLimits(max_tokens=1000)).client.post(CHAT, json={**BODY, "max_tokens": 5000})
    sent = upstream.seen[0].body
    asked = json.loads(sent)["max_tokens"]
    assert 1000 - len(sent) // 4 <= asked < 1000, "what its own text is taken to have is not left for the answer"


def test_bodies_are_logged_only_when_debugging(
    tmp_path: Path, upstream: DirectedProvider, open_gateway: OpenGateway
) -> None:
    upstream.answer = stream(*words(2))
    for bodies in (False, True):
        log = CallLog(tmp_path / str(bodies), "a", bodies=bodies)
        gateway = open_gateway(log=log)
        gateway.client.post(CHAT, json=STREAM)
        gateway.recorded()
        kept = "".join(path.read_text() for path in (tmp_path / str(bodies)).iterdir())
        assert ("hello" in kept, "wo " in kept) == (bodies, bodies)
    (call,) = read_calls(tmp_path / "True")
    assert call.output_tokens == 2


GATEWAY = """
import sys, threading
from pathlib import Path
from squire_pipelines.gateway.call_log import CallLog
from squire_pipelines.gateway.server import Gateway
from squire_pipelines.gateway.upstream import Upstream
from squire_pipelines.gateway.wire import GatewayConfig
socket, url, folder = sys.argv[1:]
log = CallLog(Path(folder), "attempt")
with Gateway(Path(socket), GatewayConfig("attempt", (Upstream(url, models=("small",)),)), log=log):
    print("ready", flush=True)
    threading.Event().wait(60)
"""


@pytest.mark.parametrize("path", [CHAT, MESSAGES, GEMINI])
def test_no_token_that_passed_is_lost_when_the_gateway_is_killed(tmp_path: Path, path: str) -> None:
    release = threading.Event()
    start: list[object] = [CLAUDE_START] if path == MESSAGES else []
    streams: dict[str, list[object]] = {CHAT: [*words(50)], MESSAGES: [CLAUDE_TEXT] * 50, GEMINI: gemini_words(50)}
    texts = streams[path]
    with serve_upstream() as upstream, socket_directory() as socket:
        upstream.answer = stream(*start, *texts, release=release, hold_after=len(start) + 49)
        argv = [sys.executable, "-c", GATEWAY, str(socket), upstream.url, str(tmp_path)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert any(line == "ready\n" for line in process.stdout), "it did not start"
            received = _read_until_killed(socket, path, process.pid)
            process.wait(10)
        release.set()
        socket.unlink(missing_ok=True)
    (call,) = read_calls(tmp_path)
    assert received > 0
    assert (call.error, call.estimated) == ("interrupted", True)
    assert received <= (call.output_tokens or 0) == RESERVED, "nobody knows how many more the provider wrote"
    assert (call.input_tokens or 0) == (100 if path == MESSAGES else call.input_tokens)


def _read_until_killed(socket: Path, path: str, pid: int) -> int:
    """Read the stream; kill the gateway after a while; how many words arrived in all."""
    received = 0
    transport = httpx.HTTPTransport(verify=tls_context(), uds=str(socket))
    try:
        with (
            httpx.Client(transport=transport, base_url="http://g", timeout=20) as client,
            client.stream("POST", path, json=GEMINI_STREAM if path == GEMINI else STREAM) as answer,
        ):
            for line in answer.iter_lines():
                received += "wo " in line
                if received == 30:
                    os.kill(pid, signal.SIGKILL)
    except httpx.HTTPError:
        return received
    return received
