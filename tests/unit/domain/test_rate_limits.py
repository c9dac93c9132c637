"""How long a refused credential waits, and how much a cycle may spend."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.rate_limits import (
    MAX_WAIT_S,
    LimitKind,
    LimitState,
    LimitUse,
    affordable,
    blocking,
)

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_waits_that_github_does_not_name_grow_up_to_an_hour() -> None:
    state, waits = LimitState(), []
    now = NOW
    for _ in range(9):
        state = state.blocked(now=now, wait_s=None)
        assert state.blocked_until
        waits.append((state.blocked_until - now).total_seconds())
        now = state.blocked_until
    assert waits == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]


def test_a_good_answer_after_the_wait_ends_the_growing() -> None:
    state = LimitState().blocked(now=NOW, wait_s=None).blocked(now=after(61), wait_s=None)
    use = LimitUse(LimitKind.CORE, 5000, 4000, after(900))
    during = state.used(use, now=after(100))  # its request was sent before the refusal
    assert (during.blocked_until, during.strikes) == (state.blocked_until, 2)
    over = state.used(use, now=after(200))
    assert (over.blocked_until, over.strikes) == (None, 0)


@given(st.lists(st.one_of(st.none(), st.floats(min_value=-10, max_value=1e12)), min_size=1, max_size=20))
def test_no_refusal_shortens_a_block_and_none_lasts_for_ever(waits: list[float | None]) -> None:
    state = LimitState()
    for wait in waits:
        before = state.blocked_until
        state = state.blocked(now=NOW, wait_s=wait)
        assert state.blocked_until
        assert before is None or state.blocked_until >= before
        assert after(1) <= state.blocked_until <= after(MAX_WAIT_S + 300)


def test_of_two_answers_about_one_window_the_one_with_less_left_counts() -> None:
    state = LimitState().used(LimitUse(LimitKind.CORE, 5000, 100, after(60)), now=NOW)
    assert state.used(LimitUse(LimitKind.CORE, 5000, 120, after(60)), now=NOW).remaining == 100
    assert state.used(LimitUse(LimitKind.CORE, 5000, 4999, after(3660)), now=NOW).remaining == 4999


def test_the_longest_block_of_a_requests_kinds_counts() -> None:
    states = {
        LimitKind.CORE: LimitState(blocked_until=after(10)),
        LimitKind.CONTENT: LimitState(blocked_until=after(90)),
        LimitKind.GRAPHQL: LimitState(blocked_until=after(-1)),
    }
    assert blocking(states, {LimitKind.CORE, LimitKind.CONTENT}, NOW) == states[LimitKind.CONTENT]
    assert blocking(states, {LimitKind.CORE}, NOW) == states[LimitKind.CORE]
    assert blocking(states, {LimitKind.GRAPHQL, LimitKind.SEARCH}, NOW) is None


def test_a_tenth_of_the_quota_is_kept_for_what_people_wait_for() -> None:
    state = LimitState(quota=5000, remaining=560, reset_at=after(60))
    assert affordable(state, cost_each=3, now=NOW) == 20
    assert affordable(LimitState(quota=5000, remaining=100, reset_at=after(60)), cost_each=3, now=NOW) == 0


def test_nothing_bounds_readings_when_the_window_is_over_or_unknown() -> None:
    assert affordable(LimitState(), cost_each=3, now=NOW) is None
    assert affordable(LimitState(quota=5000, remaining=0, reset_at=after(-1)), cost_each=3, now=NOW) is None
