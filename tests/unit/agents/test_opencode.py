"""OpenCode's events summed up; the lines are shaped as 1.18 prints them."""

import json

import pytest

from squire_pipelines.agents.opencode import summarize


def event(kind: str, **more: object) -> str:
    return json.dumps({"type": kind, "timestamp": 1, "sessionID": "ses_1", **more})


STEP = {
    "type": "step-finish",
    "reason": "stop",
    "cost": 0.25,
    "tokens": {"input": 100, "output": 10, "reasoning": 5, "cache": {"read": 50, "write": 0}},
}
FAILED = {"name": "APIError", "data": {"message": "Service unavailable", "statusCode": 503}}


def test_steps_tools_tokens_and_cost_are_added_up() -> None:
    lines = [
        "squire: agent started",
        event("step_start", part={"type": "step-start"}),
        event("tool_use", part={"type": "tool", "tool": "bash"}),
        event("step_finish", part=STEP),
        event("text", part={"type": "text", "text": "done"}),
        event("step_finish", part=STEP),
    ]
    summary = summarize(lines)
    assert summary.session_id == "ses_1"
    assert (summary.steps, summary.tool_calls, summary.events) == (2, 1, 5)
    assert (summary.input_tokens, summary.output_tokens, summary.reasoning_tokens) == (200, 20, 10)
    assert summary.cache_read_tokens == 100
    assert summary.cost_usd == 0.5
    assert summary.fatal_error is None


def test_an_error_at_the_end_is_fatal() -> None:
    summary = summarize([event("step_finish", part=STEP), event("error", error=FAILED)])
    assert summary.fatal_error is not None
    assert summary.fatal_error.is_provider
    assert summary.facts()["errors"] == ["APIError: Service unavailable"]


def test_an_error_that_was_overcome_is_kept_but_not_fatal() -> None:
    summary = summarize([event("error", error=FAILED), event("step_finish", part=STEP)])
    assert summary.fatal_error is None
    assert len(summary.errors) == 1


def test_an_error_of_the_sessions_own_is_not_the_providers() -> None:
    summary = summarize([event("error", error={"name": "MessageAbortedError", "data": {"message": "x"}})])
    assert summary.fatal_error is not None
    assert not summary.fatal_error.is_provider


@pytest.mark.parametrize(
    "line",
    ["{", "{}", '{"type": 3}', "[1]", '{"a":' * 50_000, '{"type": "step_finish", "part": {"tokens": "many"}}', "plain"],
)
def test_a_line_that_is_no_event_is_left_alone(line: str) -> None:
    assert summarize([line]).events == 0


def test_errors_are_bounded() -> None:
    long = {"name": "n" * 1000, "data": {"message": "m" * 10_000}}
    summary = summarize([event("error", error=long)] * 100 + [event("error", error={"data": {"message": 3}})])
    assert len(summary.errors) == 20
    assert len(summary.errors[0].message) == 500
    assert summary.errors[-1].message == ""
