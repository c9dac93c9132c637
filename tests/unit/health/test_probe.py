"""Running probes: side by side, with a time limit each, and a fault in one is no fault of the others."""

import threading
import time

import pytest

from squire_pipelines.domain.conditions import ConditionState, HealthLevel
from squire_pipelines.errors import EngineError
from squire_pipelines.health.probe import Probe, ProbeRunner, States

WELL: States = {"disk": ConditionState.ok("well")}


def well() -> States:
    return WELL


def test_a_probe_that_hangs_keeps_no_other_waiting_and_is_not_started_twice() -> None:
    released, starts = threading.Event(), []

    def hang() -> States:
        starts.append(1)
        released.wait(20)
        return {}

    probes = [Probe("engine", ("engine",), 1, 0.2, hang), Probe("disk", ("disk",), 1, 5, well)]
    runner = ProbeRunner()
    began = time.monotonic()
    results = {probe.name: states for probe, states in runner.run(probes)}
    again = {probe.name: states for probe, states in runner.run(probes)}
    assert time.monotonic() - began < 5
    released.set()
    assert results["disk"] == again["disk"] == WELL
    for states in (results["engine"], again["engine"]):
        assert states["engine"].is_doubtful
        assert "no answer within 0.2 s" in states["engine"].reason
    assert len(starts) == 1


def test_a_first_look_that_takes_long_says_nothing_until_its_time_to_warm_up_is_over() -> None:
    released, now = threading.Event(), [0.0]

    def load() -> States:
        released.wait(20)
        return WELL

    probe = Probe("disk", ("disk",), 1, 0.0, load, warm_up_s=120)
    runner = ProbeRunner(monotonic=lambda: now[0])
    assert [list(runner.run([probe])) for _ in range(2)] == [[], []]
    now[0] = 121
    ((_, states),) = runner.run([probe])
    assert "no answer" in states["disk"].reason
    released.set()


def test_an_error_of_ours_is_the_conditions_reason_and_a_fault_of_ours_says_so() -> None:
    def fail() -> States:
        raise EngineError("no engine answers", hint="start it")

    def break_down() -> States:
        raise ZeroDivisionError

    probes = [
        Probe("engine", ("engine",), 1, 5, fail),
        Probe("clock", ("clock",), 1, 5, break_down),
        Probe("disk", ("disk",), 1, 5, well),
    ]
    results = {name: state for _, states in ProbeRunner().run(probes) for name, state in states.items()}
    assert results["engine"] == ConditionState.down("no engine answers", "start it", is_doubtful=True)
    assert results["clock"].level is HealthLevel.DEGRADED
    assert "ZeroDivisionError" in results["clock"].reason
    assert results["disk"] == WELL["disk"]


def test_a_fault_of_ours_is_logged_once_until_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    faults = [ZeroDivisionError, ZeroDivisionError, None, KeyError]

    def run() -> States:
        if (fault := faults.pop(0)) is not None:
            raise fault
        return WELL

    runner = ProbeRunner()
    for _ in range(4):
        list(runner.run([Probe("disk", ("disk",), 1, 5, run)]))
    assert [record.getMessage() for record in caplog.records] == ["probe failed", "probe failed"]


def test_a_late_answer_of_an_earlier_look_is_dropped_and_the_probe_runs_again_afterwards() -> None:
    released, done = threading.Event(), threading.Event()

    def slow() -> States:
        released.wait(20)
        done.set()
        return WELL

    probe, runner = Probe("disk", ("disk",), 1, 0.05, slow), ProbeRunner()
    ((_, first),) = runner.run([probe])
    assert first["disk"].is_doubtful
    released.set()
    assert done.wait(5)
    for _ in range(100):
        ((_, second),) = runner.run([probe])
        if second == WELL:
            return
        time.sleep(0.02)
    raise AssertionError("the probe did not run again")
