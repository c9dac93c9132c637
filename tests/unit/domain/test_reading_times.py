"""Quiet hours and intervals, also where the clocks change."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.reading_times import is_due, parse_quiet_hours, seconds_until_due

ZURICH = ZoneInfo("Europe/Zurich")
NIGHT = parse_quiet_hours("22:00-06:00")


def quiet_minutes(text: str, begins: datetime, hours: int) -> int:
    """How many of the minutes from `begins` on are quiet in Zurich."""
    quiet = parse_quiet_hours(text)
    return sum(quiet.contain(begins + timedelta(minutes=minute), ZURICH) for minute in range(hours * 60))


def test_quiet_hours_over_midnight_and_within_a_day() -> None:
    assert quiet_minutes("22:00-06:00", datetime(2026, 2, 3, 12, tzinfo=UTC), 24) == 8 * 60
    assert quiet_minutes("12:30-13:15", datetime(2026, 2, 3, 0, tzinfo=UTC), 24) == 45


@pytest.mark.parametrize(
    ("text", "noon_before", "minutes"),
    [
        ("22:00-06:00", datetime(2026, 3, 28, 11, tzinfo=UTC), 7 * 60),  # put forward from 2 to 3
        ("22:00-06:00", datetime(2026, 10, 24, 10, tzinfo=UTC), 9 * 60),  # put back from 3 to 2
        ("02:15-02:45", datetime(2026, 3, 28, 11, tzinfo=UTC), 0),  # half an hour that no clock shows
        ("02:15-02:45", datetime(2026, 10, 24, 10, tzinfo=UTC), 60),  # half an hour that comes twice
    ],
)
def test_quiet_hours_follow_the_clock_on_the_wall_when_it_changes(
    text: str, noon_before: datetime, minutes: int
) -> None:
    assert quiet_minutes(text, noon_before, 24) == minutes


def test_quiet_hours_end_at_six_on_both_sides_of_each_change() -> None:
    for day, hour_in_utc in ((28, 5), (29, 4), (30, 4)):
        six = datetime(2026, 3, day, hour_in_utc, tzinfo=UTC)
        assert NIGHT.contain(six - timedelta(minutes=1), ZURICH)
        assert not NIGHT.contain(six, ZURICH)
    for day, hour_in_utc in ((24, 4), (25, 5), (26, 5)):
        six = datetime(2026, 10, day, hour_in_utc, tzinfo=UTC)
        assert NIGHT.contain(six - timedelta(minutes=1), ZURICH)
        assert not NIGHT.contain(six, ZURICH)


@pytest.mark.parametrize("text", ["", "22-6", "24:00-06:00", "22:60-06:00", "22:00 06:00", "22:00-06:00 ", "7:00-8:00"])
def test_what_is_no_span_of_a_day_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="22:00-06:30"):
        parse_quiet_hours(text)


def test_a_span_without_length_is_refused() -> None:
    with pytest.raises(ValueError, match="different times"):
        parse_quiet_hours("06:00-06:00")


MOMENTS = st.integers(946_684_800_000, 4_102_444_800_000).map(lambda ms: datetime.fromtimestamp(ms / 1000, UTC))


@given(moment=MOMENTS, minutes=st.integers(1, 10_080))
def test_within_each_interval_exactly_one_minute_is_due(moment: datetime, minutes: int) -> None:
    interval_s = minutes * 60
    next_due = moment + timedelta(seconds=seconds_until_due(moment, interval_s))
    assert moment < next_due <= moment + timedelta(seconds=interval_s)
    assert is_due(next_due + timedelta(milliseconds=1), interval_s)
    others = [next_due - timedelta(minutes=number) for number in range(1, min(minutes, 200))]
    assert not any(is_due(other + timedelta(milliseconds=1), interval_s) for other in others)


@pytest.mark.parametrize(
    ("moment", "change"),
    [
        (datetime(2026, 2, 3, 12, tzinfo=UTC), datetime(2026, 2, 3, 21, tzinfo=UTC)),
        (datetime(2026, 2, 3, 21, tzinfo=UTC), datetime(2026, 2, 4, 5, tzinfo=UTC)),
        (datetime(2026, 2, 4, 4, 59, tzinfo=UTC), datetime(2026, 2, 4, 5, tzinfo=UTC)),
        (datetime(2026, 3, 28, 22, tzinfo=UTC), datetime(2026, 3, 29, 4, tzinfo=UTC)),  # put forward in that night
    ],
)
def test_quiet_hours_begin_and_end_at_a_moment_that_is_known_before(moment: datetime, change: datetime) -> None:
    assert NIGHT.next_change(moment, ZURICH) == change
