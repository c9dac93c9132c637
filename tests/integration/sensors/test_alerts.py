"""Budgets that run out: dispatch waits and says why, the check warns, and somebody is told once."""

import json

import dagster as dg
import pytest

from squire_pipelines.assets.budgets import budget_check
from squire_pipelines.domain.budgets import BudgetLimits, Limit, Purpose
from squire_pipelines.ledger import budgets, plans
from squire_pipelines.ledger.tables import budgets as budget_table
from squire_pipelines.sensors.alerts import budget_alerts
from squire_pipelines.sensors.dispatch import dispatch
from squire_pipelines.sensors.reaper import recovery
from tests.support.ledgers import TRACE, add_task, plan, reservation
from tests.support.pipeline import LEDGERLIB, Pipeline
from tests.support.provider import plain, serve_upstream

BUDGETS = "[budgets.attempt]\nusd = 4\n[budgets.day]\nusd = 10\n[budgets.repository]\nusd = 100\n"


def spend(pipeline: Pipeline, usd: float, name: str = "plan:a") -> None:
    with pipeline.ledger.write() as tx:
        limits = BudgetLimits(plan=Limit(usd=usd))
        budgets.reserve(tx, name, Purpose.PLAN, limits, repository=LEDGERLIB, trace_id=TRACE)


def test_dispatch_says_for_which_budget_work_waits(quiet_pipeline: Pipeline) -> None:
    quiet_pipeline.configure(BUDGETS)
    spend(quiet_pipeline, 7)
    add_task(quiet_pipeline.ledger, repository=LEDGERLIB)
    tick = quiet_pipeline.sensor(dispatch)
    assert tick.run_requests == []
    assert f"{LEDGERLIB}: waits for the budget of the day (7.00 of 10.00 USD" in tick.skip_message


def _planner_fails(pipeline: Pipeline, times: int) -> None:
    made = plan(repository=LEDGERLIB).model_copy(update={"model_failed": True, "notes": ("the model is down",)})
    for _ in range(times):
        with pipeline.ledger.write() as tx:
            plans.save(tx, made, (), trace_id=TRACE, run_id=None)


@pytest.mark.slow
def test_a_planners_model_that_fails_three_times_in_a_row_is_told_once(quiet_pipeline: Pipeline) -> None:
    with serve_upstream() as hook:
        hook.answer = plain(200, {})
        quiet_pipeline.configure(f'[alerts]\nwebhook_url = "{hook.url}/alert"\n')
        file = quiet_pipeline.home / "config.toml"
        llm = 'kind = "llm"\nmodel = "big"\nbase_url = "http://127.0.0.1:1/v1"'
        file.write_text(file.read_text(encoding="utf-8").replace('kind = "rules"', llm), encoding="utf-8")
        _planner_fails(quiet_pipeline, 2)
        assert quiet_pipeline.tick(budget_alerts).runs == []
        _planner_fails(quiet_pipeline, 1)
        sent = quiet_pipeline.tick(budget_alerts)
        assert sent.metadata["delivered"] is True
        _planner_fails(quiet_pipeline, 1)
        assert quiet_pipeline.tick(budget_alerts, cursor=sent.cursor).runs == []
        (alert,) = [json.loads(request.body) for request in hook.seen]
    assert (alert["event"], alert["model"], alert["failures"]) == ("planner.model_fails", "big", 3)
    assert alert["reason"] == "the model is down"


@pytest.mark.slow
def test_a_budget_is_told_of_once_for_each_thing_that_happens_to_it(quiet_pipeline: Pipeline) -> None:
    with serve_upstream() as hook:
        url = hook.url + "/alert?token=abc123"
        quiet_pipeline.configure(
            BUDGETS + f'[alerts]\nwebhook_url = "{url}"\nbudget_share = 0.5\n[pipeline]\nredelivery_s = 0.000001\n'
        )
        first = quiet_pipeline.tick(budget_alerts)
        assert (first.runs, "all budgets have room" in first.skip_message) == ([], True)
        spend(quiet_pipeline, 5)
        assert len(quiet_pipeline.sensor(budget_alerts, cursor=first.cursor).run_requests) == 1
        assert hook.seen == []  # the sensor decides, and tells nobody by itself
        hook.answer = plain(500, {})
        failed = quiet_pipeline.tick(budget_alerts, cursor=first.cursor, fails=True)
        attempts = len(hook.seen)
        assert attempts >= 1
        assert "abc123" not in str([event.message for run in failed.runs for event in run.all_events])
        hook.answer = plain(200, {})
        near = quiet_pipeline.tick(budget_alerts, cursor=failed.cursor)
        assert near.metadata["delivered"] is True
        spend(quiet_pipeline, 4, "plan:b")
        over = quiet_pipeline.tick(budget_alerts, cursor=near.cursor)
        again = quiet_pipeline.tick(budget_alerts, cursor=over.cursor)
        assert again.runs == []
        events = [json.loads(seen.body) for seen in hook.seen]
    assert [event["event"] for event in events] == ["budget.nearly_used_up"] * (attempts + 1) + ["budget.used_up"]
    last = events[-1]
    assert (last["scope"], last["repository"], last["used_usd"], last["limit_usd"]) == ("day", None, 9.0, 10.0)
    assert last["renewed_at"] > last["since"]


@pytest.mark.parametrize(("usd", "passed"), [(1.0, True), (9.0, False)])
def test_the_check_warns_when_a_budget_runs_out(quiet_pipeline: Pipeline, usd: float, passed: bool) -> None:  # noqa: FBT001 - a case
    quiet_pipeline.configure(BUDGETS)
    spend(quiet_pipeline, usd)
    result = budget_check(settings=quiet_pipeline.settings, ledger=quiet_pipeline.ledger)
    assert isinstance(result, dg.AssetCheckResult)
    assert (result.passed, result.severity) == (passed, dg.AssetCheckSeverity.WARN)
    assert ("day" in (result.description or "")) is not passed


def test_the_reaper_releases_what_a_killed_planner_held(quiet_pipeline: Pipeline) -> None:
    quiet_pipeline.configure(BUDGETS)
    spend(quiet_pipeline, 5)
    with quiet_pipeline.ledger.write() as tx:
        tx.execute(budget_table.update().values(opened_at=tx.now.replace(year=tx.now.year - 1)))
    quiet_pipeline.tick(recovery, cursor="1")
    with quiet_pipeline.ledger.read() as tx:
        row = reservation(tx, "plan:a")
    assert row is not None
    assert (row.state, row.spent.usd) == ("settled", 5)
