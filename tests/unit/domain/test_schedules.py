"""Rhythms and first times of schedules."""

from datetime import UTC, datetime

import pytest

from squire_pipelines.domain.schedules import MAX_MISSED, Rhythm, parse_start

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("2026-03-02T09:00", "UTC", "2026-03-02T09:00:00+00:00"),
        ("2026-03-02 09:00", "Europe/Berlin", "2026-03-02T08:00:00+00:00"),
        ("2026-07-02T09:00", "Europe/Berlin", "2026-07-02T07:00:00+00:00"),
        ("2026-03-02T09:00+05:30", "Europe/Berlin", "2026-03-02T03:30:00+00:00"),
        ("2026-03-02T09:00Z", "Europe/Berlin", "2026-03-02T09:00:00+00:00"),
        ("2026-10-25T02:30", "Europe/Berlin", "2026-10-25T00:30:00+00:00"),
    ],
)
def test_a_time_is_by_the_clocks_of_the_zone_unless_it_has_an_offset(text: str, zone: str, expected: str) -> None:
    assert parse_start(text, zone, NOW).isoformat() == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("tomorrow", "not a time"),
        ("2026-13-01T00:00", "not a time"),
        ("2026-03-02", "no time of day"),
        ("2026-03-01T12:00", "is past"),
        ("2020-01-01T00:00", "is past"),
        ("2226-01-01T00:00", "five years"),
        ("9999-12-31T23:59", "time|five years"),
        ("2026-03-29T02:30", "never show"),
        ("", "not a time"),
    ],
)
def test_what_is_no_time_or_cannot_be_waited_for_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_start(text, "Europe/Berlin" if "03-29" in text else "UTC", NOW)


def test_missed_times_are_counted_up_to_a_bound() -> None:
    hourly = Rhythm("0 * * * *", "UTC")
    assert hourly.count_missed(NOW, NOW) == 0
    assert hourly.count_missed(NOW, NOW.replace(hour=15, minute=59)) == 3
    assert hourly.count_missed(NOW, NOW.replace(year=2027)) == MAX_MISSED


def test_what_is_due_once_has_no_time_after_it() -> None:
    once = Rhythm(None, "UTC", once_at=NOW)
    assert once.after(NOW.replace(hour=11)) == NOW
    assert once.after(NOW) is None
