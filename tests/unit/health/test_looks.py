"""Looks: what is due, what is kept between them and for other processes, and a clock that is set."""

import stat
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from squire_pipelines.domain.conditions import ORDER, ConditionState, HealthLevel
from squire_pipelines.health.looks import LEAST_WAIT_S, HealthLooks, JumpWatch
from squire_pipelines.health.probe import Probe, States
from squire_pipelines.health.stored_conditions import conditions_file, current_conditions
from squire_pipelines.home import Home

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DOWN = ConditionState.down("no engine answers", "start it")
OK = ConditionState.ok("well")


class World:
    """What the probes see, and the two clocks."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.states: dict[str, States] = {"engine": {"engine": OK}, "github": {"github": OK, "github_token": OK}}
        self.names = {"engine": ("engine",), "github": ("github", "github_token")}
        self.every_s = 20.0
        self.seconds = 0.0
        self.set_by = timedelta()
        self.runs: list[str] = []

    def probes(self) -> Sequence[Probe]:
        def run(name: str) -> States:
            self.runs.append(name)
            return self.states[name]

        return [Probe(n, self.names[n], self.every_s, 5, lambda n=n: run(n)) for n in self.states]  # type: ignore[misc]

    def looks(self) -> HealthLooks:
        return HealthLooks(
            self.home,
            self.probes,
            now=lambda: NOW + timedelta(seconds=self.seconds) + self.set_by,
            monotonic=lambda: self.seconds,
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(Home(config=tmp_path, data=tmp_path, cache=tmp_path, state=tmp_path))


def test_a_look_runs_what_is_due_by_the_monotonic_clock_and_all_after_the_other_was_set(world: World) -> None:
    looks = world.looks()
    looks.look()
    world.seconds, world.set_by = 10, timedelta(seconds=3)
    looks.look()
    assert len(world.runs) == 2
    world.seconds = 20
    looks.look()
    assert len(world.runs) == 4
    for hours in (1, -1):
        world.seconds, world.set_by = world.seconds + 5, timedelta(hours=hours)
        conditions = looks.look()
        now = NOW + timedelta(seconds=world.seconds) + world.set_by
        assert not any(condition.is_stale(now) for condition in conditions)
    assert len(world.runs) == 8
    world.seconds += 5
    looks.look()
    assert len(world.runs) == 8


def test_the_next_look_is_when_a_probe_is_due_and_at_most_a_second_is_lost_by_one_that_is_late(world: World) -> None:
    looks = world.looks()
    assert looks.wait_s(10) == 10
    looks.look()
    assert looks.wait_s(10) == 10
    world.seconds = 14
    assert looks.wait_s(10) == 6
    world.seconds = 25
    assert looks.wait_s(10) == LEAST_WAIT_S
    del world.states["engine"]
    looks.look()
    assert looks.wait_s(30) == 20


def test_another_process_reads_what_was_seen_and_since_when(world: World) -> None:
    looks = world.looks()
    looks.look()
    world.states["engine"], world.seconds = {"engine": DOWN}, 20
    looks.look()
    world.seconds = 40
    assert looks.look() == current_conditions(world.home) == looks.conditions
    engine, github, token = current_conditions(world.home)
    assert (engine.name, engine.level, engine.reason, engine.hint) == ("engine", HealthLevel.DOWN, *texts(DOWN))
    assert engine.since == NOW + timedelta(seconds=20)
    assert engine.checked_at == NOW + timedelta(seconds=40)
    assert github.since == token.since == NOW
    assert stat.S_IMODE(conditions_file(world.home).stat().st_mode) == 0o600


def texts(state: ConditionState) -> tuple[str, str]:
    return state.reason, state.hint


def test_since_survives_a_restart(world: World) -> None:
    world.looks().look()
    world.seconds = 500
    (engine, *_) = world.looks().look()
    assert engine.since == NOW
    assert engine.checked_at == NOW + timedelta(seconds=500)


def test_what_a_probe_does_not_know_any_more_is_forgotten_unless_it_did_not_answer(world: World) -> None:
    looks = world.looks()
    looks.look()
    world.states["github"], world.seconds = {"github": ConditionState.down("silent", "wait", is_doubtful=True)}, 20
    assert [one.name for one in looks.look()] == ["engine", "github", "github_token"]
    world.states["github"], world.seconds = {"github": OK}, 40
    assert [one.name for one in looks.look()] == ["engine", "github"]


def test_what_no_process_looks_at_any_more_is_forgotten(world: World) -> None:
    looks = world.looks()
    looks.look()
    del world.states["engine"]
    world.seconds = 20
    assert "engine" in [one.name for one in looks.look()]  # another process may look at it
    world.seconds = 200
    assert "engine" not in [one.name for one in looks.look()]


@pytest.mark.parametrize("content", [b"", b"{", b'{"conditions": [{"name": "engine"}]}', b"\xff" * 10])
def test_a_file_that_cannot_be_read_says_nothing_and_is_written_anew(world: World, content: bytes) -> None:
    path = conditions_file(world.home)
    path.parent.mkdir()
    path.write_bytes(content)
    assert current_conditions(world.home) == ()
    world.looks().look()
    assert current_conditions(world.home)


def test_a_home_that_takes_no_file_is_looked_at_all_the_same(world: World) -> None:
    world.home.run.write_text("no folder")
    looks = world.looks()
    assert [one.name for one in looks.look()] == ["engine", "github", "github_token"]
    world.states["engine"], world.seconds = {"engine": DOWN}, 30
    assert looks.look()[0].level is HealthLevel.DOWN
    world.seconds = 60
    assert looks.look()[0].since == NOW + timedelta(seconds=30)


def test_the_order_names_each_condition_once() -> None:
    assert len(ORDER) == len(set(ORDER))


def test_a_clock_that_is_set_has_jumped_until_it_is_set_right_or_ten_minutes_are_over() -> None:
    wall, monotonic = 1000.0, 0.0
    watch = JumpWatch(wall=lambda: wall, monotonic=lambda: monotonic)
    wall, monotonic = 1010.5, 10.0
    assert watch.jump_s() == 0
    wall, monotonic = 4620.0, 20.0
    assert watch.jump_s() == pytest.approx(3600, abs=1)
    wall, monotonic = 4630.0, 30.0
    assert watch.jump_s() == pytest.approx(3600, abs=1)
    wall, monotonic = 1040.0, 40.0
    assert watch.jump_s() == pytest.approx(0, abs=1)
    wall, monotonic = 1050.0 - 3600, 50.0
    assert watch.jump_s() == pytest.approx(-3600, abs=2)
    wall, monotonic = wall + 700, 750.0
    assert watch.jump_s() == 0
