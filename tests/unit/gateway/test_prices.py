"""A call costs what the provider bills: also a long one, and one that keeps its request for an hour."""

import json
from datetime import UTC, datetime

import pytest
from genai_prices import Usage, calc_price
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.gateway.meter import Meter
from squire_pipelines.gateway.model import GatewayLimits, RunningCall, Tokens
from squire_pipelines.gateway.prices import find_price
from squire_pipelines.gateway.request_body import rebuild_request
from squire_pipelines.gateway.usage import read_answer

MODELS = ["claude-sonnet-4-5", "claude-opus-4-5", "gemini-2.5-pro", "gpt-5.4", "gpt-5.5", "gpt-4o"]


def billed(model: str, asked: int, answered: int) -> float:
    """Return the library's own price of a call."""
    return float(calc_price(Usage(input_tokens=asked, output_tokens=answered), model_ref=model).total_price)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("asked", [1_000, 199_999, 200_000, 200_001, 272_000, 272_001, 600_000])
def test_a_call_costs_what_the_library_says_however_long_it_is(model: str, asked: int) -> None:
    price = find_price(model, {})
    assert price is not None
    cost = billed(model, asked, 10_000)
    assert price.cost_of(Tokens(input=asked, output=10_000)) == pytest.approx(cost)
    assert asked * price.greatest_input + 10_000 * price.greatest_output >= cost * 999_999


def test_what_is_kept_for_an_hour_costs_twice_the_input() -> None:
    price = find_price("claude-opus-4-5", {})
    assert price is not None
    usage = {"input_tokens": 0, "cache_creation_input_tokens": 1_000_000, "output_tokens": 5}
    kept = read_answer(
        json.dumps({"usage": usage | {"cache_creation": {"ephemeral_1h_input_tokens": 400_000}}}).encode()
    ).tokens
    assert kept is not None
    assert price.cache_write is not None
    expected = 0.6 * price.cache_write + 0.4 * 2 * price.input + 5e-6 * price.output
    assert price.cost_of(kept) == pytest.approx(expected)


@pytest.mark.parametrize("model", MODELS[:-1])
def test_a_cap_in_dollars_holds_for_a_long_call(model: str) -> None:
    meter = Meter(GatewayLimits(max_usd=4.0))
    meter.prices = {(None, model): find_price(model, {})}
    body = {"model": model, "max_tokens": 100_000, "messages": [{"role": "user", "content": "a b " * 300_000}]}
    forward = rebuild_request("POST", "/v1/messages", json.dumps(body).encode(), [model])
    granted = meter.reserve(RunningCall(path="/v1/messages", call_id="1", model=model), forward)
    assert granted
    assert billed(model, 300_000, granted) <= 4.0


AT = datetime(2026, 11, 2, 12, tzinfo=UTC)
KINDS: dict[str, tuple[str, Tokens, dict[str, int]]] = {
    "an hour's cache": (
        "claude-opus-4-6",
        Tokens(1000, 10, 200, 300, cache_write_hour=100),
        {"input_tokens": 1000, "output_tokens": 10, "cache_read_tokens": 200, "cache_write_tokens": 300}
        | {"cache_write_1h_tokens": 100},
    ),
    "a long request": ("claude-sonnet-4-5", Tokens(250_000, 10), {"input_tokens": 250_000, "output_tokens": 10}),
    "thinking": (
        "sonar-deep-research",
        Tokens(100, 90, reasoning=60),
        {"input_tokens": 100, "output_tokens": 90, "output_reasoning_tokens": 60},
    ),
    "sound": (
        "gemini-2.5-flash",
        Tokens(100, 9, 20, audio_input=50),
        {"input_tokens": 100, "output_tokens": 9, "cache_read_tokens": 20, "cache_audio_read_tokens": 0}
        | {"input_audio_tokens": 50},
    ),
    "searches": (
        "claude-opus-4-6",
        Tokens(100, 9, searches=3),
        {"input_tokens": 100, "output_tokens": 9, "web_searches": 3},
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_final_cost_is_the_librarys_own_calculation(kind: str) -> None:
    model, tokens, counts = KINDS[kind]
    url = "https://api.perplexity.ai" if kind == "thinking" else None
    price = find_price(model, {}, api_url=url)
    assert price is not None
    expected = calc_price(
        Usage(**counts), model_ref=model, provider_api_url=url, genai_request_timestamp=AT
    ).total_price
    assert price.final_cost(tokens, AT) == pytest.approx(float(expected), rel=1e-12)


def test_a_price_of_the_day_holds_at_its_hours_and_the_greatest_is_reserved() -> None:
    price = find_price("deepseek-chat", {})
    assert price is not None
    tokens = Tokens(1_000_000, 0)
    night, day = (price.final_cost(tokens, AT.replace(hour=hour)) for hour in (20, 12))
    assert 0 < night < day
    assert price.greatest_input == pytest.approx(day)


PRICES = {model: price for model in (*MODELS, "gemini-2.5-flash", "deepseek-chat") if (price := find_price(model, {}))}
numbers = st.one_of(st.none(), st.integers(0, 400_000))


@given(
    st.sampled_from(sorted(PRICES)),
    st.builds(Tokens, *(numbers for _ in range(4)), reasoning=numbers, audio_cached=numbers, cache_write_hour=numbers),
)
def test_whatever_a_provider_reports_has_a_cost_within_what_was_reserved(model: str, tokens: Tokens) -> None:
    price = PRICES[model]
    cost = price.final_cost(tokens, AT)
    most = (tokens.input or 0) * price.greatest_input + (tokens.output or 0) * price.greatest_output
    assert 0 <= cost <= most / 1e6 + 1e-9
