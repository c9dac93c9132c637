"""The probe of Dagster's daemon and of the sensors, by its process, its heartbeats and its ticks."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from squire_pipelines.domain.conditions import ConditionState, worst_state
from squire_pipelines.domain.service_rules import DaemonFacts, ProcessFacts, SensorFacts, daemon_state, sensors_state
from squire_pipelines.health.probe import Probe, States
from squire_pipelines.health.process_records import process_facts
from squire_pipelines.home import Home
from squire_pipelines.settings.model import Settings

if TYPE_CHECKING:
    import dagster as dg

_EVERY_S = 20.0
_TIMEOUT_S = 15.0
_MAX_SENSORS = 50
_TICKS = 3
_MAX_ERROR = 300


def daemon_probe(settings: Settings) -> Probe:
    """Return the probe of the daemon that serves the home, with what Dagster's storage has of it."""
    return Probe("daemon", ("daemon", "sensors"), _EVERY_S, _TIMEOUT_S, lambda: look_at_daemon(settings.home))


def daemon_process_probe(settings: Settings) -> Probe:
    """Return the probe of the daemon's process alone, which takes no time."""
    facts = DaemonFacts(process_facts(settings.home.run / "daemon.pid"))
    return Probe("daemon", ("daemon",), _EVERY_S, _TIMEOUT_S, lambda: {"daemon": daemon_state(facts)})


def look_at_daemon(home: Home, *, now: Callable[[], float] = time.time) -> States:
    """Look at the daemon's process, and at what Dagster's storage has of it. Imports Dagster where there is any.

    Args:
        home: The home.
        now: The clock that Dagster writes, in seconds since 1970.
    """
    process = process_facts(home.run / "daemon.pid")
    # Storage that is being made just now must not be opened, see `Services.start_code_server`.
    if not (home.dagster / "storage-made").exists() and "DAGSTER_HOME" not in os.environ:
        return {"daemon": daemon_state(DaemonFacts(process))}
    import dagster as dg  # noqa: PLC0415 - over a second, which only this needs

    folder = str(home.dagster)
    try:
        with dg.DagsterInstance.from_config(folder) if home.dagster.exists() else dg.DagsterInstance.get() as instance:
            return _states(instance, process, now())
    except (SQLAlchemyError, OSError) as error:  # a full disk, or a server that is away
        reason = f"Dagster's storage does not answer: {_first_line(str(error))}"
        process_alone = daemon_state(DaemonFacts(process))
        storage = ConditionState.degraded(reason, "look at the disk, or at the server that `dagster.yaml` names")
        return {"daemon": worst_state((process_alone, storage)) or storage}


def _states(instance: "dg.DagsterInstance", process: ProcessFacts, now: float) -> States:
    beats = instance.get_daemon_heartbeats().values()
    newest = max((beat.timestamp for beat in beats), default=None)
    errors = tuple(_first_line(error.message) for beat in beats for error in beat.errors or ())
    # The last ticks of a daemon before this one say nothing about this one.
    most_s = process.age_s if process.is_alive else None
    sensors = [_within(sensor, most_s) for sensor in _sensors(instance, now)]
    tick_age_s = min((sensor.age_s for sensor in sensors), default=None)
    heartbeat_age_s = None if newest is None else max(0.0, now - newest)
    daemon = daemon_state(DaemonFacts(process, heartbeat_age_s, tick_age_s, errors))
    return {"daemon": daemon, "sensors": sensors_state(sensors)} if process.is_alive and sensors else {"daemon": daemon}


def _within(sensor: SensorFacts, most_s: float | None) -> SensorFacts:
    return sensor if most_s is None else replace(sensor, age_s=min(sensor.age_s, most_s))


def _sensors(instance: "dg.DagsterInstance", now: float) -> Iterator[SensorFacts]:
    from dagster._core.definitions.run_request import InstigatorType  # noqa: PLC0415 - Dagster exports neither
    from dagster._core.scheduler.instigation import InstigatorStatus, TickStatus  # noqa: PLC0415 - likewise

    states = instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
    for state in states[:_MAX_SENSORS]:
        if state.status is InstigatorStatus.STOPPED:
            continue  # a person has stopped it
        ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=_TICKS)
        if not ticks:
            continue
        failures = 0
        for tick in ticks:
            if tick.status is not TickStatus.FAILURE:
                break
            failures += 1
        error = ticks[0].error.message if ticks[0].error is not None else ""
        yield SensorFacts(state.instigator_name, max(0.0, now - ticks[0].timestamp), failures, _first_line(error))


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")[:_MAX_ERROR]
