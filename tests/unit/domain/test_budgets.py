"""The rules of budgets: what is reserved, what fits, and that nobody spends more than there is."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from squire_pipelines.domain.budgets import Amount, BudgetLimits, Limit, Purpose, Scope, day_of, month_of, renewed_at

usd = st.none() | st.floats(0.01, 1000)
tokens = st.none() | st.integers(1, 10_000_000)
limit = st.builds(Limit, usd=usd, tokens=tokens)


@st.composite
def limits(draw: st.DrawFn) -> BudgetLimits:
    """Limits in which an attempt's own, if it is set, fits the wider ones."""
    wide = {name: draw(limit) for name in ("task", "repository", "day", "month")}
    smallest = min((limit.usd for limit in wide.values() if limit.usd is not None), default=1000.0)
    fewest = min((limit.tokens for limit in wide.values() if limit.tokens is not None), default=10_000_000)
    own = draw(st.builds(Limit, usd=st.none() | st.floats(0.001, smallest), tokens=st.none() | st.integers(1, fewest)))
    return BudgetLimits(attempt=own, plan=own, **wide)


@pytest.mark.slow
@given(limits())
def test_a_reservation_fits_empty_budgets(given_limits: BudgetLimits) -> None:
    for purpose in Purpose:
        assert given_limits.shortage(purpose, {}) is None


@given(limits(), st.integers(1, 60))
def test_whoever_keeps_to_reservations_never_passes_a_limit(given_limits: BudgetLimits, tries: int) -> None:
    used = dict.fromkeys((Scope.TASK, Scope.REPOSITORY, Scope.DAY, Scope.MONTH), Amount())
    for _ in range(tries):
        if given_limits.shortage(Purpose.ATTEMPT, used) is None:
            used = {scope: amount + given_limits.reservation(Purpose.ATTEMPT) for scope, amount in used.items()}
    for scope, amount in used.items():
        assert amount.fits(given_limits.of(scope))


@given(limits())
def test_an_attempt_is_capped_wherever_anything_wider_is(given_limits: BudgetLimits) -> None:
    cap = given_limits.cap(Purpose.ATTEMPT)
    for scope in given_limits.wide():
        wider = given_limits.of(scope)
        assert wider.usd is None or cap.usd is not None
        assert wider.tokens is None or cap.tokens is not None
        assert Amount(cap.usd or 0, cap.tokens or 0).fits(wider)


def test_without_limits_nothing_is_reserved_and_everything_fits() -> None:
    assert not BudgetLimits().is_set
    assert BudgetLimits().reservation(Purpose.ATTEMPT) == Amount()
    assert BudgetLimits().shortage(Purpose.ATTEMPT, {Scope.DAY: Amount(1e6, 10**9)}) is None


def test_an_attempt_without_a_limit_reserves_a_tenth_of_the_smallest_wider_one() -> None:
    wide = BudgetLimits(day=Limit(usd=20, tokens=5), month=Limit(usd=100), task=Limit(usd=30))
    assert wide.cap(Purpose.ATTEMPT) == Limit(usd=2, tokens=1)
    assert wide.cap(Purpose.PLAN) == Limit(usd=2, tokens=1)
    own = BudgetLimits(day=Limit(usd=20), attempt=Limit(usd=7))
    assert own.cap(Purpose.ATTEMPT) == Limit(usd=7)


def test_a_shortage_names_the_narrowest_budget_and_what_is_used() -> None:
    tight = BudgetLimits(attempt=Limit(usd=2), task=Limit(usd=5), day=Limit(usd=10, tokens=1000))
    short = tight.shortage(Purpose.ATTEMPT, {Scope.TASK: Amount(4), Scope.DAY: Amount(9)})
    assert str(short) == "the budget of the task (4.00 of 5.00 USD used or reserved)"
    short = tight.shortage(Purpose.PLAN, {Scope.TASK: Amount(4), Scope.DAY: Amount(9.5, 10)})
    assert str(short) == "the budget of the day (9.50 of 10.00 USD, 10 of 1000 tokens used or reserved)"


@pytest.mark.parametrize("scope", ["task", "repository", "day", "month"])
def test_an_attempt_that_could_never_start_is_refused(scope: str) -> None:
    with pytest.raises(ValidationError, match="none could ever start"):
        BudgetLimits.model_validate({"attempt": {"usd": 5}, scope: {"usd": 4}})


def test_days_and_months_are_utcs() -> None:
    now = datetime(2026, 12, 31, 23, 30, tzinfo=timezone(timedelta(hours=-5)))
    assert day_of(now) == month_of(now) == datetime(2027, 1, 1, tzinfo=UTC)
    assert renewed_at(Scope.DAY, now) == datetime(2027, 1, 2, tzinfo=UTC)
    assert renewed_at(Scope.MONTH, now) == renewed_at(Scope.REPOSITORY, now) == datetime(2027, 2, 1, tzinfo=UTC)
    assert renewed_at(Scope.TASK, now) is None
