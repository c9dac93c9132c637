"""The daemon by Dagster's own storage: heartbeats, ticks that are late or fail, and storage that does not answer."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import RegisteredCodeLocationOrigin as Location
from dagster._core.remote_origin import RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._daemon.types import DaemonHeartbeat
from dagster_shared.error import SerializableErrorInfo

from squire_pipelines.domain.conditions import HealthLevel
from squire_pipelines.health.process_records import process_start_time
from squire_pipelines.home import Home
from squire_pipelines.runtime.daemon_probe import look_at_daemon
from tests.integration.health.conftest import Configure

OK, DEGRADED, DOWN = HealthLevel.OK, HealthLevel.DEGRADED, HealthLevel.DOWN


@pytest.fixture
def home(configure: Configure) -> Home:
    """Return a home whose daemon is this process, and has run for an hour."""
    home = configure("").home
    home.dagster.mkdir(parents=True)
    (home.dagster / "storage-made").touch()
    home.run.mkdir()
    record = home.run / "daemon.pid"
    record.write_text(json.dumps({"pid": os.getpid(), "birth": process_start_time(os.getpid())}))
    os.utime(record, (time.time() - 3600,) * 2)
    return home


@pytest.fixture
def instance(home: Home) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(str(home.dagster)) as made:
        yield made


def beat(instance: dg.DagsterInstance, *, age_s: float = 5, error: str | None = None) -> None:
    errors = [SerializableErrorInfo(error, [], None)] if error else []
    instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - age_s, "SENSOR", "one", errors))


def tick(instance: dg.DagsterInstance, name: str, *, age_s: float, errors: int = 0, is_stopped: bool = False) -> None:
    """Store a sensor with its last tick, or its last ones where they failed."""
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(Location("squire"), "squire"), name)
    status = InstigatorStatus.STOPPED if is_stopped else InstigatorStatus.DECLARED_IN_CODE
    state = InstigatorState(origin, InstigatorType.SENSOR, status, SensorInstigatorData(min_interval=5))
    instance.add_instigator_state(state)
    for number in range(max(1, errors)):
        failure = SerializableErrorInfo("KeyError: boom\n", [], "KeyError") if errors else None
        instance.create_tick(
            TickData(
                instigator_origin_id=state.instigator_origin_id,
                selector_id=state.selector_id,
                instigator_name=name,
                instigator_type=InstigatorType.SENSOR,
                status=TickStatus.FAILURE if errors else TickStatus.SKIPPED,
                timestamp=time.time() - age_s - number,
                error=failure,
            )
        )


def test_a_daemon_that_beats_and_ticks_is_well_and_a_sensor_that_somebody_stopped_is_no_fault(
    home: Home, instance: dg.DagsterInstance
) -> None:
    beat(instance)
    tick(instance, "dispatch", age_s=3)
    tick(instance, "reaper", age_s=2000, is_stopped=True)
    states = look_at_daemon(home)
    assert {name: state.level for name, state in states.items()} == {"daemon": OK, "sensors": OK}


def test_a_sensor_that_fails_and_a_daemon_that_reports_errors_are_degraded(
    home: Home, instance: dg.DagsterInstance
) -> None:
    beat(instance, error="the code location cannot be loaded\nTraceback")
    tick(instance, "dispatch", age_s=3, errors=2)
    states = look_at_daemon(home)
    assert states["daemon"].reason == "the daemon reports: the code location cannot be loaded"
    assert states["sensors"].reason == "the sensor dispatch fails: KeyError: boom"


def test_a_daemon_whose_sensors_stand_still_is_down_unless_it_has_just_begun(
    home: Home, instance: dg.DagsterInstance
) -> None:
    beat(instance)
    tick(instance, "dispatch", age_s=400)
    assert look_at_daemon(home)["daemon"].level is DOWN
    os.utime(home.run / "daemon.pid")
    assert look_at_daemon(home)["daemon"].level is OK


@pytest.mark.parametrize("content", [None, b"no database at all" * 100])
def test_storage_that_does_not_answer_is_degraded_and_no_fault_of_squires(home: Home, content: bytes | None) -> None:
    folder = home.dagster / "history"
    if content is None:
        folder.write_text("no folder")
    else:
        folder.mkdir()
        (folder / "runs.db").write_bytes(content)
    state = look_at_daemon(home)["daemon"]
    assert state.level is DEGRADED
    assert "Dagster's storage does not answer" in state.reason


def test_a_home_whose_storage_is_being_made_is_not_opened(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    (home.dagster / "storage-made").unlink()
    assert set(look_at_daemon(home)) == {"daemon"}
    assert list(Path(home.dagster).iterdir()) == []
