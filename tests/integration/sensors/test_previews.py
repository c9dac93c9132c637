"""What all sensors have in common: a preview changes nothing, and after a run that failed none asks at once again."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import dagster as dg
import pytest

from squire_pipelines import definitions, tags
from squire_pipelines.ledger.tables import metadata
from squire_pipelines.sensors.audit import seal_audit
from squire_pipelines.sensors.backups import backups
from squire_pipelines.sensors.deliveries import report_deliveries
from squire_pipelines.sensors.delivery_repair import delivery_repair
from squire_pipelines.sensors.dispatch import dispatch
from squire_pipelines.sensors.history import history_follows_events
from squire_pipelines.sensors.outcomes import outcomes
from squire_pipelines.sensors.planning import plan_follows_signals
from squire_pipelines.sensors.reaper import reaper, recovery
from squire_pipelines.sensors.settings import follow_settings
from squire_pipelines.sensors.task_schedules import task_schedules
from squire_pipelines.sensors.warm_pool import warm_pool
from squire_pipelines.sensors.webhooks import webhooks
from tests.integration.sensors.test_dispatch import lost_attempt
from tests.integration.sensors.test_outcomes import deliver, opened, pull_request, recently
from tests.support.audit_trail import add_rows
from tests.support.deliveries import record_delivery
from tests.support.ledgers import add_task, collect, issue
from tests.support.pipeline import QUIET, Pipeline

AT_ONCE = "[pipeline]\nredelivery_s = 0.000001\n"


def have_outcomes(pipeline: Pipeline) -> None:
    opened(pipeline)
    deliver(pipeline, "d", pull_request("closed", merged=True, at=recently()))


def have_lost_attempt(pipeline: Pipeline) -> None:
    lost_attempt(pipeline)


def have_signals(pipeline: Pipeline) -> None:
    collect(pipeline.ledger, issue(repository=QUIET), repository=QUIET)


def have_task(pipeline: Pipeline) -> None:
    add_task(pipeline.ledger, repository=QUIET)


def have_warm_folder(pipeline: Pipeline) -> None:
    pipeline.settings.home.warm.mkdir()


def have_delivery(pipeline: Pipeline) -> None:
    record_delivery(
        pipeline.ledger, source="github", delivery_id="p", event="push", action=None, repository=QUIET, body=b"{}"
    )


def have_audit_row(pipeline: Pipeline) -> None:
    add_rows(pipeline.ledger, 1)


@dataclass(frozen=True)
class Case:
    """A sensor and what makes it request a run."""

    sensor: dg.SensorDefinition
    prepare: Callable[[Pipeline], object]
    needs_engine: bool = False


# `reaper` requests nothing without an engine's container, which tests/docker/sensors has.
READERS = (
    Case(reaper, have_lost_attempt, needs_engine=True),
    Case(recovery, have_lost_attempt),
    Case(outcomes, have_outcomes),
    Case(history_follows_events, have_task),
    Case(plan_follows_signals, have_signals),
    Case(warm_pool, have_warm_folder, needs_engine=True),
)
WRITERS = (
    Case(dispatch, have_task),
    Case(task_schedules, have_task),
    Case(webhooks, have_delivery),
    Case(seal_audit, have_audit_row),
    Case(follow_settings, have_audit_row),
)
"""Those that write what they have seen or do; previewing them is a tick like any other."""

REPORTERS = (
    Case(report_deliveries, have_delivery),
    Case(delivery_repair, have_delivery),
    Case(backups, have_task),
)
"""Those that request nothing here: they show in the UI what was done, or know of no webhook and no schedule."""


@pytest.fixture
def without_engine(quiet_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{quiet_pipeline.home}/no-engine.sock")
    quiet_pipeline.configure()
    return quiet_pipeline


def state_of(pipeline: Pipeline) -> dict[str, Any]:
    """Return everything that a sensor could change: the ledger's rows, runs, partitions, and the home's files."""
    with pipeline.ledger.read() as tx:
        rows = {table.name: sorted(map(repr, tx.execute(table.select()))) for table in metadata.sorted_tables}
    return {
        "rows": rows,
        "runs": [run.run_id for run in pipeline.instance.get_runs()],
        "partitions": list(pipeline.instance.get_dynamic_partitions("repositories")),
        "files": sorted(str(path) for path in pipeline.home.rglob("*")),
    }


def test_every_sensor_of_the_definitions_is_among_the_cases() -> None:
    assert {case.sensor.name for case in (*READERS, *WRITERS, *REPORTERS)} == {
        sensor.name for sensor in definitions.build_defs().sensors or ()
    }


@pytest.mark.parametrize("case", [*READERS, *REPORTERS], ids=lambda case: case.sensor.name)
def test_a_preview_changes_nothing_and_is_the_same_the_second_time(without_engine: Pipeline, case: Case) -> None:
    case.prepare(without_engine)
    without_engine.sensor(case.sensor)  # opens the ledger, which makes its files
    before = state_of(without_engine)
    first, second = (without_engine.sensor(case.sensor) for _ in range(2))
    assert state_of(without_engine) == before
    assert [request.run_config for request in first.run_requests] == [
        request.run_config for request in second.run_requests
    ]
    assert case.needs_engine or len(first.run_requests) == (case not in REPORTERS)
    assert all(tags.TRACE in request.tags for request in first.run_requests)


def test_what_the_inbox_holds_and_a_plan_names_becomes_partitions_with_the_tick_alone(without_engine: Pipeline) -> None:
    have_delivery(without_engine)
    have_signals(without_engine)
    for sensor in (webhooks, plan_follows_signals):
        (request,) = without_engine.sensor(sensor).dynamic_partitions_requests
        assert QUIET in request.partition_keys
    assert without_engine.instance.get_dynamic_partitions("repositories") == []


@pytest.mark.parametrize(
    ("case", "job"),
    [(case, case.sensor.job_name) for case in READERS if case.sensor.job_name != "agent_run"],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_run_that_failed_is_not_requested_again_in_a_hot_loop(without_engine: Pipeline, case: Case, job: str) -> None:
    case.prepare(without_engine)
    tick = without_engine.sensor(case.sensor)
    without_engine.add_partitions(tick)
    requests = tick.run_requests or [dg.RunRequest()]
    without_engine.past_run(job, dg.DagsterRunStatus.FAILURE, config=requests[0].run_config, **dict(requests[0].tags))
    tick = without_engine.sensor(case.sensor)
    assert tick.run_requests == []
    assert "failed" in (tick.skip_message or "")
    without_engine.configure(AT_ONCE)
    tick = without_engine.sensor(case.sensor)
    if case.needs_engine:
        assert "no container engine answers" in tick.skip_message  # it does not wait any more
    else:
        assert len(tick.run_requests) == 1
