"""What becomes of alerts from look to look: sent once, repeated, silenced, over once; whatever the clock does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.alert_rules import (
    DEFAULT_POLICIES,
    AlertRule,
    Assessment,
    FiringAlert,
    RulePolicy,
    Severity,
)
from squire_pipelines.domain.alert_steps import AlertState, NoticeKind, Silence, next_step

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
ENGINE = FiringAlert(AlertRule.ENGINE_LOST, "engine on host", Severity.CRITICAL, "it does not answer", "start it")
SLOW = FiringAlert(AlertRule.MODEL_LOST, "models on host", Severity.WARNING, "no answer", "wait")
KNOWN = frozenset({ENGINE.key, SLOW.key})


@dataclass
class Looks:
    """The alerts of a home from look to look."""

    policies: Mapping[AlertRule, RulePolicy] = field(default_factory=lambda: DEFAULT_POLICIES)
    silences: Sequence[Silence] = ()
    now: datetime = START
    states: dict[str, AlertState] = field(default_factory=dict)
    ids: "count[int]" = field(default_factory=count)

    def look(
        self, *alerts: FiringAlert, after_s: float = 10, known: frozenset[str] = KNOWN, clock_was_set: bool = False
    ) -> list[str]:
        """Return what the one message of this look says."""
        self.now += timedelta(seconds=after_s)
        seen = Assessment({alert.key: alert for alert in alerts}, known_keys=known)
        step = next_step(
            tuple(self.states.values()),
            seen,
            self.silences,
            self.policies,
            now=self.now,
            new_id=lambda: str(next(self.ids)),
            clock_was_set=clock_was_set,
        )
        self.states |= {state.key: state for state in step.changed}
        over = {state.key for state in self.states.values() if state.ended_at}
        self.states = {key: state for key, state in self.states.items() if key not in over}
        return [f"{notice.kind.value} {notice.state.rule}" for notice in step.notices]


def test_what_is_critical_is_sent_at_once_and_not_again_and_its_end_once() -> None:
    looks = Looks()
    assert looks.look(ENGINE) == ["new engine_lost"]
    assert [looks.look(ENGINE) for _ in range(9)] == [[]] * 9
    assert [looks.look() for _ in range(4)] == [[], [], [], ["over engine_lost"]]
    assert (looks.look(), looks.states) == ([], {})
    assert looks.look(ENGINE) == ["new engine_lost"]


def test_a_warning_has_to_last_and_one_that_goes_by_itself_is_never_sent() -> None:
    looks = Looks()
    assert [looks.look(SLOW), looks.look(SLOW), looks.look()] == [[], [], []]
    assert looks.states == {}
    assert [looks.look(SLOW) for _ in range(4)] == [[], [], [], ["new model_lost"]]


def test_what_comes_and_goes_is_one_alert() -> None:
    looks = Looks()
    sent = [looks.look(*alerts) for alerts in ((ENGINE,), (), (ENGINE,), (), (ENGINE,), (ENGINE,))]
    assert sent == [["new engine_lost"], [], [], [], [], []]


def test_what_gets_worse_is_sent_again_and_what_gets_better_is_not() -> None:
    looks = Looks()
    worse = FiringAlert(SLOW.rule, SLOW.subject, Severity.CRITICAL, SLOW.reason, SLOW.hint)
    looks.look(SLOW)
    assert looks.look(SLOW, after_s=30) == ["new model_lost"]
    assert looks.look(worse) == ["worse model_lost"]
    assert [looks.look(SLOW), looks.look(worse)] == [[], []]


def test_what_lasts_is_repeated_after_its_interval_or_never() -> None:
    looks = Looks(
        {
            **DEFAULT_POLICIES,
            ENGINE.rule: RulePolicy(repeat_after_s=60),
            SLOW.rule: RulePolicy(after_s=0, repeat_after_s=0),
        }
    )
    assert looks.look(ENGINE, SLOW) == ["new engine_lost", "new model_lost"]
    assert [looks.look(ENGINE, SLOW) for _ in range(6)][4:] == [[], ["repeated engine_lost"]]
    assert looks.look(ENGINE, SLOW, after_s=10 * 86_400) == ["repeated engine_lost"]


def silence(match: str, until_s: float) -> Silence:
    return Silence("s", match, "", "ann", START, START + timedelta(seconds=until_s))


def test_what_is_silenced_is_sent_after_the_silences_end_if_it_still_fires() -> None:
    for match in (ENGINE.rule.value, ENGINE.key, "*"):
        looks = Looks(silences=[silence(match, 35)])
        assert [looks.look(ENGINE) for _ in range(4)] == [[], [], [], ["new engine_lost"]]
    other = Looks(silences=[silence("model_lost", 35)])
    assert other.look(ENGINE) == ["new engine_lost"]


def test_what_is_over_within_a_silence_was_never_sent_but_the_end_of_what_was_sent_before_is() -> None:
    quiet = Looks(silences=[silence("*", 600)])
    assert [quiet.look(ENGINE), quiet.look()] == [[], []]
    assert quiet.states == {}
    looks = Looks()
    looks.look(ENGINE)
    looks.silences = [silence("*", 600)]
    assert [looks.look() for _ in range(4)][-1] == ["over engine_lost"]


def test_what_is_not_known_neither_begins_nor_ends_until_nobody_has_looked_for_long() -> None:
    looks = Looks()
    looks.look(ENGINE)
    assert [looks.look(known=frozenset(), after_s=600) for _ in range(5)] == [[]] * 5
    assert looks.look(known=frozenset(), after_s=601) == ["unknown engine_lost"]
    assert looks.states == {}


@pytest.mark.parametrize("jump_s", [3600, -3600])
def test_one_outage_is_one_alert_though_the_clock_is_set_by_an_hour(jump_s: float) -> None:
    looks = Looks()
    assert looks.look(ENGINE) == ["new engine_lost"]
    # At that look nobody knows yet how the engine is; at the next ones it is still gone.
    assert looks.look(after_s=jump_s, known=frozenset(), clock_was_set=True) == []
    assert [looks.look(ENGINE) for _ in range(5)] == [[]] * 5
    # And what comes and goes is one alert, also where the clock is set in between.
    assert [looks.look(), looks.look(after_s=jump_s, clock_was_set=True), looks.look(ENGINE)] == [[]] * 3
    assert [looks.look() for _ in range(4)][-1] == ["over engine_lost"]


def test_what_lasts_is_repeated_on_time_after_the_clock_was_set_back() -> None:
    looks = Looks({**DEFAULT_POLICIES, ENGINE.rule: RulePolicy(repeat_after_s=60)})
    looks.look(ENGINE)
    looks.look(ENGINE, after_s=-86_400, clock_was_set=True)
    assert looks.look(ENGINE, after_s=60) == ["repeated engine_lost"]


def test_a_rule_that_is_switched_off_ends_its_alerts_without_a_word() -> None:
    looks = Looks()
    looks.look(ENGINE)
    looks.policies = {**DEFAULT_POLICIES, ENGINE.rule: RulePolicy(is_enabled=False)}
    assert looks.look(ENGINE) == []
    assert looks.states == {}


def test_many_at_one_moment_are_in_one_message() -> None:
    assert Looks().look(ENGINE, FiringAlert(AlertRule.DISK_FULL, "disk", Severity.CRITICAL, "full", "")) == [
        "new engine_lost",
        "new disk_full",
    ]


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.floats(-7200, 7200)), max_size=40))
def test_each_alert_begins_once_before_it_ends_once_whatever_the_clock_does(
    looks: list[tuple[bool, bool, float]],
) -> None:
    world = Looks()
    sent = [
        line
        for fires, is_known, after_s in looks
        for line in world.look(*((ENGINE,) if fires else ()), after_s=after_s, known=KNOWN if is_known else frozenset())
    ]
    kinds = [line.split()[0] for line in sent if not line.startswith("repeated")]
    ends = {NoticeKind.OVER.value, NoticeKind.UNKNOWN.value}
    assert all((kind == "new") is (index % 2 == 0) for index, kind in enumerate(kinds))
    assert all(kind in ends for kind in kinds[1::2])
    assert all(state.began_at <= max(world.now, state.seen_at) for state in world.states.values())


def test_a_look_at_what_is_as_it_was_changes_nothing_for_a_minute() -> None:
    looks = Looks()
    looks.look(ENGINE)
    state = looks.states[ENGINE.key]
    looks.look(ENGINE)
    assert looks.states[ENGINE.key] is state
    looks.look(ENGINE, after_s=60)
    assert looks.states[ENGINE.key].seen_at > state.seen_at
