"""Streams that report their use at the end, at both ends, with each piece so far, of each piece, or not at all."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.gateway.model import Tokens
from squire_pipelines.gateway.usage import EventCounter
from squire_pipelines.gateway.usage_report import OutputReports

FINISH: dict[str, Any] = {"choices": [{"delta": {}, "finish_reason": "stop"}]}


def piece(text: str, usage: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"choices": [{"delta": {"content": text}}], "usage": usage}


def usage(output: Any, asked: Any = 50, **more: Any) -> dict[str, Any]:
    return {"prompt_tokens": asked, "completion_tokens": output, **more}


def counted(*events: dict[str, Any], done: bool = True, estimate: int = 9) -> EventCounter:
    counter = EventCounter(estimate)
    for event in events:
        counter.feed(b"data: " + json.dumps(event).encode() + b"\n\n")
    if done:
        counter.feed(b"data: [DONE]\n\n")
        counter.close()
    return counter


def test_a_report_in_the_last_piece_alone_is_the_streams() -> None:
    last = {"choices": [], "usage": usage(2, total_tokens=52, cost=0.01)}
    assert counted(piece("Hello"), piece(" you"), FINISH, last).tokens == Tokens(50, 2, stated_usd=0.01)


def test_a_report_so_far_in_each_piece_is_no_sum_and_is_estimated_until_the_end() -> None:
    events = [piece(f"word{number} ", usage(2 * number, cost=0.001 * number)) for number in range(1, 6)]
    whole = counted(*events, {**FINISH, "usage": usage(10, cost=0.005)})
    assert whole.tokens == Tokens(50, 10, stated_usd=0.005)
    cut = counted(*events, done=False)
    assert cut.tokens == Tokens(50, 10, estimated=True), "and costs what was reserved, since it may have gone on"
    assert not cut.is_final


@pytest.mark.parametrize("numbers", [[1, 1, 1, 1, 1], [3, 2, 5, 1, 4], [2, 2, 2, 0, 2]])
def test_numbers_of_each_piece_are_added_up(numbers: list[int]) -> None:
    events = [piece(f"word{place} ", usage(number)) for place, number in enumerate(numbers)]
    assert counted(*events, FINISH).tokens == Tokens(50, sum(numbers))


def test_a_number_that_stands_twice_because_a_word_was_cut_in_two_makes_no_sum() -> None:
    events = [piece("word ", usage(number)) for number in (10, 20, 20, 30, 40, 40)]
    assert counted(*events, FINISH).tokens == Tokens(50, 40)


def test_zeros_and_nulls_before_the_last_report_say_nothing() -> None:
    empty = [piece("Hello", usage(0, 0)), piece(" you", usage(None, None)), FINISH]
    assert counted(*empty, {"choices": [], "usage": usage(7)}).tokens == Tokens(50, 7)
    assert (
        counted(piece("Hello"), FINISH, {"choices": [], "usage": usage(7)}, {"usage": usage(0, 0)}).tokens.input == 50
    )
    alone = counted(piece("Hello"), piece(" you"), FINISH, {"choices": [], "usage": usage(0, 0)}).tokens
    assert (alone.input, alone.output, alone.estimated) == (9, 3, True)


def test_a_stream_without_a_report_is_estimated_and_says_so() -> None:
    tokens = counted(piece("Hello"), piece(" you"), FINISH).tokens
    assert tokens == Tokens(9, 3, estimated=True)


@pytest.mark.parametrize("end", [{}, {"input_tokens": 0, "cache_read_input_tokens": 0}, {"input_tokens": 4}])
def test_the_request_that_anthropics_first_event_counts_is_kept(end: dict[str, int]) -> None:
    first = {"input_tokens": 4, "cache_read_input_tokens": 900, "cache_creation_input_tokens": 96, "output_tokens": 1}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {"content": [], "usage": first}},
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hello"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {**end, "output_tokens": 12}},
        {"type": "message_stop"},
    ]
    assert counted(*events).tokens == Tokens(1000, 12, 900, 96)
    cut = counted(*events[:2], done=False)
    assert (cut.tokens.input, cut.tokens.cached, cut.tokens.estimated, cut.is_final) == (1000, 900, True, False)


def test_a_request_that_only_the_last_event_counts_is_counted() -> None:
    last = {"input_tokens": 4, "cache_read_input_tokens": 900, "output_tokens": 12}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {"content": [], "usage": {"input_tokens": 0, "output_tokens": 0}}},
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hello"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": last},
    ]
    assert counted(*events).tokens == Tokens(904, 12, 900)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=40))
def test_numbers_so_far_come_to_the_last_one(steps: list[int]) -> None:
    reports = OutputReports()
    so_far = 0
    for step in steps:
        so_far += step
        reports.add(so_far, has_text=True)
        reports.add(so_far, has_text=False)  # some repeat it in a piece without text
    assert reports.output == so_far


@given(st.lists(st.integers(1, 3), min_size=9, max_size=60))
def test_small_numbers_of_each_piece_come_to_their_sum(numbers: list[int]) -> None:
    reports = OutputReports()
    for number in numbers:
        reports.add(number, has_text=True)
    assert reports.output == sum(numbers)
