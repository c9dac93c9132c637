"""Tokens counted as responses pass."""

import json

import pytest

from squire_pipelines.gateway.model import Tokens
from squire_pipelines.gateway.usage import EventCounter, read_answer

CHAT = {"usage": {"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 2}}}
RESPONSES = {
    "type": "response.completed",
    "response": {"usage": {"input_tokens": 7, "output_tokens": 3, "input_tokens_details": {"cached_tokens": 2}}},
}


@pytest.mark.parametrize("document", [CHAT, RESPONSES], ids=["chat", "responses"])
def test_both_interfaces_are_understood(document: object) -> None:
    assert read_answer(json.dumps(document).encode()).tokens == Tokens(7, 3, 2)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b'{"usage": null}',
        b'{"usage": []}',
        b'{"usage"',
        b'["usage"]',
        b'{"x": "\\"usage\\""}',
        b'{"usage":' + b"[" * 100_000,
    ],
)
def test_no_usage_is_none(text: bytes) -> None:
    assert read_answer(text).tokens is None


def test_counts_that_are_none_are_not_believed() -> None:
    usage = {
        "usage": {"prompt_tokens": "many", "completion_tokens": -1, "prompt_tokens_details": {"cached_tokens": True}}
    }
    assert read_answer(json.dumps(usage).encode(), 9).tokens == Tokens(9, 0, estimated=True)


@pytest.mark.parametrize("count", [None, True, -5, -5.5, 0, "", "five", "-5", "5_0", [5], 10**12, 10**400])
def test_a_request_that_an_answer_does_not_count_costs_its_estimate(count: object) -> None:
    answer = {"choices": [{"message": {"content": "hello"}}], "usage": {"prompt_tokens": count, "completion_tokens": 4}}
    text = json.dumps(answer).encode()
    assert read_answer(text, 300).tokens == Tokens(300, 4, estimated=True)
    counter = EventCounter(300)
    counter.feed(b"data: " + text + b"\n\n")
    assert counter.tokens.input == 300


def test_a_line_of_many_pieces_is_searched_once_each() -> None:
    # In the time of the suite's bound; when each piece had the whole line searched, this took hours.
    counter = EventCounter()
    for _ in range(60_000):
        counter.feed(b"x" * 64)
    assert counter.tokens.output == 0
    counter.close()
    assert counter.tokens.output == 960_000


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_a_stream_is_counted_however_it_is_cut(size: int) -> None:
    body = b": ping\r\n\r\n"
    body += b'data: {"choices": [{"delta": {"content": "usage"}}], "usage": null}\r\n\r\n'
    body += b"data: " + json.dumps(CHAT).encode() + b"\r\n\r\ndata: [DONE]\r\n\r\n"
    counter = EventCounter()
    for start in range(0, len(body), size):
        counter.feed(body[start : start + size])
    counter.close()
    assert counter.tokens == Tokens(7, 3, 2)


def test_a_last_line_without_an_end_counts() -> None:
    counter = EventCounter()
    counter.feed(b"data:" + json.dumps(CHAT).encode())
    counter.close()
    assert counter.tokens == Tokens(7, 3, 2)


def test_a_line_without_an_end_is_not_kept_and_counts() -> None:
    counter = EventCounter()
    for _ in range(10):
        counter.feed(b"x" * 2**20)
    assert len(counter._rest) <= 5 * 2**20
    assert (counter.tokens.output or 0) >= 5 * 2**20 // 4
    counter.feed(b"\ndata:" + json.dumps(CHAT).encode() + b"\n")
    counter.feed(b"y" * 5 * 2**20)
    counter.close()
    assert counter.tokens.input == 7
    assert (counter.tokens.output or 0) >= 15 * 2**20 // 4


EIGHTY_KB = "word " * 16_000
FIELDS: dict[str, object] = {
    "function_call": {"choices": [{"delta": {"function_call": {"arguments": EIGHTY_KB}}}]},
    "refusal": {"choices": [{"delta": {"refusal": EIGHTY_KB}}]},
    "audio": {"choices": [{"delta": {"audio": {"data": EIGHTY_KB}}}]},
    "text": {"choices": [{"text": EIGHTY_KB}]},
    "a custom tool": {"type": "response.custom_tool_call_input.delta", "delta": EIGHTY_KB},
    "an item that comes whole": {"type": "response.output_item.done", "item": {"arguments": EIGHTY_KB}},
    "an answer that comes at its end": {"type": "response.completed", "response": {"output": [{"text": EIGHTY_KB}]}},
    "Anthropic's sealed thoughts": {"type": "content_block_start", "content_block": {"data": EIGHTY_KB}},
    "a block that comes first": {"type": "message_start", "message": {"content": [{"text": EIGHTY_KB}]}},
    "under the name of an id": {"id": EIGHTY_KB},
    "a field of tomorrow's": {"x": [{"y": [EIGHTY_KB]}]},
    "no object": [EIGHTY_KB],
}
ZERO = {"choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0}}


def counted(body: str) -> Tokens:
    raw = body.encode()
    counter = EventCounter(input_estimate=9)
    for start in range(0, len(raw), 5000):
        counter.feed(raw[start : start + 5000])
    counter.close()
    return counter.tokens


@pytest.mark.parametrize("end", ["\n\n", "\r\r", "\r\n\r\n"])
@pytest.mark.parametrize("field", FIELDS)
def test_text_counts_in_whatever_field_and_between_whatever_ends(field: str, end: str) -> None:
    event = json.dumps(FIELDS[field])
    for before in ("", f"data: {json.dumps(ZERO)}{end}"):
        tokens = counted(f"{before}data: {event}{end}")
        assert (tokens.output or 0) >= len(EIGHTY_KB) // 4
        assert tokens.estimated
        assert tokens.input == 9, "no request has none"


@pytest.mark.parametrize(
    "body", [EIGHTY_KB, f"data: {EIGHTY_KB}", f"event: x\ndata: {{{EIGHTY_KB}", f"odd: {EIGHTY_KB}\n"]
)
def test_bytes_that_are_no_events_count(body: str) -> None:
    assert (counted(body).output or 0) >= len(EIGHTY_KB) // 4


def test_a_report_after_the_text_is_believed_unless_no_text_is_so_short() -> None:
    text = json.dumps(FIELDS["text"])
    believed = {"usage": {"prompt_tokens": 7, "completion_tokens": 9000}}
    assert counted(f"data: {text}\n\ndata: {json.dumps(believed)}\n\n") == Tokens(7, 9000)
    tokens = counted(f"data: {text}\n\ndata: {json.dumps(ZERO)}\n\n")
    assert (tokens.output, tokens.estimated) == (len(EIGHTY_KB) // 4, True)


def test_what_a_stream_repeats_counts_once() -> None:
    echo = {"instructions": EIGHTY_KB, "tools": [{"description": EIGHTY_KB}]}
    events: list[object] = [
        {"type": "response.created", "response": {**echo, "output": []}},
        *({"type": "response.output_text.delta", "delta": "wo "} for _ in range(8)),
        {"type": "response.output_text.done", "text": "wo " * 8},
        {"type": "response.output_item.done", "item": {"content": [{"text": "wo " * 8}]}},
    ]
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    assert counted(body) == Tokens(9, 8, estimated=True)
    usage = {"input_tokens": 7, "output_tokens": 8}
    last = {"type": "response.completed", "response": {**echo, "output": [{"text": "wo " * 8}], "usage": usage}}
    assert counted(body + f"data: {json.dumps(last)}\n\n") == Tokens(7, 8)


def test_it_is_known_when_a_count_is_the_providers_last_word() -> None:
    counter = EventCounter()
    assert not counter.is_final
    counter.feed(b"data: " + json.dumps(CHAT).encode() + b"\n\n")
    assert counter.is_final
    counter.feed(b'data: {"choices": [{"delta": {"content": "more"}}]}\n\n')
    assert not counter.is_final


def test_a_whole_answer_that_reports_less_than_it_can_be_is_not_believed() -> None:
    message = {"choices": [{"message": {"content": EIGHTY_KB}}]}
    assert read_answer(json.dumps({**ZERO, **message}).encode()).tokens is None
    assert read_answer(json.dumps({**message, "usage": {"completion_tokens": 20_000}}).encode(), 9).tokens == Tokens(
        9, 20_000, estimated=True
    )


def test_what_a_proxy_repeats_of_anthropics_cache_is_not_counted_twice() -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": 5, "cache_read_input_tokens": 900} | {
        "cache_creation_input_tokens": 60,
        "prompt_tokens_details": {"cached_tokens": 900},
    }
    answer = {"choices": [{"message": {"content": "hello"}, "finish_reason": "stop"}], "usage": usage}
    assert read_answer(json.dumps(answer).encode()).tokens == Tokens(1000, 5, 900, 60)
    own = {"input_tokens": 40, "output_tokens": 5, "cache_read_input_tokens": 900, "cache_creation_input_tokens": 60}
    text = json.dumps({"content": [{"type": "text", "text": "hello"}], "usage": own}).encode()
    assert read_answer(text).tokens == Tokens(1000, 5, 900, 60)
