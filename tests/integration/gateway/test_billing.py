"""What the gateway counts is what the provider bills: every protocol, whole and streamed, tried again and cut."""

import json
import random
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from tests.support.billing import PRICE, Bill, usage
from tests.support.model_requests import CHAT, GENERATE, MESSAGES, RESPONSES, STREAM
from tests.support.provider import DirectedProvider, OpenGateway

CALLS = 240
MESSAGE: dict[str, Any] = {"model": "small", "messages": [{"role": "user", "content": "hello"}]}
BODIES: dict[str, dict[str, Any]] = {
    CHAT: MESSAGE,
    RESPONSES: {"model": "small", "input": "hello"},
    MESSAGES: {**MESSAGE, "max_tokens": 50_000},
    GENERATE: {"contents": [{"parts": [{"text": "hello"}]}]},
    STREAM: {"contents": [{"parts": [{"text": "hello"}]}]},
}


def whole(path: str, bill: Bill) -> dict[str, Any]:
    """An answer in one document."""
    report = usage(path, bill)
    if path == CHAT:
        return {"choices": [{"message": {"role": "assistant", "content": "words"}}], "usage": report}
    if path == RESPONSES:
        return {"object": "response", "output": [{"content": [{"text": "words"}]}], "usage": report}
    if path == MESSAGES:
        return {"type": "message", "content": [{"type": "text", "text": "words"}], "usage": report}
    return {
        "candidates": [{"content": {"parts": [{"text": "words"}]}, "finishReason": "STOP"}],
        "usageMetadata": report,
    }


def events(path: str, bill: Bill) -> list[Any]:
    """An answer in events, the last of which is only the end: cut before it, all is reported."""
    report = usage(path, bill)
    text: dict[str, Any]
    if path == CHAT:
        text = {"choices": [{"delta": {"content": "wo"}}]}
        finish: dict[str, Any] = {"choices": [{"delta": {}, "finish_reason": "stop"}]}
        return [text, text, finish, {"choices": [], "usage": report}, "[DONE]"]
    if path == RESPONSES:
        text = {"type": "response.output_text.delta", "delta": "wo"}
        return [text, text, {"type": "response.completed", "response": {"output": [], "usage": report}}, "[DONE]"]
    if path == MESSAGES:
        start = {"type": "message_start", "message": {"content": [], "usage": {**report, "output_tokens": 1}}}
        text = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "wo"}}
        last: dict[str, Any] = {
            "delta": {"stop_reason": "end_turn"},
            "usage": {"output_tokens": report["output_tokens"]},
        }
        return [start, text, text, {"type": "message_delta", **last}, {"type": "message_stop"}]
    early = usage(path, Bill(bill.fresh, bill.cached, bill.written, 1, 0))
    text = {"candidates": [{"content": {"parts": [{"text": "wo"}]}}], "usageMetadata": early}
    return [text, whole(path, bill), "[DONE]"]


def answer(handler: BaseHTTPRequestHandler, path: str, bill: Bill, way: str) -> None:
    """Answer in one of the ways: whole, as a stream, or as one that is cut before its end."""
    is_whole = way == "whole" and path != STREAM
    handler.send_response(200)
    handler.send_header("content-type", "application/json" if is_whole else "text/event-stream")
    handler.end_headers()
    if is_whole:
        handler.wfile.write(json.dumps(whole(path, bill)).encode())
        return
    for event in events(path, bill)[: -1 if way == "cut" else None]:
        text = event if isinstance(event, str) else json.dumps(event)
        handler.wfile.write(f"data: {text}\n\n".encode())
        handler.wfile.flush()


@pytest.mark.slow
def test_no_token_and_no_cent_differs_over_hundreds_of_calls(
    upstream: DirectedProvider, open_gateway: OpenGateway
) -> None:
    generator = random.Random(20261128)  # noqa: S311 - not for secrets
    gateway = open_gateway(prices={"small": PRICE})
    bills: list[Bill] = []
    asked = 0
    for number in range(CALLS):
        path = (CHAT, RESPONSES, MESSAGES, GENERATE, STREAM)[number % 5]
        # Only Anthropic's interface bills what is written to the cache by itself, by how long it is kept.
        written, hourly = (generator.randrange(5000) if path == MESSAGES else 0 for _ in range(2))
        fresh, cached, words, thoughts = (generator.randrange(1, 20_000) for _ in range(4))
        bill = Bill(fresh, cached, written, words, thoughts, hourly)
        way = generator.choice(("whole", "stream", "cut"))
        is_failing = [number % 7 == 0]

        def write(
            handler: BaseHTTPRequestHandler,
            path: str = path,
            bill: Bill = bill,
            way: str = way,
            is_failing: list[bool] = is_failing,
        ) -> None:
            if is_failing.pop() if is_failing else False:
                handler.send_error(500)
            else:
                answer(handler, path, bill, way)

        upstream.answer = write
        for _ in range(2 if is_failing[0] else 1):  # a program tries again
            gateway.client.post(path, json={**BODIES[path], **({} if "contents" in BODIES[path] else {"stream": True})})
            asked += 1
        bills.append(bill)
    calls = gateway.recorded(asked)
    answers = [call for call in calls if call.status == 200]
    assert len(answers) == len(bills) == CALLS
    assert [(call.input_tokens, call.cached_tokens, call.output_tokens) for call in answers] == [
        (bill.asked, bill.cached, bill.output) for bill in bills
    ]
    assert [call.cost_usd for call in answers] == pytest.approx([bill.usd for bill in bills], rel=1e-12)
    assert not any(call.estimated for call in calls)
    assert {(call.total_tokens, call.cost_usd or 0.0) for call in calls if call.status == 500} == {(0, 0.0)}
    totals = gateway.server.status.totals
    assert totals.tokens == sum(bill.tokens for bill in bills)
    assert totals.usd == pytest.approx(sum(bill.usd for bill in bills), rel=1e-12)
