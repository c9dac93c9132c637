"""A provider that speaks half a protocol: what the agent gets, and what is recorded of it."""

import errno
import gzip
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from squire_pipelines.gateway.call_log import CallLog
from squire_pipelines.gateway.model import GatewayCall, GatewayLimits, RunningCall
from tests.integration.gateway.test_billing import BODIES, events, whole
from tests.support.billing import Bill
from tests.support.model_requests import CHAT, GENERATE, MESSAGES, RESPONSES, STREAM
from tests.support.provider import Answer, DirectedProvider, OpenGateway, RunningGateway, plain

BILL = Bill(50, 0, 0, 7, 0)
PAGE = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>Welcome to the guest network</body></html>"
STREAMS = (CHAT, RESPONSES, MESSAGES, STREAM)


def answer_raw(raw: bytes, kind: str) -> Answer:
    """An answer of 200 with these bytes."""

    def write(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("content-type", kind)
        handler.send_header("content-length", str(len(raw)))
        handler.end_headers()
        handler.wfile.write(raw)

    return write


def event_lines(parts: Iterator[Any] | list[Any]) -> bytes:
    return b"".join(f"data: {part if isinstance(part, str) else json.dumps(part)}\n\n".encode() for part in parts)


def ask(gateway: RunningGateway, path: str, *, stream: bool = True) -> GatewayCall:
    """Ask once; return the record."""
    is_marked = path in {CHAT, RESPONSES, MESSAGES}
    before = len(gateway.calls)
    gateway.client.post(path, json={**BODIES[path], **({"stream": stream} if is_marked else {})})
    return gateway.recorded(before + 1)[-1]


@pytest.mark.parametrize("path", [*STREAMS, GENERATE])
@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/json", "text/event-stream"])
def test_a_page_of_html_is_no_answer(
    upstream: DirectedProvider, open_gateway: OpenGateway, path: str, kind: str
) -> None:
    upstream.answer = answer_raw(PAGE, kind)
    gateway = open_gateway()
    call = ask(gateway, path, stream=path != GENERATE)
    assert (call.status, call.error) == (200, "not_the_protocol")
    seen = gateway.server.status.seen
    assert (seen.answers, seen.failures, seen.last_error) == (0, 1, "not_the_protocol")


@pytest.mark.parametrize("path", STREAMS)
def test_one_document_where_a_stream_was_asked_for_is_named_and_counted(
    upstream: DirectedProvider, open_gateway: OpenGateway, path: str
) -> None:
    upstream.answer = answer_raw(json.dumps(whole(path, BILL)).encode(), "application/json")
    call = ask(open_gateway(), path)
    assert (call.status, call.error) == (200, "no_stream")
    assert (call.input_tokens, call.output_tokens, call.estimated) == (50, 7, False)


@pytest.mark.parametrize("path", STREAMS)
@pytest.mark.parametrize("kind", ["application/json", "text/plain"])
def test_a_stream_under_another_content_type_is_named(
    upstream: DirectedProvider, open_gateway: OpenGateway, path: str, kind: str
) -> None:
    upstream.answer = answer_raw(event_lines(events(path, BILL)), kind)
    call = ask(open_gateway(), path)
    assert (call.status, call.error) == (200, "not_the_protocol")
    assert call.estimated
    assert (call.output_tokens or 0) >= 7


@pytest.mark.parametrize("path", STREAMS)
def test_a_stream_that_never_ends_its_message_is_unfinished(
    upstream: DirectedProvider, open_gateway: OpenGateway, path: str
) -> None:
    upstream.answer = answer_raw(event_lines(events(path, BILL)[:1]), "text/event-stream")
    assert ask(open_gateway(), path).error == "unfinished"


def test_a_stream_that_stays_open_without_a_word_ends_by_its_bound(
    upstream: DirectedProvider, open_gateway: OpenGateway
) -> None:
    def hang(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("content-type", "text/event-stream")
        handler.end_headers()
        handler.wfile.write(event_lines(events(MESSAGES, BILL)[:2]))
        handler.wfile.flush()
        handler.rfile.read(1)  # until the gateway gives up

    upstream.answer = hang
    gateway = open_gateway(limits=GatewayLimits(idle_s=0.2))
    with pytest.raises(Exception, match="incomplete"):
        ask(gateway, MESSAGES)
    (call,) = gateway.recorded()
    assert call.error == "timeout"
    assert call.input_tokens == 50


@pytest.mark.parametrize("path", [*STREAMS, GENERATE])
def test_without_usage_the_text_is_counted_and_the_call_says_so(
    upstream: DirectedProvider, open_gateway: OpenGateway, path: str
) -> None:
    def bare(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: bare(inner) for key, inner in value.items() if key not in {"usage", "usageMetadata"}}
        return [bare(inner) for inner in value] if isinstance(value, list) else value

    is_stream = path != GENERATE
    document = event_lines(bare(events(path, BILL))) if is_stream else json.dumps(bare(whole(path, BILL))).encode()
    upstream.answer = answer_raw(document, "text/event-stream" if is_stream else "application/json")
    call = ask(open_gateway(), path, stream=is_stream)
    assert (call.error, call.estimated) == (None, True)
    assert (call.input_tokens or 0) > 0
    assert (call.output_tokens or 0) > 0


def test_a_status_that_http_does_not_have_is_a_bad_gateway(
    upstream: DirectedProvider, open_gateway: OpenGateway
) -> None:
    upstream.answer = plain(999, {"error": {"message": "odd"}})
    gateway = open_gateway()
    assert gateway.client.post(CHAT, json=BODIES[CHAT]).status_code == 502
    assert [(call.status, call.upstream_status) for call in gateway.recorded()] == [(502, 999)]


def test_an_event_of_an_odd_type_is_passed_and_counted(upstream: DirectedProvider, open_gateway: OpenGateway) -> None:
    odd = [{"type": ["a"], "choices": [{"delta": {"content": "hello"}}]}, *events(CHAT, BILL)]
    upstream.answer = answer_raw(event_lines(odd), "text/event-stream")
    call = ask(open_gateway(), CHAT)
    assert (call.error, call.input_tokens, call.output_tokens) == (None, 50, 7)


def test_a_body_that_is_compressed_twice_is_not_unpacked(upstream: DirectedProvider, open_gateway: OpenGateway) -> None:
    bomb = gzip.compress(gzip.compress(b"\0" * 2**20))

    def write(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-encoding", "gzip, gzip")
        handler.send_header("content-length", str(len(bomb)))
        handler.end_headers()
        handler.wfile.write(bomb)

    upstream.answer = write
    call = ask(open_gateway(), GENERATE)
    assert (call.status, call.error) == (502, "upstream_unreachable")


def test_a_whole_answer_that_breaks_off_costs_its_reservation(
    upstream: DirectedProvider, open_gateway: OpenGateway
) -> None:
    def write(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", "100000")
        handler.end_headers()
        handler.wfile.write(b'{"choices": [{"message": {"content": "' + b"x" * 50_000)

    upstream.answer = write
    call = ask(open_gateway(limits=GatewayLimits(max_tokens=100_000, max_output_tokens=20_000)), CHAT, stream=False)
    assert (call.error, call.output_tokens, call.estimated) == ("upstream_unreachable", 20_000, True)


class FullDisk(CallLog):
    """A call log whose disk is full once a call is passed on."""

    def begin(self, call: RunningCall) -> None:
        raise OSError(errno.ENOSPC, f"no space left on the device for {call.call_id}")


def test_what_nobody_foresaw_is_a_failure_and_no_answer(
    upstream: DirectedProvider, open_gateway: OpenGateway, tmp_path: Path
) -> None:
    limits = GatewayLimits(max_failures=2, max_tokens=100_000, max_output_tokens=1000)
    gateway = open_gateway(log=FullDisk(tmp_path / "log", "test-1"), limits=limits)
    answers = [gateway.client.post(CHAT, json=BODIES[CHAT]) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [502, 502, 400]
    assert answers[0].json()["error"]["code"] == "gateway_failed"
    first = gateway.recorded(3)[0]
    assert (first.error, first.output_tokens) == ("gateway_failed", 1000)
    seen = gateway.server.status.seen
    assert (seen.answers, seen.failures, seen.final) == (0, 2, "provider_down")
    assert upstream.seen == []
