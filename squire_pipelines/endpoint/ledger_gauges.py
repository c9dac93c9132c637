"""What the ledger says of the present, as gauges: tasks, the queue, attempts, GitHub's quota, budgets, the inbox."""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from squire_pipelines.domain.budgets import Amount, BudgetLimits, Limit, day_of, month_of
from squire_pipelines.domain.rate_limits import LimitKind, LimitState
from squire_pipelines.endpoint.gauges import Gauges, bounded_names
from squire_pipelines.ledger import alerts, delivery_checks, operator_state
from squire_pipelines.ledger.provider_budgets import used_today
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.metrics import families
from squire_pipelines.metrics.family import Family
from squire_pipelines.settings.model import Settings
from squire_pipelines.settings.provider_uses import providers_with_day_limits

ALL_REPOSITORIES = "*"
_FORECAST_FROM = timedelta(minutes=10)
_LEAST_KNOWN = timedelta(minutes=1)
_MAX_POINTS = 200


def read_tasks(tx: Transaction, _settings: Settings) -> Gauges:
    """Return how many tasks there are in each state; a state without any is 0."""
    gauges = Gauges()
    counts = operator_state.count_tasks(tx)
    for status in families.TASKS.labels[0].values:
        for kind in families.TASKS.labels[1].values:
            gauges.set(families.TASKS, counts.get((status, kind), 0), status, kind)
    return gauges


def read_queue(tx: Transaction, settings: Settings) -> Gauges:
    """Return how deep the queue is, and how long the oldest task waits; 0 where none does."""
    gauges = Gauges()
    queue = operator_state.read_queue(tx)
    known = bounded_names(settings.repositories)
    for family, counts in ((families.TASKS_PENDING, queue.pending), (families.TASKS_RUNNING, queue.running)):
        for name in known:
            gauges.set(family, 0, name)
        for name, count in counts.items():
            gauges.add(family, count, family.labels[0].bounded(name, known))
    gauges.set(families.OLDEST_WAIT, _seconds_since(queue.oldest_ready, tx.now))
    return gauges


def read_attempts(tx: Transaction, _settings: Settings) -> Gauges:
    """Return how many attempts are under way."""
    gauges = Gauges()
    for status, count in operator_state.count_open_attempts(tx).items():
        gauges.set(families.ATTEMPTS_OPEN, count, status)
    return gauges


def read_inbox(tx: Transaction, _settings: Settings) -> Gauges:
    """Return how many deliveries wait, how long the oldest does, and how many GitHub sent that are not here."""
    gauges = Gauges()
    inbox = operator_state.read_inbox(tx)
    gauges.set(families.DELIVERIES_WAITING, inbox.waiting)
    gauges.set(families.DELIVERY_OLDEST, _seconds_since(inbox.oldest, tx.now))
    checks = tuple(delivery_checks.newest_checks(tx))
    gauges.set(families.DELIVERIES_MISSING, sum(check.missing for check in checks if check.error is not None))
    if checks:
        gauges.set(families.DELIVERY_CHECK_AGE, _seconds_since(min(check.at for check in checks), tx.now))
    return gauges


def read_ledger(tx: Transaction, _settings: Settings) -> Gauges:
    """Return how large the ledger's database is on a server; that of its files is a reading of the machine."""
    gauges = Gauges()
    if (size := operator_state.database_bytes(tx)) is not None:
        gauges.set(families.LEDGER_SIZE, size, "ledger")
    return gauges


def read_alerts(tx: Transaction, _settings: Settings) -> Gauges:
    """Return how many alerts fire by each rule, and how many messages about them wait or were dropped."""
    gauges = Gauges()
    rules, severities = (label.values for label in families.ALERTS_FIRING.labels)
    firing = Counter((state.rule, state.severity.value) for state in alerts.open_alerts(tx))
    for rule in rules:
        for severity in severities:
            gauges.set(families.ALERTS_FIRING, firing[rule, severity], rule, severity)
    queues = alerts.target_queues(tx)
    gauges.set(families.ALERT_MESSAGES_WAITING, sum(queue.waiting for queue in queues))
    gauges.set(families.ALERT_MESSAGES_DROPPED, sum(queue.dropped for queue in queues))
    return gauges


def _seconds_since(moment: datetime | None, now: datetime) -> float:
    return 0.0 if moment is None else max(0.0, (now - moment).total_seconds())


_AMOUNTS: tuple[tuple[str, Family, Family, Family], ...] = (
    ("usd", families.BUDGET_USED, families.BUDGET_RESERVED, families.BUDGET_LIMIT),
    ("tokens", families.BUDGET_USED_TOKENS, families.BUDGET_RESERVED_TOKENS, families.BUDGET_LIMIT_TOKENS),
)


def read_budgets(tx: Transaction, settings: Settings) -> Gauges:
    """Return what is used of the day and the month by all, of the month by repositories, of the day at providers."""
    gauges = Gauges()
    known = bounded_names(settings.repositories)
    limits: BudgetLimits = settings.budgets
    for period, since, limit in (
        ("day", day_of(tx.now), limits.day),
        ("month", month_of(tx.now), limits.month),
    ):
        uses = operator_state.read_budget_use(tx, since)
        spent = sum((use.spent for use in uses.values()), Amount())
        reserved = sum((use.reserved for use in uses.values()), Amount())
        _set_amounts(gauges, spent, reserved, limit, period, ALL_REPOSITORIES)
        if period == "month":
            for name in sorted(known):
                use = uses.get(name, operator_state.BudgetUse(Amount(), Amount()))
                _set_amounts(gauges, use.spent, use.reserved, settings.budgets_for(name).repository, period, name)
    day_limits = providers_with_day_limits(settings)
    for provider in bounded_names(day_limits):
        gauges.set(families.PROVIDER_USED, used_today(tx, provider), provider)
        gauges.set(families.PROVIDER_LIMIT, day_limits[provider], provider)
    return gauges


def _set_amounts(gauges: Gauges, spent: Amount, reserved: Amount, limit: Limit, *labels: str) -> None:
    for unit, used_family, reserved_family, limit_family in _AMOUNTS:
        gauges.set(used_family, getattr(spent, unit), *labels)
        gauges.set(reserved_family, getattr(reserved, unit), *labels)
        if (most := getattr(limit, unit)) is not None:
            gauges.set(limit_family, most, *labels)


@dataclass(frozen=True, slots=True)
class _Point:
    """What was left of a quota at a moment."""

    at: datetime
    remaining: int
    reset_at: datetime


class QuotaForecast:
    """What will be left of GitHub's quota at its window's end, if it goes on as in the last minutes."""

    def __init__(self) -> None:
        self._points: dict[LimitKind, deque[_Point]] = {}

    def forecast(self, kind: LimitKind, state: LimitState, now: datetime) -> float | None:
        """Add what is known now, and return the forecast; None before a minute of use is known to go by."""
        if state.remaining is None or state.reset_at is None or state.reset_at <= now:
            self._points.pop(kind, None)
            return None
        points = self._points.setdefault(kind, deque(maxlen=_MAX_POINTS))
        if points and points[-1].reset_at != state.reset_at:
            points.clear()  # another window, or another credential
        points.append(_Point(now, state.remaining, state.reset_at))
        while points[0].at < now - _FORECAST_FROM:
            points.popleft()
        elapsed = now - points[0].at
        if elapsed < _LEAST_KNOWN:
            return None
        pace = max(0, points[0].remaining - state.remaining) / elapsed.total_seconds()
        return state.remaining - pace * (state.reset_at - now).total_seconds()

    def read(self, tx: Transaction, _settings: Settings) -> Gauges:
        """Return GitHub's limits as they are known; a kind that was never asked for has no value."""
        gauges = Gauges()
        limits: Mapping[LimitKind, LimitState] = operator_state.read_limits(tx)
        for kind, state in limits.items():
            blocked = state.blocked_until
            left = (blocked - tx.now).total_seconds() if blocked is not None else 0.0
            gauges.set(families.GITHUB_BLOCKED, max(0.0, left), kind)
            if state.quota is not None:
                gauges.set(families.QUOTA_LIMIT, state.quota, kind)
            if (available := state.available(tx.now)) is not None and state.reset_at is not None:
                gauges.set(families.QUOTA_REMAINING, available, kind)
                gauges.set(families.QUOTA_RESET, state.reset_at.timestamp(), kind)
            if (forecast := self.forecast(kind, state, tx.now)) is not None:
                gauges.set(families.QUOTA_FORECAST, forecast, kind)
        return gauges
