"""A provider that refuses what the settings say, that answers nothing, or that is asked for what it has not."""

import io
import json
from http.server import BaseHTTPRequestHandler

import httpx
import pytest

from squire_pipelines.gateway.model import GatewayLimits
from tests.support.logs import lines
from tests.support.model_requests import CHAT, COUNT, GENERATE, MESSAGES, RESPONSES
from tests.support.provider import AnswerWith, DirectedProvider, OpenGateway, RunningGateway

MESSAGE: dict[str, object] = {"model": "small", "messages": [{"role": "user", "content": "hello"}]}
BODIES: dict[str, dict[str, object]] = {
    CHAT: MESSAGE,
    RESPONSES: {"model": "small", "input": "hello"},
    MESSAGES: {**MESSAGE, "max_tokens": 100},
    GENERATE: {"contents": [{"parts": [{"text": "hello"}]}]},
}
KEY = "sk-" + "k" * 20


def ask(gateway: RunningGateway, path: str, count: int) -> list[httpx.Response]:
    """Ask that often, each time when the call before is recorded."""
    answers = []
    for number in range(1, count + 1):
        answers.append(gateway.client.post(path, json=BODIES[path]))
        gateway.recorded(number)
    return answers


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("status", [401, 404])
def test_a_fault_of_the_users_is_told_once_and_nothing_more_is_passed_on(
    upstream: DirectedProvider, open_gateway: OpenGateway, answer_with: AnswerWith, path: str, status: int
) -> None:
    answer_with(status, {"error": {"message": f"Incorrect API key provided: {KEY}", "code": "no_access"}})
    gateway = open_gateway()
    answers = ask(gateway, path, 4)
    assert {(answer.status_code, answer.headers["x-should-retry"]) for answer in answers} == {(400, "false")}
    assert len({answer.text for answer in answers}) == 1
    assert "Stop working." in answers[0].json()["error"]["message"]
    assert KEY not in answers[0].text
    assert len(upstream.seen) == 1
    first, *_ = gateway.recorded(4)
    assert (first.status, first.error) == (400, "provider_refused")
    assert (first.upstream_status, first.upstream_code) == (status, "no_access")
    assert first.total_tokens == 0
    seen = gateway.server.status.seen
    assert (seen.calls, seen.answers, seen.failures, seen.final) == (4, 0, 1, "provider_refused")
    assert (seen.last_error, seen.last_status) == ("no_access", status)
    assert seen.user_fault is not None
    assert f"({status} no_access)" in seen.user_fault


def test_a_provider_that_counts_no_tokens_goes_on(
    upstream: DirectedProvider, open_gateway: OpenGateway, answer_with: AnswerWith
) -> None:
    gateway = open_gateway()
    answer_with(404, {"error": {"type": "not_found_error"}})
    assert gateway.client.post(COUNT, json=MESSAGE).status_code == 404
    answer_with(200, {"content": [{"type": "text", "text": "a"}], "usage": {"input_tokens": 1, "output_tokens": 1}})
    assert gateway.client.post(MESSAGES, json=BODIES[MESSAGES]).status_code == 200
    gateway.recorded(2)
    assert gateway.server.status.seen.answers == 1
    assert len(upstream.seen) == 2


def empty_stream(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("content-type", "text/event-stream")
    handler.end_headers()


@pytest.mark.parametrize("path", BODIES)
def test_an_empty_stream_is_the_providers_failure(
    upstream: DirectedProvider, open_gateway: OpenGateway, path: str
) -> None:
    upstream.answer = empty_stream
    gateway = open_gateway(limits=GatewayLimits(max_failures=3))
    statuses = [answer.status_code for answer in ask(gateway, path, 4)]
    assert statuses == [200, 200, 200, 400]
    codes = [call.error for call in gateway.recorded(4)]
    assert codes == [*["empty_answer"] * 3, "provider_down"]
    seen = gateway.server.status.seen
    assert (seen.calls, seen.answers, seen.empty_answers, seen.failing) == (4, 0, 3, 3)
    assert (seen.last_error, seen.final) == ("empty_answer", "provider_down")


def test_a_provider_that_is_down_is_final_and_the_agent_gets_none_of_its_words(
    upstream: DirectedProvider, open_gateway: OpenGateway, answer_with: AnswerWith
) -> None:
    answer_with(500, {"error": {"type": "server_error", "code": "overloaded"}})
    gateway = open_gateway(limits=GatewayLimits(max_failures=2))
    *failed, refused = ask(gateway, CHAT, 3)
    assert [answer.status_code for answer in (*failed, refused)] == [500, 500, 400]
    assert refused.headers["x-should-retry"] == "false"
    # A program that reads "overloaded" goes on, whatever the status is.
    assert "2 times in a row. Stop working." in refused.json()["error"]["message"]
    assert b"overloaded" not in refused.content
    assert gateway.server.status.seen.last_error == "overloaded"
    assert len(upstream.seen) == 2


def test_a_failure_of_the_connection_is_logged_once(open_gateway: OpenGateway, stream: io.StringIO) -> None:
    gateway = open_gateway(url="http://127.0.0.1:9/v1")
    assert {answer.status_code for answer in ask(gateway, CHAT, 4)} == {502}
    assert [line["event"] for line in lines(stream)].count("gateway.upstream_failed") == 1


def test_a_websocket_is_refused_by_the_status_that_makes_codex_use_http(
    upstream: DirectedProvider, open_gateway: OpenGateway
) -> None:
    gateway = open_gateway()
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "a", "Sec-WebSocket-Version": "13"}
    refused = gateway.client.get(RESPONSES, headers=headers)
    assert (refused.status_code, refused.json()["error"]["code"]) == (426, "upgrade")
    assert "over HTTP alone" in refused.json()["error"]["message"]
    assert gateway.client.get(RESPONSES).status_code == 405
    assert upstream.seen == []


def test_somebody_is_there(upstream: DirectedProvider, open_gateway: OpenGateway) -> None:
    gateway = open_gateway(limits=GatewayLimits(max_calls=2))
    answer = gateway.client.head("/")
    assert (answer.status_code, answer.content) == (200, b"")
    assert gateway.client.get("/").status_code == 404
    assert gateway.client.head("/").status_code == 400, "it is a call, of which there are so many"
    assert json.dumps([call.error for call in gateway.recorded(3)]) == '[null, "path", "budget"]'
    assert upstream.seen == []
