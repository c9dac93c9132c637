"""The sensors and the schedule that ask for collections and plans."""

import re
import threading
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from squire_pipelines import tags
from squire_pipelines.ledger import deliveries, plans
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.planning.digest import settings_digest
from squire_pipelines.sensors.planning import plan_follows_signals
from squire_pipelines.sensors.webhooks import webhooks
from tests.support.deliveries import record_delivery
from tests.support.ledgers import ALL_APPROVED, REPOSITORY, add_tasks, admission, collect, issue, spec
from tests.support.ledgers import plan as make_plan
from tests.support.pipeline import ALL, HANDBOOK, LEDGERLIB, QUIET, TRACE, Pipeline


def ask(pipeline: Pipeline, *repositories: str, ledger: Ledger | None = None) -> tuple[int, ...]:
    with (ledger or pipeline.ledger).write() as tx:
        return deliveries.request_collection(tx, repositories, source="cli", trace_id=TRACE)


def test_all_that_waits_in_the_inbox_becomes_one_run(quiet_pipeline: Pipeline) -> None:
    asked = ask(quiet_pipeline, QUIET, LEDGERLIB)
    record_delivery(
        quiet_pipeline.ledger, source="github", delivery_id="d", event="push", action=None, repository=QUIET, body=b"{}"
    )
    tick = quiet_pipeline.sensor(webhooks)
    (request,) = tick.run_requests
    config = request.run_config["ops"]["collect_signals"]["config"]
    assert config == {"repositories": [LEDGERLIB, QUIET], "deliveries": [*asked, asked[-1] + 1]}
    assert request.job_name == "collect"
    assert request.tags[tags.TRACE] == TRACE
    assert request.tags["dagster/asset_partition_range_start"] == LEDGERLIB
    assert request.tags["dagster/asset_partition_range_end"] == QUIET
    assert quiet_pipeline.sensor(webhooks).run_requests == []


def test_a_collection_that_did_not_happen_is_asked_for_again_with_a_new_key(quiet_pipeline: Pipeline) -> None:
    ask(quiet_pipeline, QUIET)
    (first,) = quiet_pipeline.sensor(webhooks).run_requests
    quiet_pipeline.configure("[pipeline]\nredelivery_s = 0.000001\n")
    (again,) = quiet_pipeline.sensor(webhooks).run_requests
    assert again.run_config == first.run_config
    assert again.run_key != first.run_key
    for _ in range(3):
        assert quiet_pipeline.sensor(webhooks).run_requests
    assert quiet_pipeline.sensor(webhooks).run_requests == []  # it has a bound


def test_a_replay_is_asked_for_with_a_key_that_no_earlier_request_had(quiet_pipeline: Pipeline) -> None:
    (asked,) = ask(quiet_pipeline, QUIET)
    (first,) = quiet_pipeline.sensor(webhooks).run_requests
    with quiet_pipeline.ledger.write() as tx:
        deliveries.reopen(tx, [asked], collects=True, applies=False)
    (again,) = quiet_pipeline.sensor(webhooks).run_requests
    assert again.run_config == first.run_config
    assert again.run_key != first.run_key, "Dagster would start no run"


def test_what_waits_for_the_end_of_a_collection_is_taken_within_the_tick_in_which_that_comes(
    quiet_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = quiet_pipeline.past_run("collect", dg.DagsterRunStatus.STARTED)
    ask(quiet_pipeline, QUIET)
    assert "under way" in quiet_pipeline.sensor(webhooks).skip_message
    monkeypatch.setenv("SQUIRE_DISPATCH__WAIT_S", "30")
    end = threading.Timer(0.3, quiet_pipeline.instance.delete_run, [run_id])
    end.start()
    assert len(quiet_pipeline.sensor(webhooks).run_requests) == 1
    end.join()


def test_a_repository_that_no_setting_names_is_a_partition_from_then_on(quiet_pipeline: Pipeline) -> None:
    ask(quiet_pipeline, "somebody/else")
    tick = quiet_pipeline.sensor(webhooks)
    quiet_pipeline.add_partitions(tick)
    (request,) = tick.run_requests
    assert request.tags["dagster/asset_partition_range_start"] == "somebody/else"
    assert set(quiet_pipeline.instance.get_dynamic_partitions("repositories")) == {*ALL, "somebody/else"}


@pytest.mark.slow
def test_the_run_that_the_inbox_asked_for_closes_it(pipeline: Pipeline) -> None:
    asked = ask(pipeline, QUIET)
    pipeline.tick(webhooks)
    with pipeline.ledger.read() as tx:
        assert deliveries.still_open(tx, asked) == ()


def test_the_schedule_reads_all_repositories(quiet_pipeline: Pipeline) -> None:
    tick, partitions = quiet_pipeline.schedule("collect_regularly")
    (request,) = tick.run_requests
    config = request.run_config["ops"]["collect_signals"]["config"]
    assert config == {"repositories": list(ALL), "deliveries": []}
    assert len(request.tags[tags.TRACE]) == 32
    assert set(partitions) == set(ALL)


@pytest.mark.slow
def test_the_schedule_says_when_there_is_nothing_to_read(quiet_pipeline: Pipeline) -> None:
    quiet_pipeline.repositories = ()
    quiet_pipeline.configure()
    tick, _ = quiet_pipeline.schedule("collect_regularly")
    assert not tick.run_requests
    assert "squire init" in tick.skip_message


@pytest.mark.slow
def test_nothing_is_read_by_the_clock_in_quiet_hours_of_the_zone(quiet_pipeline: Pipeline) -> None:
    quiet_pipeline.configure('[collection]\nquiet_hours = "22:00-06:00"\ntime_zone = "Europe/Zurich"\n')
    night, morning = datetime(2026, 7, 1, 3, 59, tzinfo=UTC), datetime(2026, 7, 1, 4, 0, tzinfo=UTC)
    tick, _ = quiet_pipeline.schedule("collect_regularly", at=night)
    assert not tick.run_requests
    assert "22:00-06:00 in Europe/Zurich" in tick.skip_message
    assert len(quiet_pipeline.schedule("collect_regularly", at=morning)[0].run_requests) == 1


@pytest.mark.slow
def test_an_interval_is_kept_by_skipping_the_minutes_between(quiet_pipeline: Pipeline) -> None:
    quiet_pipeline.configure("[collection]\ninterval_s = 5400\n")
    begins = datetime(2026, 7, 1, 0, 0, tzinfo=UTC)
    due = [
        minute
        for minute in (0, 30, 89, 90)
        if quiet_pipeline.schedule("collect_regularly", at=begins + timedelta(minutes=minute))[0].run_requests
    ]
    assert due == [0, 90]


@pytest.mark.slow
def test_the_history_is_published_every_ten_minutes_whatever_happens(quiet_pipeline: Pipeline) -> None:
    tick, _ = quiet_pipeline.schedule("publish_history_regularly")
    (request,) = tick.run_requests
    assert re.fullmatch(r"[0-9a-f]{32}", request.tags[tags.TRACE])
    quiet_pipeline.run("publish_history")


def test_readings_are_planned_in_one_run_with_their_trace(quiet_pipeline: Pipeline) -> None:
    collect(quiet_pipeline.ledger, issue(repository=QUIET), repository=QUIET)
    collect(quiet_pipeline.ledger, issue(repository=HANDBOOK), repository=HANDBOOK)
    (request,) = quiet_pipeline.sensor(plan_follows_signals).run_requests
    assert request.job_name == "plan"
    assert request.run_config["ops"]["plan_tasks"]["config"] == {"repositories": [QUIET, HANDBOOK]}
    assert request.tags[tags.TRACE] == "ab" * 16
    assert request.tags["dagster/asset_partition_range_start"] == QUIET


def test_a_run_that_plans_more_than_what_was_read_has_a_trace_of_its_own(quiet_pipeline: Pipeline) -> None:
    collect(quiet_pipeline.ledger, issue(repository=QUIET), repository=QUIET)
    with quiet_pipeline.ledger.write() as tx:
        plans.save(tx, make_plan(spec()), (), trace_id=TRACE, run_id=None)
    (request,) = quiet_pipeline.sensor(plan_follows_signals).run_requests
    assert request.run_config["ops"]["plan_tasks"]["config"] == {"repositories": [QUIET, REPOSITORY]}
    assert request.tags[tags.TRACE] != "ab" * 16
    assert re.fullmatch(r"[0-9a-f]{32}", request.tags[tags.TRACE])


def test_a_plan_that_did_not_become_tasks_is_taken_up_again(quiet_pipeline: Pipeline) -> None:
    with quiet_pipeline.ledger.write() as tx:
        plans.save(tx, make_plan(spec()), (), trace_id=TRACE, run_id=None)
    (request,) = quiet_pipeline.sensor(plan_follows_signals).run_requests
    assert request.run_config["ops"]["plan_tasks"]["config"] == {"repositories": [REPOSITORY]}


def test_a_plan_is_made_again_when_the_settings_by_which_it_was_made_change(quiet_pipeline: Pipeline) -> None:
    with quiet_pipeline.ledger.write() as tx:
        made = make_plan(repository=QUIET).model_copy(
            update={"settings_digest": settings_digest(quiet_pipeline.settings, QUIET)}
        )
        saved = plans.save(tx, made, (), trace_id=TRACE, run_id=None)
        plans.admit(tx, saved.id, admission(ALL_APPROVED, 1))
    assert quiet_pipeline.sensor(plan_follows_signals).run_requests == []
    quiet_pipeline.configure(f'[repository."{QUIET}"]\nissue_labels = ["bug"]\n')
    (request,) = quiet_pipeline.sensor(plan_follows_signals).run_requests
    assert request.run_config["ops"]["plan_tasks"]["config"] == {"repositories": [QUIET]}


def test_nothing_is_planned_when_nothing_was_read(quiet_pipeline: Pipeline) -> None:
    add_tasks(quiet_pipeline.ledger, spec())
    tick = quiet_pipeline.sensor(plan_follows_signals)
    assert tick.run_requests == []
    assert tick.skip_message == "every reading has been planned"


def test_planning_waits_while_a_collection_or_a_planning_runs(quiet_pipeline: Pipeline) -> None:
    collect(quiet_pipeline.ledger, issue(repository=QUIET), repository=QUIET)
    for job in ("collect", "plan"):
        run_id = quiet_pipeline.past_run(job, dg.DagsterRunStatus.STARTED)
        tick = quiet_pipeline.sensor(plan_follows_signals)
        assert tick.run_requests == []
        assert f"a run of {job} is under way" in (tick.skip_message or "")
        quiet_pipeline.instance.delete_run(run_id)
    assert quiet_pipeline.sensor(plan_follows_signals).run_requests


def test_a_run_that_was_made_and_never_queued_holds_nobody_up(quiet_pipeline: Pipeline) -> None:
    collect(quiet_pipeline.ledger, issue(repository=QUIET), repository=QUIET)
    quiet_pipeline.past_run("plan", dg.DagsterRunStatus.NOT_STARTED)
    assert quiet_pipeline.sensor(plan_follows_signals).run_requests


def test_planning_that_fails_is_not_tried_again_in_a_hot_loop(quiet_pipeline: Pipeline) -> None:
    collect(quiet_pipeline.ledger, issue(repository=QUIET), repository=QUIET)
    quiet_pipeline.past_run("plan", dg.DagsterRunStatus.FAILURE)
    tick = quiet_pipeline.sensor(plan_follows_signals)
    assert tick.run_requests == []
    assert "the last run of plan failed" in (tick.skip_message or "")
    quiet_pipeline.configure("[pipeline]\nredelivery_s = 0.000001\n")
    assert quiet_pipeline.sensor(plan_follows_signals).run_requests
