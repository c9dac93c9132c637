"""An agent is told when most of its budget is used, and its request is otherwise what it was."""

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.gateway.cap_notice import notice_for
from squire_pipelines.gateway.model import GatewayLimits, GatewayTotals
from squire_pipelines.gateway.refusals import RefusalError
from squire_pipelines.gateway.request_body import rebuild_request
from tests.support import model_requests
from tests.support.model_requests import CHAT, COUNT, GEMINI_COUNT, GENERATE, MESSAGES, RESPONSES, STREAM

NOTICE = "Note: 80 % is used."
GENERATED = 2_000


def body(path: str, document: object, notice: str | None = NOTICE) -> bytes:
    raw = document if isinstance(document, bytes) else json.dumps(document).encode()
    forward = rebuild_request("POST", path, raw, {"small"}, notice=notice)
    assert forward.has_notice is (NOTICE.encode() in forward.rest)
    assert forward.input_estimate == -(-len(forward.rest) // 4), "the notice counts too"
    return forward.body(None)


def upstream(path: str, document: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(body(path, {"model": "small", **document}))
    return made


def texts(value: Any) -> Iterator[str]:
    """Yield each text of a document in the order in which a provider reads it, without keys that are sorted away."""
    if isinstance(value, dict):
        for key in sorted(value):
            yield from texts(value[key]) if key not in {"role", "type", "cache_control"} else ()
    elif isinstance(value, list):
        for entry in value:
            yield from texts(entry)
    else:
        yield json.dumps(value)


def without_notice(values: list[str]) -> list[str]:
    """Take the one notice out: a text of its own, or the end of one."""
    holders = [number for number, value in enumerate(values) if NOTICE in value]
    assert len(holders) == 1
    (place,) = holders
    own = values[place] == json.dumps(NOTICE)
    rest = [] if own else [values[place].replace(f"\\n\\n{NOTICE}", "")]
    return [*values[:place], *rest, *values[place + 1 :]]


@pytest.mark.slow
@pytest.mark.parametrize("program", model_requests.honest_requests())
def test_what_a_program_sends_ends_with_the_notice_and_is_otherwise_the_same(program: str) -> None:
    path, document = model_requests.honest_requests()[program]
    plain, noticed = body(path, document, None), body(path, document)
    if path in {COUNT, GEMINI_COUNT}:
        assert noticed == plain, "what is only counted is nobody's to read"
        return
    assert without_notice(list(texts(json.loads(noticed)))) == list(texts(json.loads(plain)))
    assert model_requests.schema_error(path, noticed if path != MESSAGES else _limited(noticed)) is None


def _limited(raw: bytes) -> bytes:
    return json.dumps({**json.loads(raw), "max_tokens": 32_000}).encode()


@pytest.mark.slow
def test_generated_requests_are_otherwise_the_same() -> None:
    generator = random.Random(20261128)  # noqa: S311 - not for secrets
    noticed = 0
    for _ in range(GENERATED):
        path, raw = model_requests.generate(generator)
        try:
            plain = body(path, raw, None)
        except RefusalError:
            continue
        told_body = body(path, raw)
        if NOTICE.encode() not in told_body:
            assert told_body == plain
            continue
        noticed += 1
        assert without_notice(list(texts(json.loads(told_body)))) == list(texts(json.loads(plain)))
    assert noticed > GENERATED / 8


TEXT = {"type": "text", "text": NOTICE}
RESULT = {"type": "tool_result", "tool_use_id": "a", "content": "ok"}
GOOGLE_RESULT = {"functionResponse": {"name": "n", "response": {}}}


@pytest.mark.parametrize(
    ("path", "key", "before", "after"),
    [
        (CHAT, "messages", [{"role": "user", "content": "a"}], [{"role": "user", "content": f"a\n\n{NOTICE}"}]),
        (
            CHAT,
            "messages",
            [{"role": "user", "content": [{"type": "text", "text": "a"}]}],
            [{"role": "user", "content": [{"type": "text", "text": "a"}, TEXT]}],
        ),
        (
            CHAT,
            "messages",
            [{"role": "tool", "tool_call_id": "c", "content": "ok"}],
            [{"role": "tool", "tool_call_id": "c", "content": "ok"}, {"role": "user", "content": NOTICE}],
        ),
        (CHAT, "messages", [{"role": "assistant", "content": "I"}], [{"role": "assistant", "content": "I"}]),
        (CHAT, "messages", [], []),
        (RESPONSES, "input", "a", f"a\n\n{NOTICE}"),
        (
            RESPONSES,
            "input",
            [{"type": "function_call_output", "call_id": "c", "output": "ok"}],
            [
                {"type": "function_call_output", "call_id": "c", "output": "ok"},
                {"type": "message", "role": "user", "content": [{"type": "input_text", "text": NOTICE}]},
            ],
        ),
        (MESSAGES, "messages", [{"role": "user", "content": [RESULT]}], [{"role": "user", "content": [RESULT, TEXT]}]),
        (
            MESSAGES,
            "messages",
            [{"role": "user", "content": "a"}],
            [{"role": "user", "content": [{"type": "text", "text": "a"}, TEXT]}],
        ),
        (
            MESSAGES,
            "messages",
            [{"role": "user", "content": "a"}, {"role": "system", "content": "Commands: b"}],
            [{"role": "user", "content": "a"}, {"role": "system", "content": f"Commands: b\n\n{NOTICE}"}],
        ),
        (MESSAGES, "messages", [{"role": "assistant", "content": "{"}], [{"role": "assistant", "content": "{"}]),
        (
            STREAM,
            "contents",
            [{"role": "user", "parts": [GOOGLE_RESULT]}],
            [{"role": "user", "parts": [GOOGLE_RESULT, {"text": NOTICE}]}],
        ),
        (
            GENERATE,
            "contents",
            [{"role": "function", "parts": [GOOGLE_RESULT]}],
            [{"role": "function", "parts": [GOOGLE_RESULT]}, {"role": "user", "parts": [{"text": NOTICE}]}],
        ),
        (
            GENERATE,
            "contents",
            [{"role": "model", "parts": [{"text": "I"}]}],
            [{"role": "model", "parts": [{"text": "I"}]}],
        ),
    ],
)
def test_the_notice_stands_where_the_interface_takes_it(path: str, key: str, before: object, after: object) -> None:
    assert upstream(path, {key: before})[key] == after


def test_what_the_provider_keeps_ends_before_the_notice() -> None:
    mark = {"type": "ephemeral"}
    blocks = [RESULT, {"type": "text", "text": "a", "cache_control": mark}]
    made = upstream(MESSAGES, {"messages": [{"role": "user", "content": blocks}]})
    assert made["messages"][0]["content"] == [*blocks, TEXT]
    made = upstream(MESSAGES, {"messages": [{"role": "user", "content": "a"}], "cache_control": mark})
    assert made["messages"][0]["content"] == [{"type": "text", "text": "a", "cache_control": mark}, TEXT]
    assert "cache_control" not in made, "it marks the last block, which would be ours"


@pytest.mark.parametrize(
    ("limits", "totals", "percent"),
    [
        (GatewayLimits(), GatewayTotals(10**9, 10.0**6), None),
        (GatewayLimits(max_tokens=1000), GatewayTotals(799), None),
        (GatewayLimits(max_tokens=1000), GatewayTotals(800), 80),
        (GatewayLimits(max_tokens=1000), GatewayTotals(2000), 100),
        (GatewayLimits(max_usd=2.0), GatewayTotals(10**6, 1.9), 95),
        (GatewayLimits(max_tokens=1000, max_usd=2.0), GatewayTotals(900, 0.1), 90),
        (GatewayLimits(max_tokens=0, max_usd=0.0), GatewayTotals(0), None),
    ],
)
def test_it_is_told_from_four_fifths_of_a_cap_on(
    limits: GatewayLimits, totals: GatewayTotals, percent: int | None
) -> None:
    notice = notice_for(limits, totals)
    assert (notice is not None and f" {percent} % " in notice) is (percent is not None)


@given(tokens=st.integers(0, 2000), cap=st.integers(1, 2000))
def test_what_it_is_told_is_no_more_than_what_is_used(tokens: int, cap: int) -> None:
    notice = notice_for(GatewayLimits(max_tokens=cap), GatewayTotals(tokens))
    assert (notice is not None) is (tokens / cap >= 0.8)
