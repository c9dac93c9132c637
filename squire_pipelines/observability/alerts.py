"""Alerts of budgets, settings and the planner's model: which are due, and sending one to the settings' webhook."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Literal, TypeAlias

import httpx
from pydantic import BaseModel, ConfigDict, TypeAdapter

from squire_pipelines.domain.budgets import renewed_at
from squire_pipelines.errors import NotReachableError
from squire_pipelines.ledger.budgets import BudgetLevel
from squire_pipelines.ledger.plan_retries import ModelFailures

_TIMEOUT_S = 10.0
_MAX_REASON = 2000


class BudgetAlert(BaseModel):
    """What is told of a budget that is nearly or wholly used up. Times are ISO 8601 in UTC."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    event: str
    scope: str
    repository: str | None
    used_usd: float
    used_tokens: int
    limit_usd: float | None
    limit_tokens: int | None
    since: str
    renewed_at: str | None

    @property
    def key(self) -> str:
        """What makes it one alert: it is sent once in each period."""
        return f"{self.scope} {self.repository or '-'} {self.since[:10]} {self.event.removeprefix('budget.')}"


class SettingsAlert(BaseModel):
    """What is told of a settings' file that is refused. No secret is in the reason. Times are ISO 8601 in UTC."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    event: Literal["settings.refused"] = "settings.refused"
    reason: str
    refused_version: str
    version_in_force: str
    since: str

    @property
    def key(self) -> str:
        """What makes it one alert: it is sent once for each refused file."""
        return f"settings {self.refused_version} refused {self.since[:10]}"


class PlannerAlert(BaseModel):
    """What is told of a planner's model that failed several times in a row. Times are ISO 8601 in UTC."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    event: Literal["planner.model_fails"] = "planner.model_fails"
    model: str
    failures: int
    since: str
    last_plan: str
    reason: str

    @property
    def key(self) -> str:
        """What makes it one alert: it is sent once for failures in a row, however many follow."""
        return f"planner {self.since}"


FAILURES_TO_TELL = 3
"""In a row: one or two are a hiccup, and the model is asked again by itself."""

Alert: TypeAlias = BudgetAlert | SettingsAlert | PlannerAlert
_ALERT: TypeAdapter[Alert] = TypeAdapter(Alert)


def read_alert(text: str) -> Alert:
    """Return the alert that a text of JSON is. Raises pydantic.ValidationError."""
    return _ALERT.validate_json(text)


def settings_alert(reason: str, *, refused_version: str, version_in_force: str, since: datetime) -> SettingsAlert:
    """Return the alert of a settings' file that is refused.

    Args:
        reason: The error's message; of a long one the beginning.
        refused_version: Of the refused file.
        version_in_force: Of the file that holds instead.
        since: When it was refused first.
    """
    return SettingsAlert(
        reason=reason[:_MAX_REASON],
        refused_version=refused_version,
        version_in_force=version_in_force,
        since=since.isoformat(),
    )


def due_planner_alerts(failures: ModelFailures | None, *, model: str, sent: Collection[str]) -> list[PlannerAlert]:
    """Return the alert about a planner's model that was not sent for these failures.

    Args:
        failures: In a row, by now.
        model: The planner's.
        sent: The keys of the alerts that were sent.
    """
    if failures is None or failures.count < FAILURES_TO_TELL:
        return []
    alert = PlannerAlert(
        model=model,
        failures=failures.count,
        since=failures.since.isoformat(),
        last_plan=failures.last_plan,
        reason=failures.reason[:_MAX_REASON],
    )
    return [] if alert.key in sent else [alert]


def due_budget_alerts(levels: Iterable[BudgetLevel], *, share: float, sent: Collection[str]) -> list[BudgetAlert]:
    """Return the alerts that were not sent in this period.

    Args:
        levels: How the budgets stand.
        share: From which part of a limit on it counts as nearly used up, 0 to 1.
        sent: The keys of the alerts that were sent.
    """
    alerts = []
    for level in levels:
        if not level.is_used_up and level.share < share:
            continue
        limit = level.limits.of(level.scope)
        until = renewed_at(level.scope, level.since)
        alert = BudgetAlert(
            event="budget.used_up" if level.is_used_up else "budget.nearly_used_up",
            scope=level.scope.value,
            repository=level.repository,
            used_usd=round(level.used.usd, 6),
            used_tokens=level.used.tokens,
            limit_usd=limit.usd,
            limit_tokens=limit.tokens,
            since=level.since.isoformat(),
            renewed_at=until.isoformat() if until else None,
        )
        if alert.key not in sent:
            alerts.append(alert)
    return alerts


def send_alert(alert: Alert, url: str) -> None:
    """Send an alert as JSON.

    Raises:
        NotReachableError: The webhook did not take it. The message does not repeat the URL, which may hold a token.
    """
    try:
        httpx.post(url, json=alert.model_dump(), timeout=_TIMEOUT_S, follow_redirects=False).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise NotReachableError(
            f"the alert could not be delivered: {type(error).__name__}",
            hint="check alerts.webhook_url in the settings, and that its server answers",
        ) from None
