"""Bedrock's event stream as server-sent events, and errors in Anthropic's form."""

import json

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.provider_faults import error_code
from squire_pipelines.gateway.clouds.answers import BrokenStreamError, EventStreamReader, error_body
from squire_pipelines.gateway.usage import EventCounter
from tests.support.clouds import EVENTS, chunk, exception, frame, frame_of


def events_of(text: bytes) -> list[dict[str, object]]:
    made = []
    for block in text.decode().strip("\n").split("\n\n"):
        name, _, data = block.partition("\n")
        document = json.loads(data.removeprefix("data: "))
        assert name == f"event: {document['type']}"
        made.append(document)
    return made


@given(cuts=st.lists(st.integers(0, 2000), max_size=12))
def test_however_a_stream_is_cut_its_events_are_the_same(cuts: list[int]) -> None:
    raw = b"".join(map(chunk, EVENTS))
    reader, text, last = EventStreamReader(), b"", 0
    for cut in [*sorted(min(cut, len(raw)) for cut in cuts), len(raw)]:
        text += reader.feed(raw[last:cut])
        last = cut
    assert events_of(text) == list(EVENTS)


def test_what_a_stream_used_is_counted_as_from_anthropic() -> None:
    counter = EventCounter(1)
    counter.feed(EventStreamReader().feed(b"".join(map(chunk, EVENTS))))
    counter.close()
    assert (counter.tokens.input, counter.tokens.output, counter.tokens.estimated) == (20, 7, False)
    assert counter.failure is None


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("throttlingException", "rate_limit_error"),
        ("serviceUnavailableException", "overloaded_error"),
        ("modelStreamErrorException", "api_error"),
        ("validationException", "invalid_request_error"),
    ],
)
def test_an_exception_in_a_stream_is_an_error_event(kind: str, expected: str) -> None:
    text = EventStreamReader().feed(chunk(EVENTS[0]) + exception(kind, "too slow"))
    assert events_of(text)[1] == {"type": "error", "error": {"type": expected, "message": "too slow", "code": kind}}


def test_an_error_without_a_document_has_its_headers_words() -> None:
    headers = {":message-type": "error", ":error-code": "InternalError", ":error-message": "no"}
    (event,) = events_of(EventStreamReader().feed(frame(headers, b"")))
    assert event["error"] == {"type": "api_error", "message": "no", "code": "InternalError"}


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b'{"bytes":"?"}', b'{"bytes":"W10="}', b'{"bytes":"eyJ0eXBlIjoiYVxuYiJ9"}', b'{"bytes":7}']
)
def test_an_event_that_is_none_of_anthropics_is_left_out(payload: bytes) -> None:
    headers = {":event-type": "chunk", ":message-type": "event"}
    assert EventStreamReader().feed(frame(headers, payload) + chunk(EVENTS[5])).startswith(b"event: message_stop\n")


def test_bytes_that_are_no_event_stream_are_named() -> None:
    broken = bytearray(chunk(EVENTS[0]))
    broken[20] ^= 1
    reader = EventStreamReader()
    assert reader.feed(chunk(EVENTS[1]) + bytes(broken)).startswith(b"event: content_block_start\n")
    with pytest.raises(BrokenStreamError, match="ChecksumMismatch"):
        reader.close()
    with pytest.raises(BrokenStreamError, match="ChecksumMismatch"):
        EventStreamReader().feed(bytes(broken))
    with pytest.raises(BrokenStreamError):
        EventStreamReader().feed(b'{"message": "no stream at all"}')


@pytest.mark.parametrize("header", [b"\x01a\x63", b"\x05ab", b"\x01a\x07\x00\x02\xff\xfe"])
def test_a_header_that_cannot_be_read_breaks_the_stream(header: bytes) -> None:
    with pytest.raises(BrokenStreamError, match="no event stream"):
        EventStreamReader().feed(frame_of(header, b"{}"))


def test_an_event_without_an_end_has_a_bound() -> None:
    reader = EventStreamReader()
    endless = frame({":message-type": "event"}, b"x" * (5 * 2**20))
    assert reader.feed(endless[: 2**22]) == b""
    with pytest.raises(BrokenStreamError, match="more than 4194304 bytes"):
        reader.feed(endless[2**22 : 2**22 + 100])


@pytest.mark.parametrize(
    ("headers", "status", "body", "kind", "code"),
    [
        (
            {"x-amzn-errortype": "ValidationException:http://internal.amazon.com/coral/"},
            400,
            b'{"message":"bad"}',
            "invalid_request_error",
            "ValidationException",
        ),
        (
            {},
            403,
            b'{"__type":"com.amazon#AccessDeniedException","Message":"bad"}',
            "permission_error",
            "AccessDeniedException",
        ),
        (
            {"x-amzn-errortype": "ThrottlingException"},
            429,
            b'{"message":"bad"}',
            "rate_limit_error",
            "ThrottlingException",
        ),
        ({}, 404, b'{"error":{"code":404,"message":"bad","status":"NOT_FOUND"}}', "not_found_error", "NOT_FOUND"),
        (
            {},
            403,
            b'{"error":{"code":403,"message":"bad","status":"PERMISSION_DENIED","details":[{"reason":"SERVICE_DISABLED"}]}}',
            "permission_error",
            "SERVICE_DISABLED",
        ),
    ],
)
def test_an_error_has_anthropics_form_and_the_platforms_code(
    headers: dict[str, str], status: int, body: bytes, kind: str, code: str
) -> None:
    made = error_body(httpx.Headers(headers), status, body)
    assert json.loads(made) == {"type": "error", "error": {"type": kind, "message": "bad", "code": code}}
    assert error_code(made) == code


def test_an_error_that_is_anthropics_own_passes_and_one_without_a_document_is_named() -> None:
    own = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
    assert error_body(httpx.Headers(), 529, own) == own
    made = json.loads(error_body(httpx.Headers(), 503, b"<html>"))
    assert made["error"] == {"type": "overloaded_error", "message": "the platform answers 503"}


@pytest.mark.parametrize("details", [5, True, "text", {"reason": "x"}, [5, {"reason": None}]])
def test_an_error_with_odd_details_has_anthropics_form(details: object) -> None:
    body = json.dumps({"error": {"message": "no", "status": "UNAVAILABLE", "details": details}}).encode()
    made = json.loads(error_body(httpx.Headers(), 503, body))
    assert made["error"] == {"type": "overloaded_error", "message": "no", "code": "UNAVAILABLE"}
