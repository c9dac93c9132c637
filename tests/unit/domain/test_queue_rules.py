"""Caps on pull requests: when there is room, which cap says so, and when it frees."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.queue_rules import WINDOW, PullRequestCaps, PullRequestUse, cap_reached, pull_request_room

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CAPS = PullRequestCaps(max_open=3, max_new_per_hour=2)
_AGES = st.lists(st.integers(0, 7200), max_size=8)


def use(*minutes_ago: int, is_open: int = 0, under_way: int = 0) -> PullRequestUse:
    moments = sorted(NOW - timedelta(minutes=minutes) for minutes in minutes_ago)
    return PullRequestUse(is_open, under_way, tuple(moments))


def test_open_ones_and_those_that_attempts_may_open_leave_no_room_together() -> None:
    assert cap_reached(CAPS, use(is_open=2), NOW) is None
    assert pull_request_room(CAPS, use(is_open=2), NOW) == 1
    cap = cap_reached(CAPS, use(is_open=2, under_way=1), NOW)
    assert cap is not None
    assert "2 open and 1 under way, at most 3 (dispatch.max_open_pull_requests)" in str(cap)
    assert cap.frees_at is None


def test_new_ones_of_an_hour_leave_no_room_until_the_oldest_that_counts_is_an_hour_old() -> None:
    cap = cap_reached(CAPS, use(50, 10, is_open=1), NOW)
    assert cap is not None
    assert cap.frees_at == NOW + timedelta(minutes=10)
    assert str(cap).endswith("(dispatch.max_new_pull_requests_per_hour), not before 12:10:00 UTC")
    assert cap_reached(CAPS, use(61, 10, is_open=1), NOW) is None
    waiting = cap_reached(CAPS, use(under_way=2), NOW)
    assert waiting is not None
    assert waiting.frees_at is None


def test_one_that_a_wrong_clock_opened_tomorrow_does_not_count_until_then() -> None:
    assert cap_reached(CAPS, use(-24 * 60, -24 * 60), NOW) is None
    assert cap_reached(CAPS, use(-1, -1), NOW) is not None  # clocks of two machines differ by so much


@given(
    ages=_AGES,
    is_open=st.integers(0, 12),
    under_way=st.integers(0, 12),
    caps=st.builds(PullRequestCaps, st.integers(1, 12), st.integers(1, 12)),
)
def test_there_is_room_exactly_where_no_cap_is_named_and_from_the_moment_that_it_names(
    ages: list[int], is_open: int, under_way: int, caps: PullRequestCaps
) -> None:
    counted = PullRequestUse(is_open, under_way, tuple(sorted(NOW - timedelta(seconds=age) for age in ages)))
    cap = cap_reached(caps, counted, NOW)
    assert (cap is None) == (pull_request_room(caps, counted, NOW) > 0)
    if cap is not None and cap.frees_at is not None:
        assert NOW < cap.frees_at <= NOW + WINDOW
        assert pull_request_room(caps, counted, cap.frees_at - timedelta(seconds=1)) == 0
        assert pull_request_room(caps, counted, cap.frees_at) >= 1
