"""Targets: missed when a long and a short window burn too fast, and not by one bad task."""

from datetime import UTC, datetime, timedelta

import pytest

from squire_pipelines.domain.targets import MIN_BAD, TargetEvent, TargetName, Targets, burn_rate, missed_targets

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SHOP = "acme/shop"
FAILURE = TargetName.TASK_FAILURE


def test_a_missed_time_names_the_target_the_worst_one_and_its_task() -> None:
    late = [
        TargetEvent(SHOP, TargetName.READY_TO_AGENT, NOW, is_bad=True, task_id=f"t{s}", taken_s=s) for s in (40, 90, 50)
    ]
    (missed,) = missed_targets(late, {SHOP: Targets()}, now=NOW)
    assert missed.text.startswith("3 of 3 in 1 h missed ready_to_agent of ")
    assert missed.text.endswith("; within 30 s is the target, and the worst took 90 s")
    assert "`squire tasks show t90`" in missed.hint


def events(bad: int, good: int, *, ago_s: float) -> list[TargetEvent]:
    at = NOW - timedelta(seconds=ago_s)
    return [TargetEvent(SHOP, FAILURE, at, is_bad=index < bad) for index in range(bad + good)]


def missed(*parts: list[TargetEvent], targets: Targets | None = None) -> list[tuple[str, int, int, float]]:
    listed = [event for part in parts for event in part]
    judged = missed_targets(listed, {SHOP: targets or Targets()}, now=NOW)
    return [(one.window.name, one.bad, one.events, round(one.burn_rate, 2)) for one in judged]


def test_what_fails_nearly_always_within_the_hour_and_now_is_missed_at_once() -> None:
    assert missed(events(4, 1, ago_s=60)) == [("1 h", 4, 5, 16.0)]


def test_what_has_stopped_failing_is_not_missed_by_the_short_windows() -> None:
    assert missed(events(4, 0, ago_s=1200), events(0, 1, ago_s=10)) == [("6 h", 4, 5, 16.0)]
    assert missed(events(4, 0, ago_s=7 * 3600), events(0, 1, ago_s=10)) == []


def test_what_fails_a_little_too_often_for_days_is_missed_by_the_longest_window() -> None:
    assert missed(events(3, 37, ago_s=3600 * 2)) == [("3 d", 3, 40, 1.5)]
    assert missed(events(3, 37, ago_s=3600 * 2), targets=Targets(task_failure=0.1)) == []


@pytest.mark.parametrize("bad", range(MIN_BAD))
def test_a_few_bad_ones_are_no_miss_however_few_there_were(bad: int) -> None:
    assert missed(events(bad, 0, ago_s=60)) == []


def test_a_repository_that_the_settings_do_not_have_has_no_target() -> None:
    assert missed_targets(events(9, 0, ago_s=60), {}, now=NOW) == ()


def test_a_rate_is_how_many_times_as_many_as_allowed() -> None:
    rates = [burn_rate(0, 0, 0.05), burn_rate(1, 20, 0.05), burn_rate(1, 1, 0.0), burn_rate(0, 1, 0.0)]
    assert rates == [0.0, pytest.approx(1.0), float("inf"), 0.0]
    shares = [round(Targets().allowed(target), 6) for target in TargetName]
    assert shares == [0.05, 0.01, 0.05, 0.05]
