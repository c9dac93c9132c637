"""Each job that people launch in Dagster's UI leaves what its command leaves, or fails with the command's reason."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import select

from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.ledger import tasks
from squire_pipelines.ledger.tables import audit, deliveries, task_events
from tests.support.cli import SampleData, Squire
from tests.support.pipeline import BOARD, HANDBOOK, LEDGERLIB, TRACE, Pipeline, output_metadata


def _launch(
    pipeline: Pipeline, job: str, op: str, config: dict[str, Any], *, fails: bool = False
) -> dg.ExecuteInProcessResult:
    marks = {"squire/trace_id": TRACE}
    return pipeline.run(job, config={"ops": {op: {"config": config}}}, tags=marks, fails=fails)


def _failure(run: dg.ExecuteInProcessResult) -> tuple[str, Mapping[str, Any]]:
    """Why a run's step failed, and what its failure shows."""
    (event,) = [event for event in run.all_events if event.is_step_failure]
    shown = event.step_failure_data.user_failure_data
    assert shown is not None, event.step_failure_data.error
    return shown.description or "", shown.metadata


def _events(pipeline: Pipeline, task_id: str) -> list[tuple[object, ...]]:
    columns = (task_events.c.subject, task_events.c.before, task_events.c.after, task_events.c.reason)
    with pipeline.ledger.read() as tx:
        query = select(*columns).where(task_events.c.task_id == task_id).order_by(task_events.c.id)
        return [tuple(row) for row in tx.execute(query)]


def _audited(pipeline: Pipeline) -> list[dict[str, Any]]:
    with pipeline.ledger.read() as tx:
        columns = (audit.c.actor, audit.c.action, audit.c.subject, audit.c.detail, audit.c.trace_id)
        return [dict(row) for row in tx.execute(select(*columns).order_by(audit.c.id)).mappings()]


@pytest.mark.parametrize(
    ("action", "words", "config"),
    [
        ("approve", (), {}),
        ("reject", ("--reason", "not now"), {"reason": "not now"}),
        ("cancel", ("--reason", "not now"), {"reason": "not now"}),
        ("cancel", (), {}),
        ("retry", (), {}),
        ("start", (), {}),
        ("priority", ("high",), {"level": "HIGH"}),
    ],
)
def test_a_job_leaves_the_rows_that_its_command_leaves(
    quiet_pipeline: Pipeline, action: str, words: tuple[str, ...], config: dict[str, Any]
) -> None:
    samples, command = SampleData(quiet_pipeline.ledger), Squire(quiet_pipeline.home)
    names = ("One", "Two")
    by_job, by_command = (
        [samples.ended(Cause.POLICY_REJECTED, name) for name in names]
        if action == "retry"
        else [samples.task(name, approved=False) for name in names]
    )
    op = "prioritise" if action == "priority" else action
    named = {"tasks": [f" {by_job}", by_job], "person": "ada"}
    run = _launch(quiet_pipeline, f"{op}_tasks", op, named | config)
    command.ok("tasks", action, by_command, *words)
    assert _events(quiet_pipeline, by_job) == _events(quiet_pipeline, by_command)
    assert quiet_pipeline.read_task(by_job).status is quiet_pipeline.read_task(by_command).status
    first, second = _audited(quiet_pipeline)[-2:]
    assert (first["actor"], first["trace_id"]) == ("dagster:ada", TRACE)
    assert first["action"] == second["action"] == f"tasks.{action}"
    assert first["detail"] == {**second["detail"], "tasks": [by_job]}
    shown = output_metadata(run)
    assert (shown["changed"], shown["by"]) == (1, "dagster:ada")
    page = f"{BOARD}/tasks/{by_job}"
    assert shown["board"] == page
    assert shown["done"].startswith(f"- [{by_job}]({page}): ")
    assert shown["github"] == "http://127.0.0.1:9/acme/shop"


def test_a_task_that_cannot_be_changed_fails_the_run_with_its_reason_and_the_others_are_changed(
    quiet_pipeline: Pipeline,
) -> None:
    samples = SampleData(quiet_pipeline.ledger)
    over, waiting = samples.ended(Cause.COMPLETED), samples.task("Two")
    run = _launch(quiet_pipeline, "cancel_tasks", "cancel", {"tasks": [over, waiting, "t0nothere"]}, fails=True)
    reason, shown = _failure(run)
    assert f"task {over} has succeeded already: there is nothing to cancel" in reason
    assert "there is no task 't0nothere'" in reason
    assert shown["changed"].value == 1
    assert f"- [{over}]({BOARD}/tasks/{over}): task {over} has succeeded already" in shown["not_changed"].value
    with quiet_pipeline.ledger.read() as tx:
        assert tasks.get(tx, waiting).status is TaskStatus.CANCELLED
    assert str(_audited(quiet_pipeline)[-1]["actor"]).startswith("dagster:")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"tasks": []}, "`tasks` of the run's config has 0 names: between 1 and 500 are needed"),
        ({"tasks": ["t1"], "person": "Ada <ada@example.com>"}, "`person` of the run's config is no name"),
        ({"tasks": ["t1"], "reason": "x" * 501}, "`reason` of the run's config has 501 characters"),
    ],
)
def test_a_config_that_cannot_be_used_is_named(quiet_pipeline: Pipeline, config: dict[str, Any], message: str) -> None:
    reason, _ = _failure(_launch(quiet_pipeline, "cancel_tasks", "cancel", config, fails=True))
    assert message in reason
    assert not _audited(quiet_pipeline)


def test_a_config_without_tasks_or_with_an_unknown_field_starts_no_run(quiet_pipeline: Pipeline) -> None:
    with pytest.raises(dg.DagsterInvalidConfigError, match="Missing required config entry"):
        _launch(quiet_pipeline, "approve_tasks", "approve", {})
    with pytest.raises(dg.DagsterInvalidConfigError, match='unexpected config entry "ids"'):
        _launch(quiet_pipeline, "approve_tasks", "approve", {"tasks": [], "ids": []})
    # Dagster would put the variable's value in its place, and the run's failure would show it.
    for config in ({"tasks": [{"env": "HOME"}]}, {"tasks": ["t1"], "person": {"env": "HOME"}}):
        with pytest.raises(dg.DagsterInvalidConfigError):
            _launch(quiet_pipeline, "approve_tasks", "approve", config)


def test_repositories_are_asked_for_as_the_command_asks(quiet_pipeline: Pipeline) -> None:
    run = _launch(quiet_pipeline, "collect_now", "request_reading", {"repositories": [HANDBOOK.upper(), LEDGERLIB]})
    with quiet_pipeline.ledger.read() as tx:
        columns = (deliveries.c.repository, deliveries.c.source, deliveries.c.trace_id)
        rows = {tuple(row) for row in tx.execute(select(*columns))}
    assert rows == {(HANDBOOK, "cli", TRACE), (LEDGERLIB, "cli", TRACE)}
    assert output_metadata(run)["requests"] == 2
    refused = _launch(quiet_pipeline, "collect_now", "request_reading", {"repositories": ["other/one"]}, fails=True)
    assert "other/one: not among the repositories of the settings" in _failure(refused)[0]


def test_a_signal_is_released_and_held_as_the_commands_do_it(quiet_pipeline: Pipeline) -> None:
    samples, command = SampleData(quiet_pipeline.ledger), Squire(quiet_pipeline.home)
    samples.reading()
    named = {"signal": "open_issue:7", "person": "ada", "reason": "not  now"}
    shown = output_metadata(_launch(quiet_pipeline, "hold_signal", "hold", named))
    assert shown["done"].startswith("acme/shop open\\_issue:7: held: dagster:ada held it on ")
    assert shown["done"].endswith(": not now")
    assert shown["board"] == f"{BOARD}/signals?repository=acme%2Fshop&all=1"
    signal = command.json("signals", "show", "open_issue:7")
    assert signal["may_start"] is False
    of_another_text = {"signal": "open_issue:7", "text_version": "f" * 32}
    refused = _failure(_launch(quiet_pipeline, "release_signal", "release", of_another_text, fails=True))[0]
    assert "the text of open_issue:7 has changed since it had the version" in refused
    read = {"signal": "open_issue:7", "text_version": signal["text_version"], "person": "ada"}
    run = _launch(quiet_pipeline, "release_signal", "release", read)
    command.ok("signals", "release", "open_issue:7")
    assert output_metadata(run)["by"] == "dagster:ada"
    assert command.json("signals", "show", "open_issue:7")["may_start"] is True
    trail = [(row["action"], row["subject"]) for row in _audited(quiet_pipeline)]
    assert trail == [(f"signal.{word}", "acme/shop open_issue:7") for word in ("held", "released", "released")]
    assert _audited(quiet_pipeline)[1]["trace_id"] == TRACE
