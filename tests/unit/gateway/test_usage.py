"""Tokens counted as responses pass."""

import json

import pytest

from squire_pipelines.gateway.model import Tokens
from squire_pipelines.gateway.usage import EventCounter, tokens_of

CHAT = {"usage": {"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 2}}}
RESPONSES = {
    "type": "response.completed",
    "response": {"usage": {"input_tokens": 7, "output_tokens": 3, "input_tokens_details": {"cached_tokens": 2}}},
}


@pytest.mark.parametrize("document", [CHAT, RESPONSES], ids=["chat", "responses"])
def test_both_interfaces_are_understood(document: object) -> None:
    assert tokens_of(json.dumps(document).encode()) == Tokens(7, 3, 2)


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
    assert tokens_of(text) is None


def test_counts_that_are_none_are_not_believed() -> None:
    usage = {
        "usage": {"prompt_tokens": "many", "completion_tokens": -1, "prompt_tokens_details": {"cached_tokens": True}}
    }
    assert tokens_of(json.dumps(usage).encode()) == Tokens()


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


def test_a_line_without_an_end_is_not_kept() -> None:
    counter = EventCounter()
    for _ in range(10):
        counter.feed(b"x" * 2**20)
    assert len(counter._rest) <= 5 * 2**20
    counter.feed(b"\ndata:" + json.dumps(CHAT).encode() + b"\n")
    counter.close()
    assert counter.tokens == Tokens(7, 3, 2)
    counter.feed(b"y" * 5 * 2**20)
    counter.close()
    assert counter.tokens == Tokens(7, 3, 2)
