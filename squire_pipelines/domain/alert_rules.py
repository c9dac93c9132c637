"""The rules of alerts with their defaults, and which alerts conditions have fire. Pure.

Which ones follow from what the ledger says of work is in `work_alerts`; what is sent about an alert, and when, in
`alert_steps`; how a message reads, in `alert_texts`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from squire_pipelines.domain.conditions import Condition, HealthLevel

MAX_SUBJECT = 200


class AlertRule(StrEnum):
    """The rules, by the names that settings, silences and metrics have for them."""

    SETTINGS_REFUSED = "settings_refused"
    LEDGER_LOST = "ledger_lost"
    DISK_FULL = "disk_full"
    CLOCK_WRONG = "clock_wrong"
    DAEMON_STALLED = "daemon_stalled"
    SENSORS_STALLED = "sensors_stalled"
    ENGINE_LOST = "engine_lost"
    GITHUB_LOST = "github_lost"
    GITHUB_TOKEN = "github_token"  # noqa: S105 - the name of a rule
    GITHUB_QUOTA = "github_quota"
    MODEL_LOST = "model_lost"
    PLANNER_FAILS = "planner_fails"
    RECEIVER_LOST = "receiver_lost"
    UI_LOST = "ui_lost"
    TASKS_STUCK = "tasks_stuck"
    UPKEEP_LATE = "upkeep_late"
    WAREHOUSE_LATE = "warehouse_late"
    FILES_LOST = "files_lost"
    BACKUP_LATE = "backup_late"
    TASK_FAILURES = "task_failures"
    CONTAINER_CRASHES = "container_crashes"
    BUDGET = "budget"
    BREAKER_TRIPPED = "breaker_tripped"
    DELIVERIES_LOST = "deliveries_lost"
    READINGS_FAIL = "readings_fail"
    SOURCE_FAILS = "source_fails"
    PLANS_FAIL = "plans_fail"
    DELIVERIES_MISSING = "deliveries_missing"
    TARGET_MISSED = "target_missed"


class Severity(StrEnum):
    """How bad it is: `critical` stops work, `warning` may soon, or harms a part of it."""

    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class RulePolicy:
    """How one rule is applied.

    Args:
        is_enabled: Whether it is applied at all.
        threshold: From which count on it fires; only rules that count have one.
        after_s: For how long a warning has to hold before it is sent; what is critical is sent at once.
        repeat_after_s: How long after a message the same is sent again while it still fires; 0 for never.
    """

    is_enabled: bool = True
    threshold: int | None = None
    after_s: float = 30.0
    repeat_after_s: float = 4 * 3600.0


_DAILY_S = 24 * 3600.0
_DAILY = RulePolicy(after_s=0.0, repeat_after_s=_DAILY_S)
DEFAULT_POLICIES: Mapping[AlertRule, RulePolicy] = MappingProxyType(
    {
        **dict.fromkeys(AlertRule, RulePolicy()),
        AlertRule.SETTINGS_REFUSED: _DAILY,
        AlertRule.GITHUB_TOKEN: _DAILY,
        AlertRule.GITHUB_QUOTA: RulePolicy(repeat_after_s=_DAILY_S),
        AlertRule.UI_LOST: RulePolicy(repeat_after_s=_DAILY_S),
        AlertRule.UPKEEP_LATE: RulePolicy(repeat_after_s=_DAILY_S),
        AlertRule.WAREHOUSE_LATE: RulePolicy(repeat_after_s=_DAILY_S),
        AlertRule.BACKUP_LATE: RulePolicy(repeat_after_s=_DAILY_S),
        AlertRule.TASK_FAILURES: RulePolicy(threshold=3, after_s=0.0, repeat_after_s=_DAILY_S),
        AlertRule.CONTAINER_CRASHES: RulePolicy(threshold=3, after_s=0.0),
        AlertRule.BUDGET: _DAILY,
        AlertRule.BREAKER_TRIPPED: RulePolicy(threshold=1, after_s=0.0, repeat_after_s=_DAILY_S),
        AlertRule.DELIVERIES_LOST: RulePolicy(threshold=1, after_s=0.0),
        AlertRule.READINGS_FAIL: _DAILY,
        AlertRule.SOURCE_FAILS: RulePolicy(threshold=3, after_s=300.0, repeat_after_s=_DAILY_S),
        AlertRule.PLANS_FAIL: RulePolicy(threshold=3, after_s=0.0, repeat_after_s=_DAILY_S),
        AlertRule.DELIVERIES_MISSING: RulePolicy(after_s=1200.0),
        AlertRule.TARGET_MISSED: RulePolicy(after_s=0.0, repeat_after_s=_DAILY_S),
    }
)

RULE_OF_CONDITION: Mapping[str, AlertRule] = MappingProxyType(
    {
        "settings": AlertRule.SETTINGS_REFUSED,
        "ledger": AlertRule.LEDGER_LOST,
        "schema": AlertRule.LEDGER_LOST,
        "disk": AlertRule.DISK_FULL,
        "clock": AlertRule.CLOCK_WRONG,
        "daemon": AlertRule.DAEMON_STALLED,
        "code_server": AlertRule.DAEMON_STALLED,
        "sensors": AlertRule.SENSORS_STALLED,
        "schedules": AlertRule.SENSORS_STALLED,
        "engine": AlertRule.ENGINE_LOST,
        "github": AlertRule.GITHUB_LOST,
        "github_token": AlertRule.GITHUB_TOKEN,
        "github_quota": AlertRule.GITHUB_QUOTA,
        "models": AlertRule.MODEL_LOST,
        "planner": AlertRule.PLANNER_FAILS,
        "receiver": AlertRule.RECEIVER_LOST,
        "ui": AlertRule.UI_LOST,
        "tasks": AlertRule.TASKS_STUCK,
        "upkeep": AlertRule.UPKEEP_LATE,
        "warehouse": AlertRule.WAREHOUSE_LATE,
        "files": AlertRule.FILES_LOST,
        "backup": AlertRule.BACKUP_LATE,
    }
)
"""The rule that each condition belongs to; a test holds it against all conditions that there are."""

OF_FACTS = frozenset(AlertRule) - frozenset(RULE_OF_CONDITION.values())
"""The rules that follow from what the ledger says of work, not from a condition."""


@dataclass(frozen=True, slots=True)
class FiringAlert:
    """Something that is wrong now.

    Args:
        rule: That says so.
        subject: Of what: a condition with its machine, a repository, a budget.
        severity: How bad it is.
        reason: Why, in words.
        hint: What to do.
    """

    rule: AlertRule
    subject: str
    severity: Severity
    reason: str
    hint: str

    @property
    def key(self) -> str:
        """What stays the same while the same thing is wrong."""
        return alert_key(self.rule, self.subject)


def alert_key(rule: str, subject: str) -> str:
    """Return the key of an alert: its rule and its subject."""
    return f"{rule}:{subject[:MAX_SUBJECT]}"


@dataclass(frozen=True, slots=True)
class Assessment:
    """What is firing now, and of which keys it is known whether they fire.

    Args:
        firing: The alerts, by key.
        known_rules: Rules all of whose alerts are known.
        known_keys: Keys of which it is known beside these.
    """

    firing: Mapping[str, FiringAlert] = field(default_factory=dict)
    known_rules: frozenset[AlertRule] = frozenset()
    known_keys: frozenset[str] = frozenset()

    def is_known(self, rule: str, key: str) -> bool:
        """Return whether it is known of an alert that it fires, or that it does not."""
        return rule in self.known_rules or key in self.known_keys

    def __or__(self, other: "Assessment") -> "Assessment":
        return Assessment(
            {**self.firing, **other.firing},
            self.known_rules | other.known_rules,
            self.known_keys | other.known_keys,
        )


def assess_conditions(conditions: Iterable[Condition], machine: str, *, now: datetime) -> Assessment:
    """Return what follows from conditions as one machine sees them. Of what nobody looks at any more nothing follows.

    Args:
        conditions: All of them.
        machine: Its name: another one's engine and disk say nothing about this one's.
        now: When.
    """
    fresh = [condition for condition in conditions if not condition.is_stale(now)]
    firing = [
        FiringAlert(
            RULE_OF_CONDITION[condition.name],
            condition_subject(condition.name, machine),
            Severity.CRITICAL if condition.level is HealthLevel.DOWN else Severity.WARNING,
            condition.reason,
            condition.hint,
        )
        for condition in fresh
        if not condition.is_ok
    ]
    keys = (
        alert_key(RULE_OF_CONDITION[condition.name], condition_subject(condition.name, machine)) for condition in fresh
    )
    return Assessment({alert.key: alert for alert in firing}, known_keys=frozenset(keys))


def condition_subject(condition: str, machine: str) -> str:
    """Return the subject of a condition's alert on one machine."""
    return f"{condition} on {machine}"


def policies_of(changes: Mapping[AlertRule, Mapping[str, Any]]) -> Mapping[AlertRule, RulePolicy]:
    """Return the policy of each rule: its default, with what the settings say otherwise."""
    return MappingProxyType({rule: replace(DEFAULT_POLICIES[rule], **changes.get(rule, {})) for rule in AlertRule})


def threshold_of(policies: Mapping[AlertRule, RulePolicy], rule: AlertRule) -> int:
    """Return from which count on a rule that counts fires."""
    return policies[rule].threshold or DEFAULT_POLICIES[rule].threshold or 1
