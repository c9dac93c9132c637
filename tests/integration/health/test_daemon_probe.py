"""The daemon by Dagster's own storage: heartbeats, ticks that are late or fail, and storage that does not answer."""

import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import RegisteredCodeLocationOrigin as Location
from dagster._core.remote_origin import RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    ScheduleInstigatorData,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.storage.tags import SCHEDULE_NAME_TAG
from dagster._daemon.types import DaemonHeartbeat
from dagster_shared.error import SerializableErrorInfo

from squire_pipelines.domain.conditions import HealthLevel
from squire_pipelines.health.process_records import process_start_time
from squire_pipelines.home import Home
from squire_pipelines.runtime.daemon_probe import look_at_daemon
from squire_pipelines.settings.model import Settings
from tests.integration.health.conftest import Configure

STARTED = dg.DagsterRunStatus.STARTED
OK, DEGRADED, DOWN = HealthLevel.OK, HealthLevel.DEGRADED, HealthLevel.DOWN


@pytest.fixture
def settings(configure: Configure) -> Settings:
    """Return the settings of the home."""
    return configure("")


@pytest.fixture
def home(settings: Settings) -> Home:
    """Return a home whose daemon is this process, and has run for an hour."""
    home = settings.home
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


def beat(
    instance: dg.DagsterInstance, *, age_s: float = 5, error: str | None = None, without: Sequence[str] = ()
) -> None:
    errors = [SerializableErrorInfo(error, [], None)] if error else []
    for part in set(instance.get_required_daemon_types()) - set(without):
        instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - age_s, part, "one", errors))


def schedule(
    instance: dg.DagsterInstance, name: str, cron: str, *, age_s: float, errors: int = 0, failed_runs: int = 0
) -> None:
    """Store a schedule that has ticked last so long ago, with the runs that it started."""
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(Location("squire"), "squire"), name)
    data = ScheduleInstigatorData(cron, start_timestamp=time.time() - age_s)
    state = InstigatorState(origin, InstigatorType.SCHEDULE, InstigatorStatus.DECLARED_IN_CODE, data)
    instance.add_instigator_state(state)
    for number in range(errors):
        tick_data = TickData(
            instigator_origin_id=state.instigator_origin_id,
            selector_id=state.selector_id,
            instigator_name=name,
            instigator_type=InstigatorType.SCHEDULE,
            status=TickStatus.FAILURE,
            timestamp=time.time() - age_s - number,
            error=SerializableErrorInfo("KeyError: boom\n", [], "KeyError"),
        )
        instance.create_tick(tick_data)
    for _ in range(failed_runs):
        run = instance.create_run_for_job(nothing, status=STARTED, tags={SCHEDULE_NAME_TAG: name})
        instance.report_run_failed(run)


@dg.job(name="report_history")
def nothing() -> None:
    """Run nothing."""


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
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    beat(instance)
    tick(instance, "dispatch", age_s=3)
    tick(instance, "reaper", age_s=2000, is_stopped=True)
    states = look_at_daemon(settings)
    assert {name: state.level for name, state in states.items()} == {"daemon": OK, "sensors": OK, "schedules": OK}


def test_a_schedule_that_is_late_or_fails_or_whose_runs_fail_is_named(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    beat(instance)
    tick(instance, "dispatch", age_s=3)
    # The daemon has run for an hour: what was due before is no fault of its.
    schedule(instance, "clean_regularly", "0 3 * * *", age_s=86_400 * 5)
    schedule(instance, "publish_history_regularly", "*/10 * * * *", age_s=5)
    assert look_at_daemon(settings)["schedules"].level is OK
    schedule(instance, "report_daily", "0 5 * * *", age_s=5, failed_runs=2)
    assert "report_daily" in look_at_daemon(settings)["schedules"].reason
    schedule(instance, "collect_regularly", "*/10 * * * *", age_s=2400)
    state = look_at_daemon(settings)["schedules"]
    assert (state.level, state.reason) == (DEGRADED, "due twice, and not evaluated: collect_regularly")
    schedule(instance, "back_up_regularly", "0 1 * * *", age_s=60, errors=2)
    assert look_at_daemon(settings)["schedules"].reason == "the schedule back_up_regularly fails: KeyError: boom"


def test_a_part_of_the_daemon_that_gives_no_sign_of_life_is_named(
    settings: Settings, home: Home, instance: dg.DagsterInstance
) -> None:
    tick(instance, "dispatch", age_s=3)
    beat(instance, without=["SCHEDULER"])
    state = look_at_daemon(settings)["daemon"]
    assert (state.level, state.reason) == (
        DEGRADED,
        "parts of the daemon gave no sign of life for 300 s: SCHEDULER",
    )
    os.utime(home.run / "daemon.pid")
    assert look_at_daemon(settings)["daemon"].level is OK


def test_a_sensor_that_fails_and_a_daemon_that_reports_errors_are_degraded(
    settings: Settings, instance: dg.DagsterInstance
) -> None:
    beat(instance, error="the code location cannot be loaded\nTraceback")
    tick(instance, "dispatch", age_s=3, errors=2)
    states = look_at_daemon(settings)
    assert (
        states["daemon"].reason
        == "the daemon reports an error of the last five minutes: the code location cannot be loaded"
    )
    assert states["sensors"].reason == "the sensor dispatch fails: KeyError: boom"


def test_a_daemon_whose_sensors_stand_still_is_down_unless_it_has_just_begun(
    home: Home, settings: Settings, instance: dg.DagsterInstance
) -> None:
    beat(instance)
    tick(instance, "dispatch", age_s=400)
    assert look_at_daemon(settings)["daemon"].level is DOWN
    os.utime(home.run / "daemon.pid")
    assert look_at_daemon(settings)["daemon"].level is OK


@pytest.mark.parametrize("content", [None, b"no database at all" * 100])
def test_storage_that_does_not_answer_is_degraded_and_no_fault_of_squires(
    home: Home, settings: Settings, content: bytes | None
) -> None:
    folder = home.dagster / "history"
    if content is None:
        folder.write_text("no folder")
    else:
        folder.mkdir()
        (folder / "runs.db").write_bytes(content)
    state = look_at_daemon(settings)["daemon"]
    assert state.level is DEGRADED
    assert "Dagster's storage does not answer" in state.reason


def test_a_home_whose_storage_is_being_made_is_not_opened(
    home: Home, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    (home.dagster / "storage-made").unlink()
    assert set(look_at_daemon(settings)) == {"daemon"}
    assert list(Path(home.dagster).iterdir()) == []
