"""Caps, prices and estimates."""

from typing import Any

import pytest

from squire_pipelines.gateway.meter import Meter
from squire_pipelines.gateway.model import GatewayLimits, GatewayTotals, RunningCall, Tokens
from squire_pipelines.gateway.prices import Price, find_price
from squire_pipelines.gateway.rules import Forward, RefusalError

PRICE = Price(input=1.0, output=10.0, cached=0.1, cache_write=2.0)


def forward(estimate: int = 10, *, free: bool = False) -> Forward:
    return Forward("POST", "/chat/completions", b"{}", "small", free=free, input_estimate=estimate)


def running(call_id: str = "a") -> RunningCall:
    return RunningCall(path="/v1/chat/completions", call_id=call_id, model="small")


def meter(before: GatewayTotals | None = None, *, priced: bool = True, **caps: Any) -> Meter:
    made = Meter(GatewayLimits(**caps), before)
    made.prices = {"small": PRICE if priced else None}
    return made


def test_tokens_cost_what_their_kind_costs() -> None:
    tokens = Tokens(input=1_000_000, output=100_000, cached=400_000, cache_write=100_000)
    assert PRICE.cost_of(tokens) == pytest.approx(0.5 + 0.04 + 0.2 + 1.0)
    assert Price(1.0, 1.0).cost_of(Tokens(input=10, cached=20)) == pytest.approx(10e-6)
    assert PRICE.cost_of(Tokens()) == 0


def test_the_users_own_price_wins_and_a_known_model_has_one() -> None:
    assert find_price("gpt-4o-mini", {"gpt-4o-mini": PRICE}) is PRICE
    known = find_price("gpt-4o-mini", {}, api_url="http://127.0.0.1:1/v1")
    assert known is not None
    assert 0 < known.input < known.output
    assert known.cached is not None
    assert known.cached < known.input
    assert find_price("a-model-that-nobody-sells", {}) is None


def test_calls_under_way_count_and_are_replaced_by_what_is_told() -> None:
    counting = meter()
    call = running()
    counting.begin(call, forward(100))
    assert (counting.totals.tokens, counting.totals.requests) == (100, 1)
    assert counting.totals.usd == pytest.approx(100e-6)
    counting.note(call, Tokens(input=50, output=5))
    counting.end(call)
    counting.note(call, Tokens(input=9999))  # too late
    assert (counting.totals.tokens, counting.totals.requests) == (55, 1)
    assert counting.totals.usd == pytest.approx(100e-6)


@pytest.mark.parametrize(
    ("caps", "before"),
    [
        ({"max_tokens": 100}, GatewayTotals(95, 0, 1)),
        ({"max_usd": 0.01}, GatewayTotals(0, 0.01, 1)),
        ({"max_calls": 3}, GatewayTotals(0, 0, 3)),
    ],
)
def test_a_cap_that_is_met_refuses_the_next_call(caps: dict[str, Any], before: GatewayTotals) -> None:
    counting = meter(before, **caps)

    def ask() -> None:
        counting.check_requests()
        counting.begin(running(), forward())

    with pytest.raises(RefusalError, match="budget") as refused:
        ask()
    assert (refused.value.status, refused.value.code) == (403, "budget")
    assert refused.value.headers == [(b"x-should-retry", b"false")]
    assert counting.exhausted is not None


@pytest.mark.parametrize("caps", [{"max_tokens": 100}, {"max_usd": 0.001}])
def test_a_stream_that_passes_a_cap_is_cut(caps: dict[str, Any]) -> None:
    counting = meter(**caps)
    call = running()
    counting.begin(call, forward())
    counting.check_stream()
    counting.note(call, Tokens(input=10, output=101))
    with pytest.raises(RefusalError, match="budget"):
        counting.check_stream()


def test_free_calls_are_neither_counted_nor_capped() -> None:
    counting = meter(GatewayTotals(100, 0, 1), max_tokens=100)
    counting.begin(running(), forward(free=True))
    assert counting.totals == GatewayTotals(100, 0, 2)


def test_without_a_price_a_cap_in_dollars_cannot_be_kept() -> None:
    counting = meter(priced=False, max_usd=1)
    with pytest.raises(RefusalError, match="name it in the settings") as refused:
        counting.begin(running(), forward())
    assert refused.value.code == "price_unknown"
    assert "price" in (counting.exhausted or "")


def test_without_a_price_tokens_are_counted_all_the_same() -> None:
    counting = meter(priced=False)
    call = running()
    counting.begin(call, forward())
    counting.note(call, Tokens(input=5, output=5))
    assert call.cost_usd is None
    assert counting.totals == GatewayTotals(10, 0, 1)


def test_the_room_that_is_left() -> None:
    assert meter().remaining_tokens() is None
    assert meter(GatewayTotals(60, 0, 1), max_tokens=100).remaining_tokens() == 40
    assert meter(GatewayTotals(160, 0, 1), max_tokens=100).remaining_tokens() == 1
