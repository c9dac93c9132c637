"""Several providers behind one gateway: the next one is asked when one does not begin to answer, and never later."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import httpx
import pytest

from squire_pipelines.domain.provider_faults import ProviderWords
from squire_pipelines.domain.provider_limits import ProviderLimits
from squire_pipelines.gateway.model import GatewayLimits
from squire_pipelines.gateway.prices import Price
from squire_pipelines.gateway.upstream import Upstream
from tests.support.provider import (
    DEFAULT_LIMITS,
    Answer,
    DirectedProvider,
    OpenGateway,
    RunningGateway,
    plain,
    serve_upstream,
)

CHAT = "/v1/chat/completions"
BODY = {"model": "small", "messages": [{"role": "user", "content": "hello"}]}
KEYS = {"first": "sk-" + "1" * 20, "second": "sk-" + "2" * 20}
ANSWER = {"choices": [{"message": {"content": "a"}}], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}
GOOD = plain(200, ANSWER)
NO_LIMITS = ProviderLimits()
SECOND = ProviderWords("second", "second-key")
DOWN = plain(503, {"error": {"code": "overloaded"}})
WRONG_KEY = plain(401, {"error": {"code": "invalid_api_key"}})


def cut_off(handler: BaseHTTPRequestHandler) -> None:
    """Close the connection without an answer."""
    handler.close_connection = True


def broken_stream(handler: BaseHTTPRequestHandler) -> None:
    """Begin a good answer, and break it off."""
    handler.send_response(200)
    handler.send_header("content-type", "text/event-stream")
    handler.send_header("content-length", "10000")
    handler.end_headers()
    chunk = {"choices": [{"delta": {"content": "a"}}]}
    handler.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")


def page(handler: BaseHTTPRequestHandler) -> None:
    """A page of a network that wants a login."""
    text = b"<html>Sign in</html>"
    handler.send_response(200)
    handler.send_header("content-type", "text/html")
    handler.send_header("content-length", str(len(text)))
    handler.end_headers()
    handler.wfile.write(text)


@pytest.fixture
def second() -> Iterator[DirectedProvider]:
    with serve_upstream() as made:
        made.answer = GOOD
        yield made


@pytest.fixture
def gateway(second: DirectedProvider, open_gateway: OpenGateway) -> RunningGateway:
    return open_both(open_gateway, second)


def open_both(
    open_gateway: OpenGateway,
    second: DirectedProvider,
    *,
    url: str | None = None,
    limits: GatewayLimits = DEFAULT_LIMITS,
    first_limits: ProviderLimits = NO_LIMITS,
) -> RunningGateway:
    other = Upstream(
        second.url,
        KEYS["second"],
        ("little",),
        {"small": "little"},
        {"little": Price(10.0, 10.0)},
        words=SECOND,
    )
    prices = {"small": Price(1.0, 1.0)}
    return open_gateway(
        key=KEYS["first"],
        url=url,
        limits=limits,
        name="first",
        prices=prices,
        others=(other,),
        upstream_limits=first_limits,
    )


def ask(gateway: RunningGateway, records: int) -> httpx.Response:
    """Ask once, and wait until that many calls have been recorded."""
    answer = gateway.client.post(CHAT, json=BODY)
    gateway.recorded(records)
    return answer


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (plain(429, {"error": {"code": "rate_limited"}}), (429, "upstream_status")),
        (plain(429, {"error": {"code": "insufficient_quota"}}), (429, "provider_refused")),
        (DOWN, (503, "upstream_status")),
        (WRONG_KEY, (401, "provider_refused")),
        (plain(402, {"error": {"message": "pay"}}), (402, "provider_refused")),
        (plain(404, {"error": {"code": "model_not_found"}}), (404, "provider_refused")),
        (plain(302, {}), (302, "provider_refused")),
        (plain(200, {"error": {"code": 502, "message": "none of our hosts answers"}}), (200, "error_in_answer")),
        (plain(200, {"error": {"code": "insufficient_quota"}}), (200, "provider_refused")),
        (page, (None, "not_the_protocol")),
        (cut_off, (None, "upstream_unreachable")),
    ],
)
def test_the_next_provider_answers_when_the_first_does_not_begin_to(
    upstream: DirectedProvider,
    second: DirectedProvider,
    gateway: RunningGateway,
    failure: Answer,
    expected: tuple[int | None, str],
) -> None:
    upstream.answer = failure
    status, error = expected
    answer = ask(gateway, 2)
    assert (answer.status_code, answer.json()) == (200, ANSWER)
    assert json.loads(upstream.seen[0].body)["model"] == "small"
    assert json.loads(second.seen[0].body)["model"] == "little", "each provider has its own names of models"
    assert second.seen[0].headers["authorization"] == f"Bearer {KEYS['second']}"
    left, answered = gateway.calls
    assert (left.provider, left.status, left.error, left.upstream_status) == ("first", 0, error, status)
    assert (left.forwarded, left.model, left.call_id == answered.call_id) == (True, "small", False)
    assert (left.is_left, answered.is_left) == (True, False)
    assert (answered.provider, answered.status, answered.error, answered.model) == ("second", 200, None, "little")
    assert answered.cost_usd == pytest.approx(70e-6)
    seen = gateway.server.status.seen
    assert (seen.calls, seen.answers, seen.failures, seen.failing, seen.final) == (1, 1, 0, 0, None)
    assert seen.user_fault is None, "the agent's work goes on"
    uses = gateway.server.status.upstreams
    assert [(use.calls, use.answers, use.failures) for use in uses.values()] == [(1, 0, 1), (1, 1, 0)]
    assert (uses["first"].left is not None) is (error == "provider_refused")


def test_a_connection_that_cannot_be_made_costs_nothing(second: DirectedProvider, open_gateway: OpenGateway) -> None:
    gateway = open_both(open_gateway, second, url="http://127.0.0.1:9/v1")
    assert ask(gateway, 2).status_code == 200
    left, answered = gateway.calls
    assert (left.error, left.total_tokens, answered.total_tokens) == ("upstream_unreachable", 0, 7)
    assert gateway.server.status.totals.tokens == 7
    assert gateway.server.status.totals.requests == 2


@pytest.mark.parametrize("begun", [broken_stream, plain(200, {"choices": []}), plain(400, {"error": {"code": "bad"}})])
def test_what_has_begun_or_is_about_the_request_goes_to_no_other(
    upstream: DirectedProvider, second: DirectedProvider, gateway: RunningGateway, begun: Answer
) -> None:
    upstream.answer = begun
    try:
        ask(gateway, 1)
    except httpx.HTTPError:
        gateway.recorded(1)
    assert second.seen == []
    assert [call.provider for call in gateway.calls] == ["first"]


def test_a_provider_whose_key_is_refused_is_asked_once(
    upstream: DirectedProvider, second: DirectedProvider, gateway: RunningGateway
) -> None:
    upstream.answer = WRONG_KEY
    assert [ask(gateway, number).status_code for number in (2, 3, 4)] == [200] * 3
    assert (len(upstream.seen), len(second.seen)) == (1, 3)
    left = gateway.server.status.upstreams["first"].left or ""
    assert "(401 invalid_api_key)" in left


def test_a_provider_that_is_down_is_left_after_its_failures_and_one_that_recovers_is_not(
    upstream: DirectedProvider, second: DirectedProvider, open_gateway: OpenGateway
) -> None:
    gateway = open_both(open_gateway, second, limits=GatewayLimits(max_failures=2))
    upstream.answer = DOWN
    ask(gateway, 2)
    upstream.answer = GOOD
    ask(gateway, 3)
    upstream.answer = DOWN
    for records in (5, 7, 8, 9):
        assert ask(gateway, records).status_code == 200
    assert len(upstream.seen) == 4
    assert gateway.server.status.upstreams["first"].left == "It failed 2 times in a row."


def test_the_end_is_told_when_none_is_left_and_names_what_each_needs(
    upstream: DirectedProvider, second: DirectedProvider, gateway: RunningGateway
) -> None:
    upstream.answer = second.answer = WRONG_KEY
    answers = [ask(gateway, records) for records in (2, 3)]
    assert {(answer.status_code, answer.headers["x-should-retry"]) for answer in answers} == {(400, "false")}
    assert (len(upstream.seen), len(second.seen)) == (1, 1)
    seen = gateway.server.status.seen
    assert seen.final == "provider_refused"
    assert "the provider first refuses" in (seen.user_fault or "").casefold()
    assert "the provider second refuses" in (seen.user_fault or "").casefold()


def test_a_refused_key_is_no_end_while_another_provider_may_recover(
    upstream: DirectedProvider, second: DirectedProvider, open_gateway: OpenGateway
) -> None:
    gateway = open_both(open_gateway, second, limits=GatewayLimits(max_failures=3))
    upstream.answer, second.answer = DOWN, WRONG_KEY
    answer = ask(gateway, 2)
    assert (answer.status_code, answer.headers.get("x-should-retry")) == (502, None)
    assert gateway.server.status.seen.final is None
    assert [ask(gateway, records).status_code for records in (3, 4, 5)] == [503, 503, 400]
    seen = gateway.server.status.seen
    assert (seen.final, seen.user_fault) == ("provider_down", None), "it may go on later without a change"
    assert (len(upstream.seen), len(second.seen)) == (3, 1)


def test_a_model_that_the_first_does_not_have_is_asked_of_the_second(
    upstream: DirectedProvider, second: DirectedProvider, open_gateway: OpenGateway
) -> None:
    gateway = open_both(open_gateway, second)
    answer = gateway.client.post(CHAT, json={**BODY, "model": "little"})
    gateway.recorded(1)
    assert (answer.status_code, len(upstream.seen), len(second.seen)) == (200, 0, 1)
    assert [call.provider for call in gateway.calls] == ["second"]
    assert gateway.client.post(CHAT, json={**BODY, "model": "other"}).status_code == 400
    assert gateway.server.status.totals.refused == 1


def test_no_provider_without_a_price_is_asked_under_a_cap_in_dollars(
    upstream: DirectedProvider, second: DirectedProvider, open_gateway: OpenGateway
) -> None:
    other = Upstream(second.url, KEYS["second"], ("small",), words=SECOND)
    gateway = open_gateway(
        name="first", prices={"small": Price(1.0, 1.0)}, others=(other,), limits=GatewayLimits(max_usd=1.0)
    )
    upstream.answer = DOWN
    assert ask(gateway, 2).status_code == 502
    assert second.seen == []
    assert gateway.server.status.exhausted is None


def test_a_last_provider_without_a_price_ends_the_work_when_no_other_may_recover(
    upstream: DirectedProvider, second: DirectedProvider, open_gateway: OpenGateway
) -> None:
    other = Upstream(second.url, KEYS["second"], ("small",), words=SECOND)
    gateway = open_gateway(
        name="first", prices={"small": Price(1.0, 1.0)}, others=(other,), limits=GatewayLimits(max_usd=1.0)
    )
    upstream.answer = WRONG_KEY
    answer = ask(gateway, 2)
    assert (answer.status_code, answer.headers["x-should-retry"]) == (400, "false")
    assert answer.json()["error"]["code"] == "price_unknown"
    assert (len(upstream.seen), second.seen) == (1, [])
    assert "the price of small is not known" in (gateway.server.status.exhausted or "")


def test_a_model_that_the_last_does_not_have_ends_the_work_when_no_other_may_recover(
    upstream: DirectedProvider, second: DirectedProvider, open_gateway: OpenGateway
) -> None:
    other = Upstream(second.url, KEYS["second"], ("little",), words=SECOND)
    gateway = open_gateway(key=KEYS["first"], name="first", others=(other,))
    upstream.answer = DOWN
    assert ask(gateway, 2).status_code == 502, "the first may have recovered when it is asked again"
    upstream.answer = WRONG_KEY
    answer = ask(gateway, 4)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "model")
    assert second.seen == []


def test_neither_providers_key_reaches_the_agent(
    upstream: DirectedProvider, second: DirectedProvider, gateway: RunningGateway
) -> None:
    upstream.answer = DOWN
    second.answer = plain(200, {**ANSWER, "echo": f"Bearer {KEYS['second']}"})
    answer = ask(gateway, 2)
    assert answer.json()["echo"] == "Bearer [redacted]"
    assert KEYS["second"] not in str(upstream.seen)
    assert KEYS["first"] not in str(second.seen)


def test_a_provider_at_its_limit_is_passed_over_and_nothing_is_asked_there(
    upstream: DirectedProvider, second: DirectedProvider, open_gateway: OpenGateway
) -> None:
    upstream.answer = GOOD
    gateway = open_both(open_gateway, second, first_limits=ProviderLimits(max_calls_per_minute=1))
    assert [ask(gateway, number).status_code for number in (1, 2, 3)] == [200] * 3
    assert (len(upstream.seen), len(second.seen)) == (1, 2)
    assert [call.provider for call in gateway.calls] == ["first", "second", "second"]


@pytest.mark.parametrize(("asked", "named"), [({}, 2048), ({"max_tokens": 9000}, 2048), ({"max_tokens": 50}, 50)])
def test_a_request_names_no_more_output_than_its_provider_may_give(
    upstream: DirectedProvider, open_gateway: OpenGateway, asked: dict[str, int], named: int
) -> None:
    upstream.answer = GOOD
    gateway = open_gateway(upstream_limits=ProviderLimits(max_output=2048))
    assert gateway.client.post(CHAT, json={**BODY, **asked}).status_code == 200
    assert json.loads(upstream.seen[0].body)["max_tokens"] == named
