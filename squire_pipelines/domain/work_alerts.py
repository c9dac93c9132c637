"""Which alerts fire by what the ledger says of work: failures, budgets, readings, plans, deliveries, targets. Pure.

The rules and their defaults are in `alert_rules`; the facts are read by `ledger.alert_facts`.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from squire_pipelines.domain.alert_rules import (
    OF_FACTS,
    AlertRule,
    Assessment,
    FiringAlert,
    RulePolicy,
    Severity,
    threshold_of,
)
from squire_pipelines.domain.conditions import MAX_TEXT
from squire_pipelines.domain.delivery_gaps import UnrepairedHook
from squire_pipelines.domain.plan_failures import PlanFailure
from squire_pipelines.domain.targets import MissedTarget

CRASHES_WITHIN = timedelta(hours=1)
"""Crashed containers of so long are counted together, and deliveries of which nothing was read too."""

LONG_UNREAD = timedelta(hours=1)
"""For so long at least, and for three readings, those of a repository have to fail before that is an alert."""


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
class SourceFailure:
    """One source of a repository that does not answer while another does: since when, how many readings, and why."""

    repository: str
    source: str
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
        sources: Single sources that do not answer.
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
    sources: tuple[SourceFailure, ...] = ()
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
        *_failures(facts.failures, threshold_of(policies, AlertRule.TASK_FAILURES)),
        *_crashes(facts, threshold_of(policies, AlertRule.CONTAINER_CRASHES)),
        *_budgets(facts.budgets, budget_share),
        *_breakers(facts.breakers, threshold_of(policies, AlertRule.BREAKER_TRIPPED)),
        *_lost_deliveries(facts, threshold_of(policies, AlertRule.DELIVERIES_LOST)),
        *_unread(facts.unread),
        *_failing_sources(facts.sources, threshold_of(policies, AlertRule.SOURCE_FAILS)),
        *_plans(facts, threshold_of(policies, AlertRule.PLANS_FAIL)),
        *(FiringAlert(missing, one.hook, Severity.WARNING, one.problem, one.hint) for one in facts.unrepaired),
        *_missed_targets(facts.missed),
    ]
    return Assessment({alert.key: alert for alert in alerts}, known_rules=OF_FACTS)


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


def _failing_sources(sources: Collection[SourceFailure], threshold: int) -> Iterable[FiringAlert]:
    for one in sources:
        if one.readings >= threshold:
            subject, since = f"{one.source} of {one.repository}", f"{one.since:%Y-%m-%d %H:%M} UTC"
            reason = f"{subject} does not answer since {since} ({one.readings} tries): {one.reason}"
            hint = f"see `squire doctor` and `squire signals collect {one.repository}`; what was read before is kept"
            yield FiringAlert(AlertRule.SOURCE_FAILS, subject, Severity.WARNING, reason[:MAX_TEXT], hint)


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
