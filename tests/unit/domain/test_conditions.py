"""Conditions: since when a level holds, what one doubtful look may change, and how well all of them are together."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.conditions import (
    MAX_TEXT,
    Condition,
    ConditionState,
    HealthLevel,
    next_condition,
    worst_level,
    worst_state,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LEVELS = st.sampled_from(list(HealthLevel))
STATES = st.builds(
    ConditionState, LEVELS, st.text(max_size=3 * MAX_TEXT), st.text(max_size=3 * MAX_TEXT), is_doubtful=st.booleans()
)


def condition(level: HealthLevel, *, age_s: float = 0, since_s: float = 0) -> Condition:
    checked_at = NOW - timedelta(seconds=age_s)
    return Condition("engine", level, "why", "", checked_at - timedelta(seconds=since_s), checked_at, 60)


PREVIOUS = st.none() | st.builds(condition, LEVELS, age_s=st.floats(-7200, 7200), since_s=st.floats(0, 7200))


@given(PREVIOUS, STATES)
def test_a_condition_never_begins_after_it_was_looked_at_whatever_the_clock_does(
    previous: Condition | None, state: ConditionState
) -> None:
    after = next_condition(previous, "engine", state, now=NOW, fresh_for_s=60)
    assert after.since <= after.checked_at == NOW
    assert len(after.reason) <= MAX_TEXT
    assert len(after.hint) <= MAX_TEXT


@given(PREVIOUS, STATES)
def test_since_changes_with_the_level_alone(previous: Condition | None, state: ConditionState) -> None:
    after = next_condition(previous, "engine", state, now=NOW, fresh_for_s=60)
    if previous is not None and previous.level is after.level:
        assert after.since == min(previous.since, NOW)
    else:
        assert after.since == NOW


@given(STATES)
def test_one_doubtful_look_makes_nothing_down_and_the_next_one_does(state: ConditionState) -> None:
    first = next_condition(condition(HealthLevel.OK), "engine", state, now=NOW, fresh_for_s=60)
    second = next_condition(first, "engine", state, now=NOW, fresh_for_s=60)
    if state.is_doubtful and state.level is HealthLevel.DOWN:
        assert first.level is HealthLevel.DEGRADED
    else:
        assert first.level is state.level
    assert second.level is state.level


@given(st.lists(st.builds(condition, LEVELS, age_s=st.floats(-7200, 7200)), max_size=5))
def test_all_together_are_as_the_worst_and_what_nobody_looks_at_is_not_well(conditions: list[Condition]) -> None:
    level = worst_level(conditions, now=NOW)
    assert all(level.severity >= one.level.severity for one in conditions)
    if any(one.is_stale(NOW) for one in conditions):
        assert level is not HealthLevel.OK
    elif all(one.is_ok for one in conditions):
        assert level is HealthLevel.OK


def test_a_clock_that_was_set_back_makes_a_look_stale_and_no_age_negative() -> None:
    ahead = condition(HealthLevel.OK, age_s=-3600)
    assert ahead.is_stale(NOW)
    assert ahead.age_s(NOW) == 0


def test_the_worst_of_no_states_is_none_and_of_equal_ones_the_first() -> None:
    assert worst_state([]) is None
    states = [ConditionState.ok("a"), ConditionState.degraded("b", ""), ConditionState.degraded("c", "")]
    assert worst_state(states) == states[1]
