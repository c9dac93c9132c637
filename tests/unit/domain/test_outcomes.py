"""Reports of a pull request arrive in any order; what is known ends the same."""

from datetime import UTC, datetime, timedelta
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.outcomes import PR_TRANSITIONS, PullRequestState, report_applies

OPEN, CLOSED = PullRequestState.OPEN, PullRequestState.CLOSED
MERGED, REVERTED = PullRequestState.MERGED, PullRequestState.REVERTED
START = datetime(2026, 3, 1, tzinfo=UTC)
# What GitHub itself can do to a pull request, one step at a time.
STEPS = {OPEN: [CLOSED, MERGED], CLOSED: [OPEN], MERGED: [REVERTED], REVERTED: []}

Report = tuple[PullRequestState, datetime]


def take_in(known: Report, report: Report) -> Report:
    return report if report_applies(known[0], known[1], report[0], report[1]) else known


@st.composite
def histories(draw: st.DrawFn) -> list[Report]:
    """What happened to a pull request, each step later than the one before; states may be reported again."""
    state, moment, history = OPEN, START, []
    for _ in range(draw(st.integers(min_value=1, max_value=8))):
        state = draw(st.sampled_from([state, *STEPS[state]]))
        moment += timedelta(seconds=draw(st.integers(min_value=1, max_value=3600)))
        history.append((state, moment))
    return history


@given(histories(), st.data())
def test_reports_in_any_order_and_with_losses_end_in_the_last_one_that_came(
    history: list[Report], data: st.DataObject
) -> None:
    arrived = data.draw(st.lists(st.sampled_from(history), min_size=1))
    known = reduce(take_in, arrived, (OPEN, START))
    assert known == max(arrived, key=lambda report: report[1])


@given(histories())
def test_taking_in_a_report_twice_changes_nothing(history: list[Report]) -> None:
    once = reduce(take_in, history, (OPEN, START))
    twice = reduce(take_in, [event for event in history for _ in range(2)], (OPEN, START))
    assert once == twice


@pytest.mark.parametrize("known", PullRequestState)
@pytest.mark.parametrize("report", PullRequestState)
def test_an_older_report_never_applies(known: PullRequestState, report: PullRequestState) -> None:
    assert not report_applies(known, START, report, START - timedelta(seconds=1))


@pytest.mark.parametrize("known", PullRequestState)
@pytest.mark.parametrize("report", PullRequestState)
@pytest.mark.parametrize("later_s", [0, 1])
def test_of_two_states_the_change_must_be_possible(
    known: PullRequestState, report: PullRequestState, later_s: int
) -> None:
    possible = known is report or report in PR_TRANSITIONS[known]
    assert report_applies(known, START, report, START + timedelta(seconds=later_s)) == possible


def test_nothing_leads_back_from_a_merge_but_a_revert() -> None:
    assert PR_TRANSITIONS[MERGED] == {REVERTED}
    assert PR_TRANSITIONS[REVERTED] == set()
