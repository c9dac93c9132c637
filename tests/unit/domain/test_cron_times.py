"""When cron times come, on ordinary days and on those on which the clocks are changed."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from squire_pipelines.domain.cron_times import CronTimes, check_cron, exists, moment_of

BERLIN, LORD_HOWE, APIA = "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia"
ZONES = ("UTC", BERLIN, "America/New_York", "Asia/Kolkata", LORD_HOWE, APIA, "America/St_Johns")
CRONS = ("0 3 * * 1", "30 2 * * *", "*/20 2 * * *", "0 * * * *", "*/15 * * * *", "0 */2 * * *", "45 23 28-31 * *")


def times(cron: str, zone: str, after: str, count: int) -> list[str]:
    """The next times, in UTC."""
    moment = datetime.fromisoformat(after).replace(tzinfo=UTC)
    shown = []
    for _ in range(count):
        moment = CronTimes(cron, ZoneInfo(zone)).after(moment)
        shown.append(f"{moment:%m-%d %H:%M}")
    return shown


@pytest.mark.parametrize(
    ("cron", "zone", "after", "expected"),
    [
        ("0 3 * * 1", BERLIN, "2026-01-01", ["01-05 02:00", "01-12 02:00"]),
        ("0 3 * * 1", BERLIN, "2026-03-25", ["03-30 01:00", "04-06 01:00"]),
        # Put forward: 02:30 is not shown, and comes as the clocks are changed.
        ("30 2 * * *", BERLIN, "2026-03-28", ["03-28 01:30", "03-29 01:00", "03-30 00:30"]),
        ("*/20 2 * * *", BERLIN, "2026-03-28T20:00", ["03-29 01:00", "03-30 00:00", "03-30 00:20"]),
        # Put back: 02:30 is shown twice, and comes the first time.
        ("30 2 * * *", BERLIN, "2026-10-24T12:00", ["10-25 00:30", "10-26 01:30"]),
        ("0 */2 * * *", BERLIN, "2026-10-24T22:00", ["10-25 00:00", "10-25 03:00"]),
        # For any hour, it is the time that passes.
        ("30 * * * *", BERLIN, "2026-10-24T23:00", ["10-24 23:30", "10-25 00:30", "10-25 01:30", "10-25 02:30"]),
        ("0 * * * *", BERLIN, "2026-03-29T00:00", ["03-29 01:00", "03-29 02:00"]),
        ("*/15 * * * *", LORD_HOWE, "2026-04-04T14:40", ["04-04 14:45", "04-04 15:00", "04-04 15:15", "04-04 15:30"]),
        # A day that never was: it comes as that of the day after begins.
        ("0 12 * * *", APIA, "2011-12-29T00:00", ["12-29 22:00", "12-30 10:00", "12-30 22:00"]),
        ("0 0 29 2 *", "UTC", "2026-01-01", ["02-29 00:00"]),
    ],
)
def test_times_are_those_of_debians_cron(cron: str, zone: str, after: str, expected: list[str]) -> None:
    assert times(cron, zone, after, len(expected)) == expected


@given(
    cron=st.sampled_from(CRONS),
    zone=st.sampled_from(ZONES),
    start=st.datetimes(datetime(2010, 1, 1), datetime(2030, 1, 1)),  # noqa: DTZ001 - hypothesis wants naive ones
)
@settings(max_examples=150, deadline=None)
def test_each_time_is_after_the_one_before_and_shown_by_the_clocks_unless_they_pass_over_it(
    cron: str, zone: str, start: datetime
) -> None:
    times_of = CronTimes(cron, ZoneInfo(zone))
    moment = start.replace(tzinfo=UTC)
    for _ in range(4):
        following = times_of.after(moment)
        assert following > moment
        # From anywhere before it, it is the same one: how often and when somebody looks does not matter.
        between = moment + (following - moment) / 2
        assert times_of.after(between) == following
        assert times_of.after(following - timedelta(seconds=1)) == following
        moment = following


def test_a_time_that_is_not_shown_is_the_moment_of_the_change() -> None:
    berlin = ZoneInfo(BERLIN)
    hidden, ordinary = datetime(2026, 3, 29, 2, 30), datetime(2026, 3, 29, 3, 30)  # noqa: DTZ001 - by the clock
    assert (exists(hidden, berlin), exists(ordinary, berlin)) == (False, True)
    assert moment_of(hidden, berlin) == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
    assert moment_of(ordinary, berlin) == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize("text", ["R R * * *", "0 r(1-5) * * *"])
def test_a_cron_text_that_is_drawn_by_chance_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="others at each look"):
        check_cron(text)


@pytest.mark.parametrize("text", ["0 3 * * FRI", "0 3 1 mar,apr *", "15 4 * * thu"])
def test_names_of_days_and_months_are_no_chance(text: str) -> None:
    assert check_cron(text) == text


@pytest.mark.parametrize(
    ("cron", "problem"),
    [
        ("*/90 * * * *", r"\*/90 does not mean every 90 minutes: of these a step has 60 at most"),
        ("0 */36 * * *", "every 36 hours: of these a step has 24 at most"),
        ("0 0 */45 * *", "every 45 days"),
        ("\u0663 * * * *", "ASCII"),
        (f"{','.join(['1'] * 500)} * * * *", "at most 500"),
    ],
)
def test_what_would_come_at_other_times_than_it_seems_to_say_is_refused(cron: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        check_cron(cron)


@pytest.mark.parametrize("cron", ["*/60 * * * *", "0 */24 * * *", "@daily", "0 0 1-31/2 */12 */7"])
def test_a_step_as_long_as_its_field_is_one(cron: str) -> None:
    assert check_cron(cron) == cron
