"""The tables that follow from the settings: targets, and what a used-up budget blocks."""

from pathlib import Path

import pytest

from squire_pipelines.domain.budgets import BudgetLimits, Limit, Purpose
from squire_pipelines.ledger import budgets
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.sections.operation import WarehouseSettings
from squire_pipelines.sections.targets import TargetSettings
from squire_pipelines.warehouse.publish import publish_warehouse
from squire_pipelines.warehouse.query import run_query
from squire_pipelines.warehouse.settings_tables import PublishedTargets
from tests.support.ledgers import TRACE, add_task

MEMORY = 512 * 2**20
STUCK = "SELECT task_id, reason, detail FROM stuck ORDER BY task_id"


@pytest.mark.slow
def test_what_waits_for_a_budget_is_distinguished_from_what_waits_for_a_slot(warehouse: Path, ledger: Ledger) -> None:
    blocked, free, own = (add_task(ledger, repository=f"acme/{name}") for name in ("held", "free", "own"))
    limits = {
        "acme/held": BudgetLimits(attempt=Limit(usd=1), repository=Limit(usd=2)),
        "acme/free": BudgetLimits(attempt=Limit(usd=1), repository=Limit(usd=9)),
        "acme/own": BudgetLimits(attempt=Limit(usd=1), task=Limit(usd=2)),
    }
    with ledger.write() as tx:
        for name, repository, task_id in (("p1", "acme/held", None), ("p2", "acme/own", own)):
            budgets.reserve(
                tx,
                name,
                Purpose.PLAN,
                BudgetLimits(plan=Limit(usd=1.5)),
                repository=repository,
                task_id=task_id,
                trace_id=TRACE,
            )
    publish_warehouse(ledger, warehouse, WarehouseSettings(memory_limit=MEMORY), limits_of=limits.__getitem__)
    reasons = {task: (reason, detail) for task, reason, detail in run_query(warehouse, STUCK).rows}
    assert reasons == {
        blocked: ("budget", "waits for the budget of the repository (1.50 of 2.00 USD used or reserved)"),
        free: ("slot", "waits for its start"),
        own: ("budget", "waits for the budget of the task (1.50 of 2.00 USD used or reserved)"),
    }
    # A budget that was raised holds nothing back, though nothing has happened in the ledger.
    publish_warehouse(ledger, warehouse, WarehouseSettings(memory_limit=MEMORY))
    assert {row[1] for row in run_query(warehouse, STUCK).rows} == {"slot"}


@pytest.mark.slow
def test_targets_are_those_of_the_settings(warehouse: Path, ledger: Ledger) -> None:
    general = TargetSettings(ready_to_agent_s=7, ready_to_pull_request_s=70, ready_share=0.5)
    own = TargetSettings(task_failure=0.2, ready_to_agent_s=9)
    publish_warehouse(ledger, warehouse, targets=PublishedTargets(general, {"acme/shop": own}))
    rows = run_query(warehouse, "SELECT name, seconds, share FROM targets ORDER BY seconds").rows
    assert rows == (("ready_to_agent", 7, 0.5), ("ready_to_pull_request", 70, 0.5))
    rows = run_query(warehouse, "SELECT target, allowed, seconds FROM repository_targets ORDER BY target").rows
    assert rows == (
        ("container_crash", 0.01, None),
        ("ready_to_agent", pytest.approx(0.05), 9),
        ("ready_to_pull_request", pytest.approx(0.05), 3600),
        ("task_failure", 0.2, None),
    )
