"""Launching at the pace of the processors: bounded, never nothing, and patient with a busy machine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.launching import (
    CROWDED,
    FULL,
    MAX_HANDOVER,
    SLACK,
    LaunchStage,
    LaunchState,
    ProcessorLoad,
    claim_deadline_s,
    handover_s,
    launches_at_once,
    may_give_up,
    why_not_started,
)

crowdings = st.floats(0, 1e6)
loads = st.builds(ProcessorLoad, st.integers(1, 512), crowdings)
seconds = st.floats(0, 1e6)
launches = st.lists(seconds, max_size=20)
bounds = st.fixed_dictionaries({"least_s": st.floats(1, 1e5), "most_s": st.floats(1, 1e5)})


@given(loads, st.integers(1, 1000))
def test_one_run_may_always_start_and_never_more_than_the_bound(load: ProcessorLoad, most: int) -> None:
    assert 1 <= launches_at_once(load, most) <= min(most, load.processors + 1)


@given(st.integers(1, 512), crowdings, crowdings)
def test_a_busier_machine_starts_no_more_at_once(processors: int, one: float, other: float) -> None:
    calm, busy = (launches_at_once(ProcessorLoad(processors, crowding), 1000) for crowding in sorted((one, other)))
    assert busy <= calm


@given(st.integers(1, 511), crowdings)
def test_more_processors_start_no_fewer_at_once(processors: int, crowding: float) -> None:
    few, more = (launches_at_once(ProcessorLoad(count, crowding), 1000) for count in (processors, processors + 1))
    assert few <= more


@pytest.mark.parametrize(
    ("processors", "crowding", "count"),
    [(2, 0.0, 3), (2, FULL, 2), (2, CROWDED, 2), (2, 5.0, 1), (2, 10.0, 1), (16, 8.0, 8), (1, 0.5, 2), (1, 90.0, 1)],
)
def test_as_many_start_as_the_processors_do(processors: int, crowding: float, count: int) -> None:
    assert launches_at_once(ProcessorLoad(processors, crowding), 1000) == count


@given(launches, loads, bounds)
def test_a_claim_deadline_is_within_its_bounds(
    recent: list[float], load: ProcessorLoad, bound: dict[str, float]
) -> None:
    deadline = claim_deadline_s(recent, load, **bound)
    assert bound["least_s"] <= deadline <= max(bound.values())


@given(launches, seconds, loads, bounds)
def test_a_slower_launch_shortens_no_deadline(
    recent: list[float], slow: float, load: ProcessorLoad, bound: dict[str, float]
) -> None:
    before = claim_deadline_s(recent, load, **bound)
    after = claim_deadline_s([*recent, slow], load, **bound)
    assert before <= after
    assert after >= min(SLACK * slow, max(bound.values()))


@given(launches, st.integers(1, 512), crowdings, crowdings, bounds)
def test_a_busier_machine_shortens_no_deadline(
    recent: list[float], processors: int, one: float, other: float, bound: dict[str, float]
) -> None:
    calm, busy = (
        claim_deadline_s(recent, ProcessorLoad(processors, crowding), **bound) for crowding in sorted((one, other))
    )
    assert calm <= busy


def test_a_quiet_machine_keeps_the_setting_and_a_busy_one_has_longer_before_any_launch_shows_it() -> None:
    bound = {"least_s": 120.0, "most_s": 1800.0}
    assert claim_deadline_s([], ProcessorLoad(2, 0.3), **bound) == 120
    assert claim_deadline_s([5.0, 6.0], ProcessorLoad(2, 0.3), **bound) == 120
    assert claim_deadline_s([5.0, 80.0], ProcessorLoad(2, 0.3), **bound) == 320
    assert claim_deadline_s([], ProcessorLoad(2, 10.0), **bound) == 1200
    assert claim_deadline_s([], ProcessorLoad(2, 100.0), **bound) == 1800


@given(st.sampled_from(LaunchStage), seconds, st.floats(1, 1e5), st.floats(1, 1e5))
def test_what_is_given_up_has_waited_for_its_deadline_or_is_over(
    stage: LaunchStage, waited_s: float, deadline_s: float, most_s: float
) -> None:
    gives_up = may_give_up(stage, waited_s, deadline_s=deadline_s, most_s=most_s)
    assert gives_up or stage is not LaunchStage.OVER
    if gives_up and stage is not LaunchStage.OVER:
        assert waited_s > deadline_s
    if waited_s > max(deadline_s, most_s):
        assert gives_up  # no wait is without an end


def test_a_run_in_dagsters_queue_is_waited_for_longer_than_one_that_does_not_start() -> None:
    bound = {"deadline_s": 120.0, "most_s": 1800.0}
    assert may_give_up(LaunchStage.STARTING, 121, **bound)
    assert not may_give_up(LaunchStage.WAITING, 121, **bound)


@pytest.mark.parametrize("stage", LaunchStage)
def test_each_stage_has_its_reason(stage: LaunchStage) -> None:
    reason = why_not_started(LaunchState(stage, "Dagster's words"), 130.4, ProcessorLoad(2, 10.25))
    if stage is LaunchStage.OVER:
        assert reason == "its run ended before it claimed the attempt: Dagster's words"
    else:
        assert reason.startswith("its run did not start in time: after 130 s ")
        assert reason.endswith("(10.2 processes for each processor, 2 processors for Squire)")


@given(st.floats(1, 1e4), loads)
def test_a_handover_is_a_lease_at_least_and_has_an_end(lease_s: float, load: ProcessorLoad) -> None:
    assert lease_s <= handover_s(lease_s, load) <= lease_s * MAX_HANDOVER
