"""Which alerts fire by what the ledger says of work."""

from datetime import UTC, datetime, timedelta

import pytest

from squire_pipelines.domain.alert_rules import DEFAULT_POLICIES, AlertRule, policies_of
from squire_pipelines.domain.delivery_gaps import UnrepairedHook
from squire_pipelines.domain.plan_failures import PlanFailure
from squire_pipelines.domain.targets import WINDOWS, MissedTarget, TargetName
from squire_pipelines.domain.work_alerts import (
    BudgetFacts,
    FailureRun,
    SourceFailure,
    TrippedFacts,
    UnreadRepository,
    WorkFacts,
    assess_work,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)

WORK = WorkFacts(
    failures=(FailureRun("acme/shop", 3, "t1", "timeout"), FailureRun("acme/new", 2, "t2", "timeout")),
    crashes=3,
    crashed_task="t3",
    budgets=(
        BudgetFacts("day", None, 0.85, is_used_up=False, renewed="2026-03-02"),
        BudgetFacts("repository", "acme/shop", 1.0, is_used_up=True, renewed=""),
        BudgetFacts("month", None, 0.5, is_used_up=False, renewed=""),
    ),
    breakers=(TrippedFacts("task", 2, "t4", "a breaker: 10 attempts"),),
    lost_deliveries=1,
    unread=(UnreadRepository("acme/gone", NOW - timedelta(hours=2), 12, "Not Found"),),
    sources=(
        SourceFailure("acme/shop", "failed_ci", NOW - timedelta(minutes=30), 3, "Bad Gateway"),
        SourceFailure("acme/new", "open_prs", NOW - timedelta(minutes=10), 2, "Bad Gateway"),
    ),
    plans=(
        PlanFailure("acme/shop", 3, NOW, "a task names no branch", "p1"),
        PlanFailure("acme/old", 1, NOW - timedelta(hours=1), "goals.md cannot be read", "p2"),
        PlanFailure("acme/new", 2, NOW, "no answer", "p3"),
    ),
    at=NOW,
    unrepaired=(UnrepairedHook("acme/shop", "2 deliveries are not here"),),
    missed=(MissedTarget("acme/shop", TargetName.TASK_FAILURE, WINDOWS[1], 4, 8, 0.05),),
)


def test_work_gives_an_alert_for_each_subject_that_is_at_its_threshold() -> None:
    seen = assess_work(WORK, DEFAULT_POLICIES, budget_share=0.8)
    assert {key: alert.severity.value for key, alert in seen.firing.items()} == {
        "task_failures:acme/shop": "warning",
        "container_crashes:all": "warning",
        "budget:day": "warning",
        "budget:acme/shop": "critical",
        "breaker_tripped:task": "warning",
        "deliveries_lost:all": "warning",
        "readings_fail:acme/gone": "warning",
        "source_fails:failed_ci of acme/shop": "warning",
        "plans_fail:acme/shop": "warning",
        "plans_fail:acme/old": "warning",
        "deliveries_missing:acme/shop": "warning",
        "target_missed:task_failure of acme/shop": "warning",
    }
    assert "85% of the budget of the day are used or reserved, until 2026-03-02" in seen.firing["budget:day"].reason
    unread = seen.firing["readings_fail:acme/gone"].reason
    assert unread == "no reading of acme/gone succeeded since 2026-03-01 10:00 UTC (12 tries): Not Found"
    source = seen.firing["source_fails:failed_ci of acme/shop"].reason
    assert source == "failed_ci of acme/shop does not answer since 2026-03-01 11:30 UTC (3 tries): Bad Gateway"
    assert seen.firing["plans_fail:acme/shop"].reason == (
        "no plan of acme/shop has become tasks since 2026-03-01 12:00 UTC (3 in a row): a task names no branch"
    )
    assert "4 of 8 in 6 h missed task_failure of acme/shop: 10.0 times" in str(seen.firing)
    assert all(alert.hint for alert in seen.firing.values())
    assert seen.is_known("budget", "budget:month")


@pytest.mark.parametrize(("threshold", "fires"), [(2, True), (4, False)])
def test_a_threshold_of_the_settings_decides(threshold: int, *, fires: bool) -> None:
    policies = policies_of({AlertRule.TASK_FAILURES: {"threshold": threshold}})
    seen = assess_work(WorkFacts(failures=WORK.failures[:1]), policies, budget_share=0.8)
    assert bool(seen.firing) is fires
    assert policies[AlertRule.TASK_FAILURES].repeat_after_s == DEFAULT_POLICIES[AlertRule.TASK_FAILURES].repeat_after_s
