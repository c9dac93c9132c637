"""Which alerts are firing by what is known now: the rules with their defaults, of conditions and facts. Pure.

What is sent about an alert, and when, is in `alert_steps`; how a message reads, in `alert_texts`.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from squire_pipelines.domain.conditions import MAX_TEXT, Condition, HealthLevel
from squire_pipelines.domain.delivery_gaps import UnrepairedHook
from squire_pipelines.domain.plan_failures import PlanFailure
from squire_pipelines.domain.targets import MissedTarget

CRASHES_WITHIN = timedelta(hours=1)
"""Crashed containers of so long are counted together, and deliveries of which nothing was read too."""

LONG_UNREAD = timedelta(hours=1)
"""For so long at least, and for three readings, those of a repository have to fail before that is an alert."""

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
    BACKUP_LATE = "backup_late"
    TASK_FAILURES = "task_failures"
    CONTAINER_CRASHES = "container_crashes"
    BUDGET = "budget"
    BREAKER_TRIPPED = "breaker_tripped"
    DELIVERIES_LOST = "deliveries_lost"
    READINGS_FAIL = "readings_fail"
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


@dataclass(frozen=True, slots=True)
class FailureRun:
    """Tasks of one repository that failed one after another by now: how many, the newest one, and why it failed."""

    repository: str
    count: int
    task_id: str
    cause: str


@dataclass(frozen=True, slots=True)
class BudgetFacts:
    """How one budget stands: which `share` of it is used or reserved (1 is all), and when it is full again.

    `scope` is that of `domain.budgets`, or `provider NAME` for a provider's limit of the day.
    """

    scope: str
    repository: str | None
    share: float
    is_used_up: bool
    renewed: str


@dataclass(frozen=True, slots=True)
class TrippedFacts:
    """Ready tasks that breakers of one scope hold: how many, one of them, and what the breaker says of it."""

    scope: str
    count: int
    task_id: str
    text: str


@dataclass(frozen=True, slots=True)
class UnreadRepository:
    """A repository whose readings fail: since when, as far as is known, how many, and why the newest one did."""

    repository: str
    since: datetime
    readings: int
    reason: str


@dataclass(frozen=True, slots=True)
class WorkFacts:
    """What the ledger says of work.

    Args:
        failures: Repositories whose newest tasks failed.
        crashes: Containers that crashed within `CRASHES_WITHIN`.
        crashed_task: One of their tasks.
        budgets: Each budget that has a limit.
        breakers: Breakers that hold tasks.
        lost_deliveries: Deliveries of `CRASHES_WITHIN` after which nothing was read.
        unread: Repositories that could not be read for long.
        plans: Repositories that get no tasks from their plans.
        unrepaired: Webhooks whose newest comparison left something to do.
        missed: Targets that are missed.
        at: When that was read.
    """

    failures: tuple[FailureRun, ...] = ()
    crashes: int = 0
    crashed_task: str = ""
    budgets: tuple[BudgetFacts, ...] = ()
    breakers: tuple[TrippedFacts, ...] = ()
    lost_deliveries: int = 0
    unread: tuple[UnreadRepository, ...] = ()
    plans: tuple[PlanFailure, ...] = ()
    unrepaired: tuple[UnrepairedHook, ...] = ()
    missed: tuple[MissedTarget, ...] = ()
    at: datetime | None = None


def assess_work(facts: WorkFacts, policies: Mapping[AlertRule, RulePolicy], *, budget_share: float) -> Assessment:
    """Return what follows from the ledger's facts.

    Args:
        facts: What was read.
        policies: Of each rule.
        budget_share: From which part of a budget on it is nearly used up, 0 to 1.
    """
    missing = AlertRule.DELIVERIES_MISSING
    alerts = [
        *_failures(facts.failures, _threshold(policies, AlertRule.TASK_FAILURES)),
        *_crashes(facts, _threshold(policies, AlertRule.CONTAINER_CRASHES)),
        *_budgets(facts.budgets, budget_share),
        *_breakers(facts.breakers, _threshold(policies, AlertRule.BREAKER_TRIPPED)),
        *_lost_deliveries(facts, _threshold(policies, AlertRule.DELIVERIES_LOST)),
        *_unread(facts.unread),
        *_plans(facts, _threshold(policies, AlertRule.PLANS_FAIL)),
        *(FiringAlert(missing, one.hook, Severity.WARNING, one.problem, one.hint) for one in facts.unrepaired),
        *_missed_targets(facts.missed),
    ]
    return Assessment({alert.key: alert for alert in alerts}, known_rules=OF_FACTS)


def _threshold(policies: Mapping[AlertRule, RulePolicy], rule: AlertRule) -> int:
    return policies[rule].threshold or DEFAULT_POLICIES[rule].threshold or 1


def _failures(runs: Collection[FailureRun], threshold: int) -> Iterable[FiringAlert]:
    for run in runs:
        if run.count >= threshold:
            reason = f"the last {run.count} tasks of {run.repository} failed, the newest with {run.cause}"
            hint = f"see `squire tasks show {run.task_id}`; `squire tasks retry` tries again what is mended"
            yield FiringAlert(AlertRule.TASK_FAILURES, run.repository, Severity.WARNING, reason, hint)


def _crashes(facts: WorkFacts, threshold: int) -> Iterable[FiringAlert]:
    if facts.crashes >= threshold:
        reason = f"{facts.crashes} containers of agents crashed within the last hour"
        hint = f"see `squire tasks logs {facts.crashed_task}` and `squire doctor`: memory, image or engine"
        yield FiringAlert(AlertRule.CONTAINER_CRASHES, "all", Severity.WARNING, reason, hint)


def _budgets(budgets: Collection[BudgetFacts], budget_share: float) -> Iterable[FiringAlert]:
    hint = "`squire budgets show` says what used it; [budgets], or a provider's max_usd_per_day, raises it"
    for budget in budgets:
        name = f"of {budget.repository}" if budget.repository else f"of the {budget.scope}"
        subject = budget.repository or budget.scope
        until = f", until {budget.renewed}" if budget.renewed else ""
        if budget.is_used_up:
            reason = f"the budget {name} is used up: work waits{until}"
            yield FiringAlert(AlertRule.BUDGET, subject, Severity.CRITICAL, reason, hint)
        elif budget.share >= budget_share:
            reason = f"{budget.share:.0%} of the budget {name} are used or reserved{until}"
            yield FiringAlert(AlertRule.BUDGET, subject, Severity.WARNING, reason, hint)


def _breakers(breakers: Collection[TrippedFacts], threshold: int) -> Iterable[FiringAlert]:
    for trip in breakers:
        if trip.count >= threshold:
            reason = f"{trip.count} tasks are held, such as {trip.task_id}, by {trip.text}"
            hint = f"see `squire tasks show {trip.task_id}`"
            yield FiringAlert(AlertRule.BREAKER_TRIPPED, trip.scope, Severity.WARNING, reason[:MAX_TEXT], hint)


def _lost_deliveries(facts: WorkFacts, threshold: int) -> Iterable[FiringAlert]:
    if facts.lost_deliveries >= threshold:
        reason = f"after {facts.lost_deliveries} deliveries of the last hour nothing was read, for all tries"
        hint = "see `squire webhooks list`; the schedule reads the repositories all the same"
        yield FiringAlert(AlertRule.DELIVERIES_LOST, "all", Severity.WARNING, reason, hint)


def _unread(repositories: Collection[UnreadRepository]) -> Iterable[FiringAlert]:
    for one in repositories:
        since = f"{one.since:%Y-%m-%d %H:%M} UTC"
        reason = f"no reading of {one.repository} succeeded since {since} ({one.readings} tries): {one.reason}"
        hint = "`squire doctor` says what the token may read; take what is gone out of `repositories`"
        yield FiringAlert(AlertRule.READINGS_FAIL, one.repository, Severity.WARNING, reason[:MAX_TEXT], hint)


def _plans(facts: WorkFacts, threshold: int) -> Iterable[FiringAlert]:
    for plan in facts.plans:
        if plan.is_told(threshold, now=facts.at or plan.since):
            reason = plan.text[:MAX_TEXT]
            yield FiringAlert(AlertRule.PLANS_FAIL, plan.repository, Severity.WARNING, reason, plan.hint)


def _missed_targets(targets: Collection[MissedTarget]) -> Iterable[FiringAlert]:
    for missed in targets:
        severity = Severity.CRITICAL if missed.window.is_critical else Severity.WARNING
        subject = f"{missed.target} of {missed.repository}"
        yield FiringAlert(AlertRule.TARGET_MISSED, subject, severity, missed.text, missed.hint)


def policies_of(changes: Mapping[AlertRule, Mapping[str, Any]]) -> Mapping[AlertRule, RulePolicy]:
    """Return the policy of each rule: its default, with what the settings say otherwise."""
    return MappingProxyType({rule: replace(DEFAULT_POLICIES[rule], **changes.get(rule, {})) for rule in AlertRule})
