"""Which alerts fire: by conditions as one machine sees them, and by what the ledger says of work."""

from datetime import UTC, datetime, timedelta

import pytest

from squire_pipelines.domain.alert_rules import (
    DEFAULT_POLICIES,
    OF_FACTS,
    RULE_OF_CONDITION,
    AlertRule,
    BudgetFacts,
    FailureRun,
    Severity,
    TrippedFacts,
    UnreadRepository,
    WorkFacts,
    assess_conditions,
    assess_work,
    policies_of,
)
from squire_pipelines.domain.conditions import ORDER, Condition, HealthLevel
from squire_pipelines.domain.delivery_gaps import UnrepairedHook
from squire_pipelines.domain.plan_failures import PlanFailure
from squire_pipelines.domain.targets import WINDOWS, MissedTarget, TargetName

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def condition(name: str, level: HealthLevel, *, age_s: float = 0) -> Condition:
    at = NOW - timedelta(seconds=age_s)
    return Condition(name, level, "why", "do this", at, at, 60)


def test_each_condition_has_a_rule_and_each_rule_follows_from_a_condition_or_from_facts() -> None:
    assert set(RULE_OF_CONDITION) == set(ORDER)
    assert {rule.value for rule in OF_FACTS} == {
        "task_failures",
        "container_crashes",
        "budget",
        "breaker_tripped",
        "deliveries_lost",
        "readings_fail",
        "plans_fail",
        "deliveries_missing",
        "target_missed",
    }
    assert set(DEFAULT_POLICIES) == set(AlertRule)


def test_what_is_down_is_critical_and_what_is_degraded_a_warning() -> None:
    seen = assess_conditions(
        [
            condition("engine", HealthLevel.DOWN),
            condition("models", HealthLevel.DEGRADED),
            condition("disk", HealthLevel.OK),
        ],
        "host",
        now=NOW,
    )
    assert {key: alert.severity for key, alert in seen.firing.items()} == {
        "engine_lost:engine on host": Severity.CRITICAL,
        "model_lost:models on host": Severity.WARNING,
    }
    assert seen.is_known("disk_full", "disk_full:disk on host")
    assert not seen.is_known("disk_full", "disk_full:disk on other")


def test_of_what_nobody_looks_at_any_more_nothing_follows() -> None:
    seen = assess_conditions([condition("engine", HealthLevel.DOWN, age_s=600)], "host", now=NOW)
    assert (dict(seen.firing), seen.known_keys) == ({}, frozenset())


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
        "plans_fail:acme/shop": "warning",
        "plans_fail:acme/old": "warning",
        "deliveries_missing:acme/shop": "warning",
        "target_missed:task_failure of acme/shop": "warning",
    }
    assert "85% of the budget of the day are used or reserved, until 2026-03-02" in seen.firing["budget:day"].reason
    unread = seen.firing["readings_fail:acme/gone"].reason
    assert unread == "no reading of acme/gone succeeded since 2026-03-01 10:00 UTC (12 tries): Not Found"
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
