"""After how many attempts work stops of itself."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.breakers import AttemptCounts, Breaker, BreakerScope, tripped

TOMORROW = datetime(2026, 11, 30, tzinfo=UTC)
BREAKER = Breaker(task=3, issue=5, day=9)


@pytest.mark.parametrize(
    ("counts", "scope"),
    [
        (AttemptCounts(2, 4, 8), None),
        (AttemptCounts(3, 3, 3), BreakerScope.TASK),
        (AttemptCounts(2, 5, 8), BreakerScope.ISSUE),
        (AttemptCounts(0, 0, 9), BreakerScope.DAY),
        (AttemptCounts(3, 5, 9), BreakerScope.TASK),
    ],
)
def test_the_narrowest_breaker_is_named(counts: AttemptCounts, scope: BreakerScope | None) -> None:
    trip = tripped(BREAKER, counts, TOMORROW)
    assert (trip.scope if trip else None) == scope


def test_the_words_say_how_many_there_were_and_what_to_raise() -> None:
    issue = tripped(BREAKER, AttemptCounts(1, 7, 7), TOMORROW)
    assert str(issue) == (
        "a breaker: 7 attempts at the tasks of its issue or pull request, at most 5; look at why, then raise "
        "dispatch.max_attempts_of_issue"
    )
    assert issue is not None
    assert issue.until is None
    day = tripped(BREAKER, AttemptCounts(0, 0, 9), TOMORROW)
    assert day is not None
    assert day.until == TOMORROW


numbers = st.integers(0, 20)


@given(st.builds(AttemptCounts, numbers, numbers, numbers), st.builds(Breaker, *(st.integers(1, 20) for _ in range(3))))
def test_a_breaker_holds_exactly_what_has_reached_a_limit(counts: AttemptCounts, breaker: Breaker) -> None:
    trip = tripped(breaker, counts, TOMORROW)
    reached = [counts.task >= breaker.task, counts.issue >= breaker.issue, counts.day >= breaker.day]
    assert (trip is not None) == any(reached)
    assert trip is None or trip.attempts >= trip.limit
