"""The probe of Dagster's daemon, sensors and schedules, by its process, its heartbeats, its ticks and its runs."""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from sqlalchemy.exc import SQLAlchemyError

from squire_pipelines.domain.conditions import ConditionState, worst_state
from squire_pipelines.domain.cron_times import CronTimes
from squire_pipelines.domain.service_rules import (
    LATE_PART_S,
    STARTS_WITHIN_S,
    DaemonFacts,
    ScheduleFacts,
    SensorFacts,
    daemon_state,
    schedules_state,
    sensors_state,
)
from squire_pipelines.health.probe import Probe, States
from squire_pipelines.health.process_records import process_facts, starting_record
from squire_pipelines.runtime.dagster_home import open_instance, storage_mark
from squire_pipelines.settings.model import Settings

if TYPE_CHECKING:
    import dagster as dg
    from dagster._core.scheduler.instigation import InstigatorTick

_EVERY_S = 20.0
_TIMEOUT_S = 15.0
_MAX_SENSORS = 50
_TICKS = 3
_MAX_ERROR = 300
READINGS = "collect_regularly"
"""The schedule whose times are by the clocks of `collection.time_zone`; those of all others are in UTC."""


def daemon_probe(settings: Settings) -> Probe:
    """Return the probe of the daemon that serves the home, with what Dagster's storage has of it."""
    conditions = ("daemon", "sensors", "schedules")
    return Probe("daemon", conditions, _EVERY_S, _TIMEOUT_S, lambda: look_at_daemon(settings), STARTS_WITHIN_S)


def daemon_process_probe(settings: Settings) -> Probe:
    """Return the probe of the daemon's process alone, which takes no time."""
    facts = _process_facts(settings.home.run)
    return Probe("daemon", ("daemon",), _EVERY_S, _TIMEOUT_S, lambda: {"daemon": daemon_state(facts)})


def _process_facts(run: Path) -> DaemonFacts:
    return DaemonFacts(process_facts(run / "daemon.pid"), starter=process_facts(starting_record(run, "daemon")))


def look_at_daemon(settings: Settings, *, now: Callable[[], float] = time.time) -> States:
    """Look at the daemon's process, and at what Dagster's storage has of it. Imports Dagster where there is any.

    Args:
        settings: Say where the home is, and in which time zone readings have their schedule.
        now: The clock that Dagster writes, in seconds since 1970.
    """
    home = settings.home
    process_alone = _process_facts(home.run)
    # Storage that is being made just now must not be opened, see `Services.start_code_server`.
    if not storage_mark(settings).exists() and "DAGSTER_HOME" not in os.environ:
        return {"daemon": daemon_state(process_alone)}
    import dagster as dg  # noqa: PLC0415 - over a second, which only this needs

    try:
        with open_instance(settings) if home.dagster.exists() else dg.DagsterInstance.get() as instance:
            return _states(instance, process_alone, now(), settings.collection.zone)
    except (SQLAlchemyError, OSError) as error:  # a full disk, or a server that is away
        reason = f"Dagster's storage does not answer: {_first_line(str(error))}"
        storage = ConditionState.degraded(reason, "look at the disk, or at the server that `dagster.yaml` names")
        return {"daemon": worst_state((daemon_state(process_alone), storage)) or storage}


def _states(instance: "dg.DagsterInstance", known: DaemonFacts, now: float, readings_zone: ZoneInfo) -> States:
    process = known.process
    by_part = instance.get_daemon_heartbeats()
    beats = by_part.values()
    newest = max((beat.timestamp for beat in beats), default=None)
    errors = tuple(_first_line(error.message) for beat in beats for error in beat.errors or ())
    # The last ticks of a daemon before this one say nothing about this one.
    most_s = process.age_s if process.is_alive else None
    sensors = [_within(sensor, most_s) for sensor in _sensors(instance, now)]
    tick_age_s = min((sensor.age_s for sensor in sensors), default=None)
    heartbeat_age_s = None if newest is None else max(0.0, now - newest)
    is_young = most_s is not None and most_s < LATE_PART_S
    late_parts = (
        () if is_young else tuple(_late_parts(instance, {part: now - by_part[part].timestamp for part in by_part}))
    )
    facts = replace(known, heartbeat_age_s=heartbeat_age_s, tick_age_s=tick_age_s, errors=errors, late_parts=late_parts)
    states = {"daemon": daemon_state(facts)}
    if process.is_alive and sensors:
        states["sensors"] = sensors_state(sensors)
        began = now - process.age_s
        states["schedules"] = schedules_state(list(_schedules(instance, began, now, readings_zone)))
    return states


def _late_parts(instance: "dg.DagsterInstance", ages_s: Mapping[str, float]) -> Iterator[str]:
    if min(ages_s.values(), default=LATE_PART_S) >= LATE_PART_S:
        return  # all of them: the daemon itself is late
    for part in instance.get_required_daemon_types():
        if ages_s.get(part, LATE_PART_S) >= LATE_PART_S:
            yield part


def _within(sensor: SensorFacts, most_s: float | None) -> SensorFacts:
    return sensor if most_s is None else replace(sensor, age_s=min(sensor.age_s, most_s))


def _sensors(instance: "dg.DagsterInstance", now: float) -> Iterator[SensorFacts]:
    from dagster._core.definitions.run_request import InstigatorType  # noqa: PLC0415 - Dagster exports neither
    from dagster._core.scheduler.instigation import InstigatorStatus  # noqa: PLC0415 - likewise

    states = instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
    for state in states[:_MAX_SENSORS]:
        if state.status is InstigatorStatus.STOPPED:
            continue  # a person has stopped it
        ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=_TICKS)
        if not ticks:
            continue
        error = ticks[0].error.message if ticks[0].error is not None else ""
        yield SensorFacts(
            state.instigator_name, max(0.0, now - ticks[0].timestamp), _failures(ticks), _first_line(error)
        )


def _failures(ticks: "Sequence[InstigatorTick]") -> int:
    """Return how many ticks failed in a row, of which the newest is the first."""
    from dagster._core.scheduler.instigation import TickStatus  # noqa: PLC0415 - Dagster does not export it

    return sum(1 for _ in takewhile(lambda tick: tick.status is TickStatus.FAILURE, ticks))


def _schedules(
    instance: "dg.DagsterInstance", began: float, now: float, readings_zone: ZoneInfo
) -> Iterator[ScheduleFacts]:
    """Yield what is known of the schedules, of which none is late for what was due before the daemon `began`."""
    from dagster._core.definitions.run_request import InstigatorType  # noqa: PLC0415 - Dagster exports neither
    from dagster._core.scheduler.instigation import InstigatorStatus, ScheduleInstigatorData  # noqa: PLC0415 - likewise

    states = instance.all_instigator_state(instigator_type=InstigatorType.SCHEDULE)
    for state in states[:_MAX_SENSORS]:
        data = state.instigator_data
        if state.status is InstigatorStatus.STOPPED or not isinstance(data, ScheduleInstigatorData):
            continue  # a person has stopped it
        ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=_TICKS)
        last = max(
            began,
            data.start_timestamp or 0.0,
            data.last_iteration_timestamp or 0.0,
            *(tick.timestamp for tick in ticks),
        )
        zone = readings_zone if state.instigator_name == READINGS else ZoneInfo("UTC")
        cron = data.cron_schedule if isinstance(data.cron_schedule, str) else data.cron_schedule[0]
        times = CronTimes(cron, zone)
        second = times.after(times.after(datetime.fromtimestamp(last, UTC))).timestamp()
        error = ticks[0].error.message if ticks and ticks[0].error is not None else ""
        yield ScheduleFacts(
            state.instigator_name,
            max(0.0, now - second),
            _failures(ticks),
            _first_line(error),
            _failed_runs(instance, state.instigator_name),
        )


def _failed_runs(instance: "dg.DagsterInstance", schedule: str) -> int:
    """Return how many of the newest runs of a schedule that are over failed, one after another; 2 at most."""
    import dagster as dg  # noqa: PLC0415 - likewise
    from dagster._core.storage.tags import SCHEDULE_NAME_TAG  # noqa: PLC0415 - likewise

    over = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
    newest = instance.get_runs(dg.RunsFilter(tags={SCHEDULE_NAME_TAG: schedule}, statuses=over), limit=2)
    failures = takewhile(lambda run: run.status is dg.DagsterRunStatus.FAILURE, newest)
    return sum(1 for _ in failures)


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")[:_MAX_ERROR]
