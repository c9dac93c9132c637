"""The alert sensor: says once in each period that a budget is nearly or wholly used up, in the log and by a webhook."""

import json
from collections.abc import Mapping

import dagster as dg
import httpx

from squire_pipelines.domain.budgets import renewed_at
from squire_pipelines.ledger import budgets
from squire_pipelines.ledger.budgets import Level
from squire_pipelines.resources.stores import LedgerResource, SettingsResource

_TIMEOUT_S = 10.0
_MAX_PER_TICK = 5
_MAX_REMEMBERED = 500


@dg.sensor(
    name="budget_alerts",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells of budgets that are nearly or wholly used up, once in each period.",
    tags={"squire/part": "alerts"},
    target=None,
)
def budget_alerts(
    context: dg.SensorEvaluationContext, settings: SettingsResource, ledger: LedgerResource
) -> dg.SkipReason:
    """The cursor is what was told already: `scope repository beginning what`. What could not be told stays out."""
    chosen = settings.load()
    with ledger.open().read() as tx:
        levels = budgets.levels(tx, chosen.budgets, chosen.budgets_for, chosen.repositories)
        now = tx.now
    told: list[str] = json.loads(context.cursor or "[]")
    due: list[tuple[str, Level, str]] = []
    for level in levels:
        what = "used_up" if level.is_used_up else "nearly_used_up" if level.share >= chosen.alerts.budget_share else ""
        key = f"{level.scope} {level.repository or '-'} {level.since:%Y-%m-%d} {what}"
        if what and key not in told:
            due.append((key, level, what))
    sent = 0
    for key, level, what in due[:_MAX_PER_TICK]:
        limit = level.limits.of(level.scope)
        until = renewed_at(level.scope, now)
        event = {
            "event": f"budget.{what}",
            "scope": level.scope.value,
            "repository": level.repository,
            "used_usd": round(level.used.usd, 6),
            "used_tokens": level.used.tokens,
            "limit_usd": limit.usd,
            "limit_tokens": limit.tokens,
            "since": level.since.isoformat(),
            "renewed_at": until.isoformat() if until else None,
        }
        context.log.warning(f"budget alert: {json.dumps(event)}")
        if chosen.alerts.webhook_url and not _post(context, chosen.alerts.webhook_url, event):
            continue
        told.append(key)
        sent += 1
    context.update_cursor(json.dumps(told[-_MAX_REMEMBERED:]))
    return dg.SkipReason(f"told of {sent} of {len(due)} budgets" if due else "all budgets have room")


def _post(context: dg.SensorEvaluationContext, url: str, event: Mapping[str, object]) -> bool:
    try:
        httpx.post(url, json=dict(event), timeout=_TIMEOUT_S, follow_redirects=False).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        # The URL may hold a token: it is not repeated.
        context.log.warning(f"the alert could not be delivered and is tried again: {type(error).__name__}")
        return False
    return True
