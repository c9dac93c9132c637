from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.tasks import Priority
from squire_pipelines.planning.conversation import ModelOptions
from squire_pipelines.planning.prompt import describe
from squire_pipelines.planning.prompt_files import packaged_prompts
from squire_pipelines.planning.schema import PlanDraft
from squire_pipelines.planning.selection import PlanInputs, select
from squire_pipelines.planning.token_limits import (
    MAX_OUTPUT_TOKENS,
    MIN_QUESTION_CHARS,
    Room,
    known_context,
    known_output,
    room_for,
)
from tests.support.signal_samples import issue


def test_without_a_known_context_only_the_answer_is_limited() -> None:
    assert room_for(None, None, instructions_chars=0) == Room(MAX_OUTPUT_TOKENS, None)
    assert room_for(None, 8_000, instructions_chars=0) == Room(8_000, None)


@given(context=st.integers(4_000, 2_000_000), output=st.none() | st.integers(1, 200_000), above=st.integers(0, 50_000))
def test_question_and_two_answers_fit_into_the_context(context: int, output: int | None, above: int) -> None:
    room = room_for(context, output, instructions_chars=above)
    assert room.question_chars is not None
    assert 1 <= room.output_tokens <= min(output or MAX_OUTPUT_TOKENS, context // 4)
    if room.question_chars > MIN_QUESTION_CHARS:
        assert (room.question_chars + above) / 3 + 2 * room.output_tokens < context


@pytest.mark.parametrize(
    ("model", "tokens"), [("gpt-4o", 128_000), ("openai:gpt-4o", 128_000), ("nobodys-model", None)]
)
def test_what_the_price_library_knows_of_a_model_is_used(model: str, tokens: int | None) -> None:
    assert known_context(model) == tokens


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("openai:gpt-4o-mini", 16_384),
        ("gpt-4o-2024-05-13", 4_096),
        ("gpt-4-0613", 8_192),
        ("openai:gpt-4.1", MAX_OUTPUT_TOKENS),
        ("eu.anthropic.claude-3-haiku-20240307-v1:0", 4_096),
        ("anthropic:claude-sonnet-4-5", None),
        ("nobodys-gpt-4", None),
    ],
)
def test_an_answer_is_no_longer_than_the_model_gives_one(model: str, tokens: int | None) -> None:
    assert known_output(model) == tokens
    room = ModelOptions(model, context_tokens=1_000_000).room
    assert room.output_tokens == (tokens or MAX_OUTPUT_TOKENS)


def test_a_question_is_as_short_as_the_model_needs_it() -> None:
    signals = [issue(number, body="x" * 5_000) for number in range(100)]
    inputs = PlanInputs("o/r", signals, "main", ("squire",), frozenset(), max_tasks=5)

    def ask(limit: int | None) -> str:
        return describe(inputs, select(inputs), packaged_prompts(), goals="g" * 9_000, limit_chars=limit)

    assert len(ask(None)) > 300_000
    for limit in (200_000, 50_000, 10_000, 3_000):
        assert len(ask(limit)) <= limit
    assert "Signals (1 of 100):" in ask(1)


def fields(schema: dict[str, Any]) -> dict[str, Any]:
    properties: dict[str, Any] = schema["$defs"]["TaskDraft"]["properties"]
    return properties


def test_the_form_says_what_the_instructions_say_and_offers_nothing_that_is_overwritten() -> None:
    offered = fields(PlanDraft.model_json_schema())
    names = [member.name.lower() for member in Priority]
    assert offered["priority"]["enum"] == names
    assert f"`priority` is {', '.join(names[:-1])} or {names[-1]}" in packaged_prompts().instructions
    assert not {"allow_protected", "agent"} & set(offered)
    assert "AgentOrder" not in PlanDraft.model_json_schema()["$defs"]
