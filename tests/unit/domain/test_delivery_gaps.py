"""Which deliveries are missing, from when on to compare, and which are asked for again when."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from squire_pipelines.domain.delivery_gaps import (
    KEPT_FOR,
    OVERLAP,
    DeliveryAttempt,
    DeliveryGap,
    LastCheck,
    cause_of,
    choose_probe,
    compare_since,
    find_gaps,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def attempt(
    guid: str, *, minutes_ago: float = 10, status: int = 502, number: int = 1, again: bool = False
) -> DeliveryAttempt:
    at = NOW - minutes_ago * MINUTE
    return DeliveryAttempt(number, guid, at, status, "push", repository_id=7, is_redelivery=again)


def gap(*attempts: DeliveryAttempt) -> DeliveryGap:
    return DeliveryGap(attempts)


def test_what_is_not_here_is_a_gap_by_its_guid_however_it_was_answered() -> None:
    attempts = [
        attempt("here", status=502),
        attempt("lost", minutes_ago=5, status=502, number=9, again=True),
        attempt("lost", minutes_ago=20, status=504),
        attempt("elsewhere", status=202),
    ]
    lost, elsewhere = find_gaps(attempts, {"here"}, NOW)
    assert (lost.guid, lost.newest.id, lost.first_at, lost.is_failed) == ("lost", 9, NOW - 20 * MINUTE, True)
    assert (elsewhere.guid, elsewhere.is_failed) == ("elsewhere", False)


@pytest.mark.parametrize(("under_way", "seconds_ago", "is_gap"), [(True, 5, False), (True, 60, True), (False, 5, True)])
def test_a_delivery_that_has_not_ended_may_still_arrive(*, under_way: bool, seconds_ago: int, is_gap: bool) -> None:
    young = replace(attempt("g", minutes_ago=seconds_ago / 60, status=0), is_under_way=under_way)
    assert bool(find_gaps([young], (), NOW)) is is_gap


@pytest.mark.parametrize(
    ("minutes_ago", "is_due"),
    [((10,), True), ((0,), True), ((5, 30), False), ((25, 50), True), ((4, 5, 6), True)],
    ids=["never asked for", "just lost", "asked 5 min ago, lost 30 min ago", "as long ago as before", "asked twice"],
)
def test_each_distance_between_two_requests_is_twice_the_last(minutes_ago: tuple[float, ...], *, is_due: bool) -> None:
    attempts = [attempt("g", minutes_ago=ago, again=index > 0) for index, ago in enumerate(minutes_ago)]
    assert gap(*attempts).is_due(NOW) is is_due


def test_what_another_receiver_took_when_it_came_again_is_not_asked_for_once_more() -> None:
    taken = gap(attempt("g", minutes_ago=60, status=200, again=True), attempt("g", minutes_ago=61))
    assert (taken.is_astray, taken.is_due(NOW)) == (True, False)


@pytest.mark.parametrize(
    ("last", "since"),
    [
        (None, NOW - KEPT_FOR),
        (LastCheck(NOW - 30 * MINUTE, NOW - 15 * MINUTE, None), NOW - 15 * MINUTE - OVERLAP),
        (LastCheck(NOW - 30 * MINUTE, NOW - 15 * MINUTE, "1 delivery is not here"), NOW - 30 * MINUTE),
        (LastCheck(NOW - 9 * KEPT_FOR, NOW - 8 * KEPT_FOR, "hidden"), NOW - KEPT_FOR),
    ],
    ids=["the first", "all is well", "something is left", "longer ago than GitHub keeps them"],
)
def test_a_comparison_goes_on_where_the_last_one_left_off(last: LastCheck | None, since: datetime) -> None:
    assert compare_since(last, NOW) == since


def test_the_one_asked_for_least_is_the_probe() -> None:
    often, once = gap(attempt("a"), attempt("a")), gap(attempt("b"))
    assert choose_probe([often, once]) is once


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "another secret"),
        (0, "no answer"),
        (504, "no answer"),
        (413, "larger"),
        (202, "another receiver"),
        (404, "404"),
    ],
)
def test_each_kind_of_answer_names_its_cause_and_what_to_do(status: int, words: str) -> None:
    cause, hint = cause_of(status)
    assert words in cause
    assert hint
