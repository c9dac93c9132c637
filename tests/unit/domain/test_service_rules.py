"""What follows from facts of services: what is refused, what lapses, what is used up, and who has died."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.conditions import ConditionState, HealthLevel
from squire_pipelines.domain.rate_limits import LimitKind, LimitState
from squire_pipelines.domain.service_rules import (
    DaemonFacts,
    GitHubFacts,
    ModelFacts,
    ProcessFacts,
    SensorFacts,
    credential_state,
    daemon_state,
    github_state,
    models_state,
    planner_state,
    quota_ends_at,
    quota_state,
    sensors_state,
    server_state,
)

OK, DEGRADED, DOWN = HealthLevel.OK, HealthLevel.DEGRADED, HealthLevel.DOWN
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
RUNS = ProcessFacts(is_recorded=True, is_alive=True, pid=7, age_s=3600)
STARTED = replace(RUNS, age_s=15)


def answer(status: int | None, **values: object) -> GitHubFacts:
    return GitHubFacts("https://api.test", status, **values)  # type: ignore[arg-type]


@given(
    status=st.none() | st.integers(100, 599),
    has_credential=st.booleans(),
    locked=st.booleans(),
    is_app=st.booleans(),
)
def test_whatever_github_answers_is_a_state_with_a_step(
    status: int | None, *, has_credential: bool, locked: bool, is_app: bool
) -> None:
    facts = answer(status, has_credential=has_credential, locked=locked, is_app=is_app)
    for state in (github_state(facts), credential_state(facts, now=NOW)):
        assert state is None or (state.hint == "") == (state.level is OK)


@pytest.mark.parametrize(
    ("facts", "level", "says"),
    [
        (answer(200), OK, "takes the token"),
        (answer(404), OK, "takes the token"),
        (answer(401), DOWN, "refuses the token (401)"),
        (answer(401, is_app=True), DOWN, "refuses the App's key"),
        (answer(403, problem="blocked"), DEGRADED, "answers 403 to the token: blocked"),
        (answer(200, has_credential=False), DOWN, "no token"),
        (answer(200, expires_at=NOW + timedelta(days=6)), DEGRADED, "lapses at 2026-03-07"),
        (answer(200, expires_at=NOW + timedelta(days=8)), OK, "takes the token"),
    ],
)
def test_a_credential(facts: GitHubFacts, level: HealthLevel, says: str) -> None:
    state = credential_state(facts, now=NOW)
    assert state is not None
    assert state.level is level
    assert says in state.reason


@pytest.mark.parametrize("facts", [answer(None, problem="ConnectError"), answer(502), answer(200, locked=True)])
def test_nothing_is_known_of_a_credential_that_nobody_could_ask_about(facts: GitHubFacts) -> None:
    assert credential_state(facts, now=NOW) is None


@pytest.mark.parametrize("status", [None, 500, 503])
def test_github_that_does_not_answer_once_may_be_a_hiccup(status: int | None) -> None:
    state = github_state(answer(status))
    assert state.level is DOWN
    assert state.is_doubtful


@given(st.integers(1, 10_000), st.integers(0, 10_000), st.floats(1, 3600))
def test_a_quota_ends_before_its_window_or_not_at_all(quota: int, remaining: int, left_s: float) -> None:
    reset_at = NOW + timedelta(seconds=left_s)
    state = LimitState(quota=quota, remaining=min(remaining, quota), reset_at=reset_at)
    end = quota_ends_at(state, now=NOW)
    assert end is None or NOW <= end < reset_at
    less = LimitState(quota=quota, remaining=min(remaining, quota) // 2, reset_at=reset_at)
    if end is not None:  # with less left, it ends no later
        assert (quota_ends_at(less, now=NOW) or reset_at) <= end


def test_a_quota_that_is_used_too_fast_is_forecast_and_one_that_lasts_is_not() -> None:
    fast = LimitState(quota=5000, remaining=1000, reset_at=NOW + timedelta(minutes=30))
    slow = LimitState(quota=5000, remaining=3000, reset_at=NOW + timedelta(minutes=30))
    state = quota_state({LimitKind.CORE: fast, LimitKind.GRAPHQL: slow}, now=NOW)
    assert state.level is DEGRADED
    assert "(core) is used up at about 12:07 UTC" in state.reason
    assert "renewed at 12:30" in state.reason
    assert quota_state({LimitKind.GRAPHQL: slow}, now=NOW).level is OK
    assert quota_state({}, now=NOW).level is OK
    spent = LimitState(quota=5000, remaining=0, reset_at=NOW + timedelta(minutes=30))
    assert "(core) is used up;" in quota_state({LimitKind.CORE: spent}, now=NOW).reason


def test_a_block_of_github_is_told_until_it_ends() -> None:
    blocked = {LimitKind.CONTENT: LimitState(blocked_until=NOW + timedelta(minutes=5))}
    assert "(content) until 12:05 UTC" in quota_state(blocked, now=NOW).reason
    assert quota_state(blocked, now=NOW + timedelta(minutes=5)).level is OK


WELL, BAD = ConditionState.ok("well"), ConditionState.down("refuses the key", "change it")


@pytest.mark.parametrize(
    ("facts", "level"),
    [
        ((), OK),
        ((ModelFacts("planner", "a", WELL), ModelFacts("agent", "b", WELL)), OK),
        ((ModelFacts("planner", "a", BAD), ModelFacts("agent", "b", WELL)), DEGRADED),
        ((ModelFacts("agent", "a", BAD), ModelFacts("agent", "b", WELL)), DEGRADED),
        ((ModelFacts("planner", "a", WELL), ModelFacts("agent", "b", BAD)), DOWN),
        ((ModelFacts("planner", "a", BAD),), DEGRADED),
    ],
)
def test_models_are_down_when_no_agent_has_one(facts: tuple[ModelFacts, ...], level: HealthLevel) -> None:
    state = models_state(facts)
    assert state.level is level
    assert (state.hint == "") == (level is OK)


def test_a_planner_that_fails_is_told_from_the_third_time_on() -> None:
    assert planner_state(2, "429", "pl1").level is OK
    state = planner_state(3, "429", "pl1")
    assert "3 times in a row: 429" in state.reason
    assert "`squire plans show pl1`" in state.hint


@pytest.mark.parametrize(
    ("facts", "level", "says"),
    [
        (DaemonFacts(RUNS, 10, 5), OK, "runs"),
        (DaemonFacts(RUNS), OK, "runs"),
        (DaemonFacts(ProcessFacts()), DEGRADED, "no daemon runs"),
        (DaemonFacts(ProcessFacts(), 10, 5), OK, "runs"),  # in another container
        (DaemonFacts(ProcessFacts(), 500, 500), DEGRADED, "no daemon runs"),
        (DaemonFacts(ProcessFacts(is_recorded=True)), DOWN, "has died"),
        (DaemonFacts(ProcessFacts(is_recorded=True, is_alive=True, is_suspended=True, pid=7)), DOWN, "suspended"),
        (DaemonFacts(ProcessFacts(is_recorded=True, deaths=4)), DOWN, "has died, 4 times in a row"),
        (DaemonFacts(replace(RUNS, deaths=3, age_s=30), 10, 5), DOWN, "dies soon after each start"),
        (DaemonFacts(replace(RUNS, deaths=3, age_s=130), 10, 5), OK, "runs"),
        (DaemonFacts(replace(RUNS, deaths=2, age_s=30), 10, 5), OK, "runs"),
        (DaemonFacts(RUNS, 10, 100), DEGRADED, "no sensor was evaluated for 100 s"),
        (DaemonFacts(RUNS, 10, 200), DOWN, "no sensor was evaluated for 200 s"),
        (DaemonFacts(RUNS, 10, 5, ("no code location",)), DEGRADED, "no code location"),
        (DaemonFacts(ProcessFacts(), 90, 90, starter=STARTED), OK, "is starting, for 15 s by now"),
        (DaemonFacts(ProcessFacts(), starter=replace(STARTED, age_s=121)), DEGRADED, "no daemon runs"),
        (DaemonFacts(ProcessFacts(), starter=replace(STARTED, is_alive=False)), DEGRADED, "no daemon runs"),
    ],
)
def test_a_daemon(facts: DaemonFacts, level: HealthLevel, says: str) -> None:
    state = daemon_state(facts)
    assert state.level is level
    assert says in state.reason
    assert (state.hint == "") == (level is OK)
    assert state.is_starting == ("is starting" in says)


def test_a_sensor_that_fails_again_or_is_late_is_named() -> None:
    well = SensorFacts("dispatch", 5)
    assert sensors_state([well, SensorFacts("reaper", 9, failures=1)]).level is OK
    assert "the sensor reaper fails: boom" in sensors_state([well, SensorFacts("reaper", 9, 2, "boom")]).reason
    assert "reaper" in sensors_state([well, SensorFacts("reaper", 400)]).reason
    # A sensor of an older version, and all of them while the daemon itself stands still.
    assert sensors_state([well, SensorFacts("old", 1e6)]).level is OK
    assert sensors_state([SensorFacts("dispatch", 400), SensorFacts("reaper", 405)]).level is OK


@pytest.mark.parametrize(("is_vital", "level"), [(True, DOWN), (False, DEGRADED)])
def test_a_server_that_has_died_or_is_suspended_or_silent(level: HealthLevel, *, is_vital: bool) -> None:
    dead = ProcessFacts(is_recorded=True)
    suspended = ProcessFacts(is_recorded=True, is_alive=True, is_suspended=True, pid=7)
    for process, problem, says in (
        (dead, "", "died"),
        (suspended, "", "suspended"),
        (RUNS, "ReadTimeout", "ReadTimeout"),
    ):
        state = server_state("code server", process, problem, is_vital=is_vital)
        assert state.level is level
        assert says in state.reason
    assert server_state("code server", RUNS, "", is_vital=is_vital).level is OK


@pytest.mark.parametrize(
    ("process", "is_starting"),
    [
        (STARTED, True),
        (replace(STARTED, age_s=121), False),
        (replace(STARTED, deaths=1), False),
        (replace(STARTED, is_suspended=True), False),
    ],
)
def test_a_server_that_was_started_moments_ago_is_waited_for_until_it_answers(
    process: ProcessFacts, *, is_starting: bool
) -> None:
    state = server_state("code server", process, "no such file", is_vital=True)
    assert (state.is_starting, state.level is OK) == (is_starting, is_starting)
    assert not server_state("code server", STARTED, "", is_vital=True).is_starting


def test_a_server_that_dies_again_and_again_is_no_hiccup() -> None:
    once = server_state("code server", ProcessFacts(is_recorded=True, deaths=1), "", is_vital=True)
    again = server_state("code server", replace(RUNS, deaths=3, age_s=5), "", is_vital=True)
    assert (once.is_doubtful, again.is_doubtful) == (True, False)
    assert "dies soon after each start, by now 3 times in a row" in again.reason
