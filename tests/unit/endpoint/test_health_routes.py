"""`/healthz` and `/readyz`: degraded is ready, down is not, and both say how old what they say is."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from squire_pipelines.domain.conditions import Condition, HealthLevel
from squire_pipelines.endpoint.health_routes import health_routes

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def condition(level: HealthLevel, age_s: float = 5) -> Condition:
    seen = NOW - timedelta(seconds=age_s)
    return Condition("engine", level, "why", "do something", seen - timedelta(minutes=1), seen, 60)


def get(path: str, *conditions: Condition) -> tuple[int, dict[str, Any]]:
    app = Starlette(routes=health_routes(lambda: conditions, now=lambda: NOW))

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://squire.test") as client:
            return await client.get(path)

    answer = asyncio.run(ask())
    assert answer.headers["cache-control"] == "no-store"
    return answer.status_code, answer.json()


def test_the_process_answers_whatever_is_down() -> None:
    assert get("/healthz", condition(HealthLevel.DOWN)) == (200, {"ok": True})


@pytest.mark.parametrize(
    ("level", "status"), [(HealthLevel.OK, 200), (HealthLevel.DEGRADED, 200), (HealthLevel.DOWN, 503)]
)
def test_only_what_is_down_is_not_ready(level: HealthLevel, status: int) -> None:
    code, document = get("/readyz", condition(level))
    assert (code, document["ready"], document["level"]) == (status, status == 200, level.value)
    assert document["conditions"] == [
        {
            "name": "engine",
            "level": level.value,
            "reason": "why",
            "hint": "do something",
            "since": "2026-03-01T11:58:55Z",
            "checked_at": "2026-03-01T11:59:55Z",
            "age_s": 5.0,
            "stale": False,
            "starting": False,
        }
    ]


def test_what_nobody_looks_at_any_more_is_degraded() -> None:
    code, document = get("/readyz", condition(HealthLevel.OK, age_s=120))
    assert (code, document["level"], document["conditions"][0]["stale"]) == (200, "degraded", True)


def test_before_the_first_look_nothing_is_ready() -> None:
    assert get("/readyz") == (503, {"ready": False, "level": None, "conditions": []})
