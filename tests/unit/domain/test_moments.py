"""Moments from outside: within what every store holds, and written so that text sorts as time does."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.moments import check_moment, moment_text, parse_moment

ZONES = st.builds(timezone, st.integers(-14 * 60, 14 * 60).map(lambda minutes: timedelta(minutes=minutes)))
MOMENTS = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31), timezones=ZONES)  # noqa: DTZ001 - the zones come apart


@given(MOMENTS, MOMENTS)
def test_a_moment_is_kept_in_utc_and_sorts_as_text_or_is_refused(one: datetime, other: datetime) -> None:
    taken = []
    for moment in (one, other):
        try:
            in_utc = check_moment(moment)
        except ValueError as error:
            assert "between the years" in str(error)  # noqa: PT017 - generated values are either
            return
        assert in_utc == moment
        assert in_utc.tzinfo is UTC
        assert parse_moment(moment_text(in_utc)) == moment
        taken.append(in_utc)
    assert (taken[0] < taken[1]) == (moment_text(taken[0]) < moment_text(taken[1]))
    assert len(moment_text(taken[0])) == len("2026-01-02T03:04:05.000006Z")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("2026-01-01T00:00:00", "has no time zone"),
        ("0001-01-01T00:00:00+14:00", "between the years"),
        ("9999-12-31T23:59:59-14:00", "between the years"),
        ("1970-01-01T00:00:00+14:00", "between the years"),
        ("yesterday", "isoformat"),
        (5, "ISO 8601"),
    ],
)
def test_what_is_no_moment_is_refused_with_the_reason(text: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_moment(text)


def test_a_year_has_four_digits_in_text() -> None:
    assert moment_text(datetime(7, 1, 1, tzinfo=UTC)) == "0007-01-01T00:00:00.000000Z"
