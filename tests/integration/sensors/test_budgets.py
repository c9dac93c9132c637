"""Budgets that run out: dispatch waits and says why, and the check warns."""

import dagster as dg
import pytest

from squire_pipelines.assets.budgets import budget_check
from squire_pipelines.domain.budgets import BudgetLimits, Limit, Purpose
from squire_pipelines.ledger import budgets
from squire_pipelines.ledger.tables import budgets as budget_table
from squire_pipelines.sensors.dispatch import dispatch
from squire_pipelines.sensors.reaper import recovery
from tests.support.ledgers import TRACE, add_task, reservation
from tests.support.pipeline import LEDGERLIB, Pipeline

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
