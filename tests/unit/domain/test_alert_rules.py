"""Which alerts fire by conditions as one machine sees them."""

from datetime import UTC, datetime, timedelta

from squire_pipelines.domain.alert_rules import (
    DEFAULT_POLICIES,
    OF_FACTS,
    RULE_OF_CONDITION,
    AlertRule,
    Severity,
    assess_conditions,
)
from squire_pipelines.domain.conditions import ORDER, Condition, HealthLevel

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
        "source_fails",
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
