"""Caps, prices and estimates."""

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.gateway.forward import Forward
from squire_pipelines.gateway.meter import Meter
from squire_pipelines.gateway.model import GatewayLimits, GatewayTotals, RunningCall, Tokens
from squire_pipelines.gateway.prices import Price, find_price
from squire_pipelines.gateway.refusals import RefusalError

PRICE = Price(input=1.0, output=10.0, cached=0.1, cache_write=2.0)


def forward(estimate: int = 10, *, output: int = 100, free: bool = False, **options: Any) -> Forward:
    """A request of four bytes for each token that it is taken to have."""
    rest = b"{" + b" " * (estimate * 4 - 2) + b"}"
    return Forward(
        "POST", "/chat/completions", "small", free=free, rest=rest, output=output, input_estimate=estimate, **options
    )


def running(call_id: str = "a") -> RunningCall:
    return RunningCall(path="/v1/chat/completions", call_id=call_id, model="small")


def meter(before: GatewayTotals | None = None, *, priced: bool = True, **caps: Any) -> Meter:
    made = Meter(GatewayLimits(**caps), before)
    made.prices = {(None, "small"): PRICE if priced else None}
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


def test_calls_under_way_count_and_are_replaced_by_what_is_reported() -> None:
    counting = meter()
    call = running()
    assert counting.reserve(call, forward(100)) == 100
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
        ({"max_calls": 3}, GatewayTotals(0, 0, 1, 2)),
    ],
)
def test_a_cap_that_is_met_refuses_the_next_call(caps: dict[str, Any], before: GatewayTotals) -> None:
    counting = meter(before, **caps)

    def ask() -> None:
        counting.admit()
        counting.reserve(running(), forward())

    with pytest.raises(RefusalError, match="budget") as refused:
        ask()
    assert (refused.value.status, refused.value.code) == (400, "budget")
    assert refused.value.headers == [(b"x-should-retry", b"false")]
    assert counting.exhausted is not None


@pytest.mark.parametrize(
    ("error", "status"), [("upstream_status", 500), ("upstream_status", 429), ("upstream_unreachable", 502)]
)
def test_a_provider_that_fails_again_and_again_is_asked_no_more(error: str, status: int) -> None:
    counting = meter(max_failures=3)

    def fail(how: str | None = error) -> None:
        call = running()
        counting.admit()
        counting.reserve(call, forward())
        call.error, call.status, call.upstream_status, call.reported = how, status, status, True
        counting.end(call)

    for how in (error, error, None, error, error, error):
        fail(how)
    with pytest.raises(RefusalError, match="has failed 3 times in a row") as refused:
        fail()
    assert (refused.value.status, refused.value.code) == (400, "provider_down")
    assert refused.value.headers == [(b"x-should-retry", b"false")]
    assert counting.exhausted is None  # no cap is met
    seen = counting.health.seen
    assert (seen.calls, seen.answers, seen.failures, seen.failing, seen.final) == (6, 1, 5, 3, "provider_down")


def test_answers_without_content_are_failures_and_one_with_content_ends_the_row() -> None:
    counting = meter(max_failures=3)
    for number, error in enumerate(
        ("empty_answer", "unfinished", None, "error_in_answer", "client_gone", "empty_answer")
    ):
        call = running(str(number))
        counting.reserve(call, forward())
        call.error, call.reported = error, True
        counting.end(call)
    free = running("free")
    free.free = free.forwarded = True  # the number of a text's tokens says nothing of answers
    counting.end(free)
    seen = counting.health.seen
    assert (seen.answers, seen.empty_answers, seen.failures, seen.failing) == (1, 3, 1, 2)
    assert (seen.last_error, seen.final) == ("empty_answer", None)


def test_refused_calls_count_as_calls() -> None:
    counting = meter(max_calls=3)
    for number in range(3):
        counting.admit()
        counting.end(running(str(number)))
    with pytest.raises(RefusalError, match="3 calls"):
        counting.admit()
    assert counting.totals == GatewayTotals(0, 0.0, 0, refused=3)


def test_calls_at_once_are_counted_before_they_are_made() -> None:
    counting = meter(max_calls=20)
    for _ in range(20):
        counting.admit()
    for _ in range(2):
        with pytest.raises(RefusalError, match="20 calls"):
            counting.admit()


def test_calls_at_once_never_reserve_more_than_a_cap_allows() -> None:
    counting = meter(max_tokens=10_000)
    calls = [running(str(number)) for number in range(16)]
    granted = [counting.reserve(call, forward(output=50_000)) for call in calls]
    assert granted[0] == 10_000 - 10
    assert granted[1:] == [None] * 15
    counting.note(calls[0], Tokens(input=10, output=90))
    counting.end(calls[0])
    assert counting.reserve(calls[1], forward(output=50_000)) == 10_000 - 100 - 10


def test_calls_that_fit_together_run_together() -> None:
    counting = meter(max_tokens=10_000)
    assert [counting.reserve(running(str(number)), forward(output=3000)) for number in range(4)] == [3000] * 3 + [None]


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.integers(1, 400), st.integers(1, 4000), st.integers(1, 8), st.floats(0, 1)), max_size=40),
    st.integers(1, 20_000),
    st.randoms(use_true_random=False),
)
def test_no_order_of_calls_uses_more_than_the_caps(
    calls: list[tuple[int, int, int, float]], cap: int, order: Random
) -> None:
    usd = cap * 10 / 1_000_000
    counting = meter(max_tokens=cap, max_usd=usd)
    under_way: list[tuple[RunningCall, Tokens]] = []
    for number, (estimate, output, choices, share) in enumerate(calls):
        call = running(str(number))
        try:
            granted = counting.reserve(call, forward(estimate, output=output, choices=choices))
        except RefusalError:
            granted = None
        if granted is not None:
            assert 1 <= granted <= output
            under_way.append((call, Tokens(input=estimate, output=int(granted * choices * share))))
        while under_way and order.random() < 0.4:
            ended, used = under_way.pop(order.randrange(len(under_way)))
            counting.note(ended, used)
            counting.end(ended)
        assert counting.totals.tokens <= cap
        assert counting.totals.usd <= usd + 1e-9


def test_several_answers_share_what_is_left() -> None:
    assert meter(max_tokens=1010).reserve(running(), forward(output=1000, choices=4)) == 250


def test_an_answer_needs_the_room_that_its_thinking_needs() -> None:
    thinking = {"type": "enabled", "budget_tokens": 2000}
    with pytest.raises(RefusalError, match="1000 tokens"):
        meter(max_tokens=1000).reserve(running(), forward(output=4000, thinking=thinking))
    assert meter(max_tokens=1200).reserve(running(), forward(output=4000, thinking=thinking)) == 1190


def test_a_cap_in_dollars_lowers_an_answer() -> None:
    granted = meter(max_usd=0.001).reserve(running(), forward(output=5000))
    assert granted is not None
    assert 90 <= granted < 100


@pytest.mark.parametrize("error", ["client_gone", "timeout", "shutdown", "response_too_large"])
def test_what_nobody_can_count_costs_its_reservation(error: str) -> None:
    counting = meter(max_tokens=10_000)
    call = running()
    counting.reserve(call, forward(output=2000, choices=2))
    counting.note(call, Tokens(input=10, output=3, estimated=True))
    call.error = error
    counting.end(call)
    assert counting.totals.tokens == 40 + 4000  # of the request, a token for each byte
    assert (call.tokens.output, call.tokens.estimated) == (4000, True)


def test_a_request_that_the_provider_has_counted_costs_that_when_its_answer_is_left() -> None:
    counting = meter(max_tokens=10_000)
    call = running()
    counting.reserve(call, forward(output=2000))
    counting.note(call, Tokens(input=12, output=3, estimated=True))
    call.error = "client_gone"
    counting.end(call)
    assert counting.totals.tokens == 12 + 2000


def test_an_agent_that_leaves_each_call_gets_no_more_than_its_cap() -> None:
    counting = meter(max_tokens=10_000)

    def leave(number: int) -> None:
        call = running(str(number))
        counting.reserve(call, forward(100, output=1))
        call.error = "client_gone"
        counting.end(call)

    for number in range(10_000 // 401 + 1):  # of text with a token in each byte, all but the last
        leave(number)
    with pytest.raises(RefusalError, match="budget"):
        leave(100)


def test_calls_whose_request_nobody_can_count_do_not_run_at_once() -> None:
    counting = meter(max_tokens=500_000)
    picture = forward(output=10, hidden_input=400_000)
    assert counting.reserve(running("a"), picture) == 10
    assert counting.reserve(running("b"), picture) is None


def test_a_call_that_the_agent_left_costs_what_the_provider_reported() -> None:
    counting = meter(max_tokens=10_000)
    call = running()
    counting.reserve(call, forward(output=2000))
    counting.note(call, Tokens(input=10, output=3))
    call.error, call.reported = "client_gone", True
    counting.end(call)
    assert counting.totals.tokens == 13


@pytest.mark.parametrize("caps", [{"max_tokens": 100}, {"max_usd": 0.001}])
def test_a_stream_that_passes_a_cap_is_cut(caps: dict[str, Any]) -> None:
    counting = meter(**caps)
    call = running()
    counting.reserve(call, forward())
    counting.check_stream()
    counting.note(call, Tokens(input=10, output=101))
    with pytest.raises(RefusalError, match="budget"):
        counting.check_stream()


def test_free_calls_are_neither_counted_nor_capped() -> None:
    counting = meter(GatewayTotals(100, 0, 1), max_tokens=100)
    counting.reserve(running(), forward(free=True))
    assert counting.totals == GatewayTotals(100, 0, 2)


def test_without_a_price_a_cap_in_dollars_cannot_be_kept() -> None:
    counting = meter(priced=False, max_usd=1)
    with pytest.raises(RefusalError, match="name it in the settings") as refused:
        counting.reserve(running(), forward())
    assert refused.value.code == "price_unknown"
    assert "price" in (counting.exhausted or "")


def test_without_a_price_tokens_are_counted_all_the_same() -> None:
    counting = meter(priced=False)
    call = running()
    counting.reserve(call, forward())
    counting.note(call, Tokens(input=5, output=5))
    assert call.cost_usd is None
    assert counting.totals == GatewayTotals(10, 0, 1)


@pytest.mark.parametrize(
    ("believed", "priced", "cost", "difference"),
    [
        (True, True, 0.5, 0.5 - 60e-6),
        (False, True, 60e-6, 0.5 - 60e-6),
        (True, False, 0.5, None),
        (False, False, 0.5, None),
    ],
)
def test_the_stated_cost_counts_where_it_is_believed_or_alone(
    cost: float, difference: float | None, *, believed: bool, priced: bool
) -> None:
    counting = Meter(GatewayLimits(), believed=(None,) if believed else ())
    counting.prices = {(None, "small"): PRICE if priced else None}
    call = running()
    counting.reserve(call, forward())
    counting.note(call, Tokens(input=10, output=5, stated_usd=0.5))
    counting.end(call)
    assert counting.totals.usd == pytest.approx(cost)
    record = call.record(1.0)
    assert record.cost_usd == pytest.approx(cost)
    assert record.stated_usd == 0.5
    assert record.cost_difference_usd == (pytest.approx(difference) if difference is not None else None)


def test_a_free_call_of_a_provider_that_is_believed_costs_nothing() -> None:
    counting = Meter(GatewayLimits(max_usd=1.0), believed=(None,))
    counting.prices = {(None, "small"): PRICE}
    call = running()
    counting.reserve(call, forward())
    counting.note(call, Tokens(input=10, output=5, stated_usd=0.0))
    counting.end(call)
    assert (call.cost_usd, counting.totals.usd) == (0.0, 0.0)


def test_a_stated_cost_of_a_call_that_was_left_does_not_replace_its_reservation() -> None:
    counting = Meter(GatewayLimits(max_usd=1.0), believed=(None,))
    counting.prices = {(None, "small"): PRICE}
    call = running()
    counting.reserve(call, forward(output=1000))
    counting.note(call, Tokens(input=10, output=3, stated_usd=0.0))
    call.error = "client_gone"
    counting.end(call)
    assert counting.totals.usd == pytest.approx((40 * 1.0 + 1000 * 10.0) / 1e6)
    assert call.record(1.0).stated_usd is None
