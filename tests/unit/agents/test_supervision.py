"""Watching a run, on a clock and a process made of values."""

from dataclasses import dataclass, field

import pytest

from squire_pipelines.agents.supervision import supervise
from squire_pipelines.domain.endings import Cause
from squire_pipelines.errors import EngineError


@dataclass
class FakeRun:
    """Ends at `ends_at`, when asked after `obeys_after`, when killed after `dies_after`; None: never."""

    ends_at: float | None = None
    obeys_after: float | None = 0.0
    dies_after: float | None = 0.0
    now: float = 100.0
    asked: list[tuple[str, float]] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    def _end(self) -> float:
        ends = [self.ends_at + 100.0] if self.ends_at is not None else []
        for signal, at in self.asked:
            after = self.obeys_after if signal == "terminate" else self.dies_after
            ends += [at + after] if after is not None else []
        return min(ends, default=float("inf"))

    def wait(self, timeout_s: float) -> bool:
        assert 0 < timeout_s <= 1.0
        self.now = min(self.now + timeout_s, max(self.now, self._end()))
        return self.now >= self._end()

    def terminate(self) -> None:
        self.asked.append(("terminate", self.now))

    def kill(self) -> None:
        self.asked.append(("kill", self.now))

    def since_start(self) -> list[tuple[str, float]]:
        return [(signal, round(at - 100.0, 1)) for signal, at in self.asked]


@dataclass
class Beats:
    run: FakeRun
    cancel_at: float = float("inf")
    problem_at: float = float("inf")
    beats: int = 0

    def heartbeat(self) -> bool:
        self.beats += 1
        return self.run.now < 100.0 + self.cancel_at

    def problem(self) -> Cause | None:
        return Cause.LOG_OVERFLOW if self.run.now >= 100.0 + self.problem_at else None


def watch(
    run: FakeRun, beats: Beats | None = None, *, wall_clock_s: float = 60.0, grace_s: float = 5.0
) -> Cause | None:
    beats = beats or Beats(run)
    return supervise(
        run,
        wall_clock_s=wall_clock_s,
        grace_s=grace_s,
        heartbeat=beats.heartbeat,
        problem=beats.problem,
        clock=run.clock,
    )


def test_a_run_that_ends_by_itself_is_left_alone() -> None:
    run = FakeRun(ends_at=3.5)
    beats = Beats(run)
    assert watch(run, beats) is None
    assert run.asked == []
    assert beats.beats == 3


def test_the_wall_clock_asks_first() -> None:
    run = FakeRun(obeys_after=1.0)
    assert watch(run, wall_clock_s=10) is Cause.TIMEOUT
    assert run.since_start() == [("terminate", 10.0)]


def test_who_does_not_listen_is_killed_after_the_grace() -> None:
    run = FakeRun(obeys_after=None)
    assert watch(run, wall_clock_s=10, grace_s=5) is Cause.TIMEOUT
    assert run.since_start() == [("terminate", 10.0), ("kill", 15.0)]


def test_without_grace_the_kill_comes_at_once() -> None:
    run = FakeRun()
    assert watch(run, wall_clock_s=10, grace_s=0) is Cause.TIMEOUT
    assert run.since_start() == [("kill", 10.0)]


def test_a_cancellation_stops_the_run_and_the_heart_beats_on() -> None:
    run = FakeRun(obeys_after=3.5)
    beats = Beats(run, cancel_at=2)
    assert watch(run, beats) is Cause.CANCELLED
    assert run.since_start() == [("terminate", 2.0)]
    assert beats.beats == 5


def test_an_overflow_is_killed_at_once() -> None:
    run = FakeRun()
    assert watch(run, Beats(run, problem_at=2)) is Cause.LOG_OVERFLOW
    assert run.since_start() == [("kill", 2.0)]


def test_an_overflow_in_the_last_moment_is_seen() -> None:
    run = FakeRun(ends_at=0.5)
    assert watch(run, Beats(run, problem_at=0.4)) is Cause.LOG_OVERFLOW
    assert run.asked == []


def test_what_does_not_die_is_an_engine_error() -> None:
    run = FakeRun(obeys_after=None, dies_after=None)
    with pytest.raises(EngineError, match="killed"):
        watch(run, wall_clock_s=1, grace_s=1)
    assert run.now < 160


def test_what_the_heartbeat_raises_passes_through() -> None:
    def broken() -> bool:
        raise KeyboardInterrupt

    run = FakeRun()
    with pytest.raises(KeyboardInterrupt):
        supervise(run, wall_clock_s=5, grace_s=1, heartbeat=broken, problem=lambda: None, clock=run.clock)


@pytest.mark.parametrize(("stop", "killed_at"), [(Cause.COMPLETED, 37.0), (Cause.CANCELLED, 7.0)])
def test_what_is_wanted_of_a_stopped_run_may_be_handed_out_after_its_grace(stop: Cause, killed_at: float) -> None:
    run = FakeRun(obeys_after=None)
    ending = supervise(
        run,
        wall_clock_s=1000.0,
        grace_s=5.0,
        heartbeat=lambda: True,
        problem=lambda: stop if run.now >= 102.0 else None,
        handover_s=30.0,
        clock=run.clock,
    )
    assert ending is stop
    assert run.since_start() == [("terminate", 2.0), ("kill", killed_at)]
