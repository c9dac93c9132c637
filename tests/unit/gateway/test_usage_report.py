"""What each provider reports of a call, in the forms of their documentation, and numbers that are none."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from squire_pipelines.gateway.model import Tokens
from squire_pipelines.gateway.usage import read_answer
from squire_pipelines.gateway.usage_report import join_reports, read_report, with_total

REPORTS: dict[str, tuple[dict[str, Any], Tokens]] = {
    "OpenAI, cached, thinking and sound": (
        {
            "usage": {
                "prompt_tokens": 2006,
                "completion_tokens": 300,
                "total_tokens": 2306,
                "prompt_tokens_details": {"cached_tokens": 1920, "audio_tokens": 40},
                "completion_tokens_details": {"reasoning_tokens": 128, "audio_tokens": 20},
            }
        },
        Tokens(2006, 300, 1920, reasoning=128, audio_input=40, audio_output=20),
    ),
    "OpenAI's responses": (
        {
            "type": "response.completed",
            "response": {
                "usage": {
                    "input_tokens": 75,
                    "input_tokens_details": {"cached_tokens": 32},
                    "output_tokens": 1186,
                    "output_tokens_details": {"reasoning_tokens": 1024},
                    "total_tokens": 1261,
                }
            },
        },
        Tokens(75, 1186, 32, reasoning=1024),
    ),
    "Anthropic, five minutes and an hour": (
        {
            "usage": {
                "input_tokens": 2048,
                "cache_read_input_tokens": 1800,
                "cache_creation_input_tokens": 248,
                "cache_creation": {"ephemeral_5m_input_tokens": 148, "ephemeral_1h_input_tokens": 100},
                "output_tokens": 503,
                "server_tool_use": {"web_search_requests": 2},
            }
        },
        Tokens(4096, 503, 1800, 248, cache_write_hour=100, searches=2),
    ),
    "Anthropic, the two ages without their sum": (
        {
            "usage": {
                "input_tokens": 10,
                "cache_creation": {"ephemeral_5m_input_tokens": 6, "ephemeral_1h_input_tokens": 4},
                "output_tokens": 1,
            }
        },
        Tokens(20, 1, None, 10, cache_write_hour=4),
    ),
    "Gemini": (
        {
            "usageMetadata": {
                "promptTokenCount": 1000,
                "cachedContentTokenCount": 600,
                "candidatesTokenCount": 50,
                "thoughtsTokenCount": 70,
                "toolUsePromptTokenCount": 10,
                "totalTokenCount": 1130,
                "promptTokensDetails": [
                    {"modality": "TEXT", "tokenCount": 900},
                    {"modality": "AUDIO", "tokenCount": 100},
                ],
            }
        },
        Tokens(1010, 120, 600, reasoning=70, audio_input=100),
    ),
    "DeepSeek": (
        {
            "usage": {
                "prompt_tokens": 130,
                "completion_tokens": 20,
                "total_tokens": 150,
                "prompt_cache_hit_tokens": 64,
                "prompt_cache_miss_tokens": 66,
            }
        },
        Tokens(130, 20, 64),
    ),
    "DeepSeek's parts without their sum": (
        {"usage": {"prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 66, "completion_tokens": 20}},
        Tokens(130, 20, 64),
    ),
    "OpenRouter, what its cache was given and the cost": (
        {
            "usage": {
                "prompt_tokens": 194,
                "completion_tokens": 2,
                "total_tokens": 196,
                "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 100, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 0},
                "cost": 0.0014,
                "is_byok": False,
                "cost_details": {"upstream_inference_cost": None},
            }
        },
        Tokens(194, 2, 0, 100, reasoning=0, stated_usd=0.0014),
    ),
    "OpenRouter with the user's own key": (
        {
            "usage": {
                "prompt_tokens": 194,
                "completion_tokens": 2,
                "cost": 0.05,
                "is_byok": True,
                "cost_details": {"upstream_inference_cost": 0.95},
            }
        },
        Tokens(194, 2, stated_usd=1.0),
    ),
    "xAI, thinking beside the answer, and ticks": (
        {
            "usage": {
                "prompt_tokens": 32,
                "completion_tokens": 9,
                "total_tokens": 135,
                "completion_tokens_details": {"reasoning_tokens": 94},
                "cost_in_usd_ticks": 37_756_000,
            }
        },
        Tokens(32, 103, reasoning=94, stated_usd=0.0037756),
    ),
    "xAI without the total": (
        {
            "usage": {
                "prompt_tokens": 32,
                "completion_tokens": 9,
                "completion_tokens_details": {"reasoning_tokens": 94},
            }
        },
        Tokens(32, 103, reasoning=94),
    ),
    "Perplexity": (
        {
            "usage": {
                "prompt_tokens": 14,
                "completion_tokens": 70,
                "total_tokens": 84,
                "cost": {"input_tokens_cost": 0.0, "request_cost": 0.006, "total_cost": 0.0066},
            }
        },
        Tokens(14, 70, stated_usd=0.0066),
    ),
    "DeepInfra": (
        {"usage": {"prompt_tokens": 14, "completion_tokens": 70, "estimated_cost": "0.0000268"}},
        Tokens(14, 70, stated_usd=0.0000268),
    ),
    "Groq's last piece": (
        {"choices": [{"delta": {}}], "x_groq": {"usage": {"prompt_tokens": 5, "completion_tokens": 6}}},
        Tokens(5, 6),
    ),
    "Moonshot's finished answer": (
        {"choices": [{"delta": {}, "usage": {"prompt_tokens": 5, "completion_tokens": 6, "cached_tokens": 2}}]},
        Tokens(5, 6, 2),
    ),
    "Ollama's own words": ({"done": True, "prompt_eval_count": 26, "eval_count": 298}, Tokens(26, 298)),
    "llama.cpp's own words": (
        {"timings": {"cache_n": 200, "prompt_n": 36, "predicted_n": 35, "predicted_ms": 661.06}},
        Tokens(236, 35, 200),
    ),
    "a sum and no answer's number": ({"usage": {"prompt_tokens": 5, "total_tokens": 9}}, Tokens(5, 4)),
    "a sum that has the cache, which the request's number has not": (
        {
            "usage": {
                "prompt_tokens": 40,
                "completion_tokens": 5,
                "total_tokens": 945,
                "prompt_tokens_details": {"cached_tokens": 900},
            }
        },
        Tokens(940, 5, 900),
    ),
    "numbers as text and fractions": (
        {"usage": {"prompt_tokens": "12", "completion_tokens": 3.5, "total_tokens": "15.0", "cost": "1e-4"}},
        Tokens(12, 4, stated_usd=0.0001),
    ),
    "nulls": (
        {"usage": {"prompt_tokens": 3, "completion_tokens": 4, "prompt_tokens_details": None, "cost": None}},
        Tokens(3, 4),
    ),
}


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_is_read_in_its_providers_words(name: str) -> None:
    document, tokens = REPORTS[name]
    report = read_report(document)
    assert report is not None
    assert report.stated_usd == pytest.approx(tokens.stated_usd) if tokens.stated_usd else report.stated_usd is None
    assert read_report(document) == Tokens(
        **{**{field: getattr(tokens, field) for field in Tokens.__slots__}, "stated_usd": report.stated_usd}
    )


@pytest.mark.parametrize(
    "cost", [True, -1, "-0.1", "free", float("nan"), float("inf"), 10**400, 1e9, [1], {}, "9" * 40]
)
def test_a_cost_that_is_none_is_none(cost: object) -> None:
    report = read_report({"usage": {"prompt_tokens": 1, "completion_tokens": 1, "cost": cost}})
    assert report == Tokens(1, 1)


@pytest.mark.parametrize(
    "document",
    [{}, {"usage": {}}, {"usage": None, "x_groq": None, "choices": [None]}, {"timings": {"prompt_n": "?"}}],
)
def test_what_reports_nothing_is_no_report(document: dict[str, Any]) -> None:
    assert read_report(document) is None


def test_zeros_beside_a_text_are_no_report_of_it() -> None:
    message = {"choices": [{"message": {"content": "a short answer"}}]}
    zeros = {"usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}}
    assert read_answer(json.dumps({**message, **zeros}).encode(), 9).tokens is None, "so that all is estimated"
    half = {"usage": {"prompt_tokens": 7, "completion_tokens": 0, "cost": 0}}
    assert read_answer(json.dumps({**message, **half}).encode(), 9).tokens == Tokens(7, 4, estimated=True)


counts = st.one_of(st.none(), st.integers(0, 10**6))
junk = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=5,
)
NAMES = [
    "prompt_tokens",
    "completion_tokens",
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cost",
    "estimated_cost",
    "cost_in_usd_ticks",
    "is_byok",
    "cost_details",
    "prompt_tokens_details",
    "completion_tokens_details",
    "cache_creation",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "prompt_cache_hit_tokens",
    "prompt_cache_miss_tokens",
    "server_tool_use",
    "reasoning_tokens",
]
PLACES = ("usage", "response", "message", "x_groq", "choices", "usageMetadata", "timings", "eval_count")


@settings(max_examples=40)
@given(
    st.dictionaries(st.sampled_from(NAMES), junk, max_size=8),
    st.dictionaries(st.sampled_from(PLACES), junk, max_size=4),
)
def test_no_report_raises_or_is_less_than_nothing(usage: dict[str, Any], document: dict[str, Any]) -> None:
    for report in (read_report({"usage": usage}), read_report(document), read_report({"choices": [{"usage": usage}]})):
        values = [getattr(report, name) for name in Tokens.__slots__] if report is not None else []
        assert all(value is None or value >= 0 for value in values)


@given(st.builds(Tokens, input=counts, output=counts, cached=counts, reasoning=counts), counts)
def test_a_total_takes_nothing_away_and_what_it_adds_is_counted(tokens: Tokens, total: int | None) -> None:
    whole = with_total(tokens, total)
    assert (whole.input or 0) >= (tokens.input or 0)
    assert (whole.output or 0) >= (tokens.output or 0)
    if total is not None and tokens.input is not None:
        assert whole.total >= total


reports = st.builds(Tokens, input=counts, output=counts, cached=counts, cache_write=counts, reasoning=counts)


@given(reports, reports)
def test_two_reports_of_a_call_have_its_largest_request_and_its_last_answer(first: Tokens, second: Tokens) -> None:
    joined = join_reports(first, second)
    assert (joined.input or 0) == max(first.input or 0, second.input or 0)
    assert joined.output == second.output
    assert joined.reasoning == (first.reasoning if second.reasoning is None else second.reasoning)
    assert (joined.cached is None) == (first.cached is None and second.cached is None)
