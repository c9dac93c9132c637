"""A call costs what the provider bills: also a long one, and one that keeps its request for an hour."""

import json

import pytest
from genai_prices import Usage, calc_price

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
