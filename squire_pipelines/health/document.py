"""Conditions as the JSON that `squire status --json` and `/readyz` write: its keys stay, and others may join them."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from squire_pipelines.domain.conditions import Condition


def condition_documents(conditions: Iterable[Condition], *, now: datetime) -> list[dict[str, Any]]:
    """Return an object for each condition; times are ISO 8601 in UTC, ages in seconds."""
    return [
        {
            "name": condition.name,
            "level": condition.level.value,
            "reason": condition.reason,
            "hint": condition.hint,
            "since": _moment(condition.since),
            "checked_at": _moment(condition.checked_at),
            "age_s": round(condition.age_s(now), 1),
            "stale": condition.is_stale(now),
            "starting": condition.is_starting,
        }
        for condition in conditions
    ]


def _moment(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
