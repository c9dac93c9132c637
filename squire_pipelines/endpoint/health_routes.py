"""The routes of health: whether this process answers, and whether Squire can work, by what was seen last.

Neither asks anything of anybody, so that whoever asks often costs nothing.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from squire_pipelines.domain.conditions import Condition, HealthLevel, worst_level
from squire_pipelines.health.document import condition_documents

_NOT_KEPT = {"Cache-Control": "no-store"}


def health_routes(
    conditions: Callable[[], tuple[Condition, ...]], *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> tuple[Route, ...]:
    """Return `GET /healthz` and `GET /readyz`.

    Args:
        conditions: Gives the conditions as they were seen last; none before the first look.
        now: The wall clock.
    """

    async def healthz(_request: Request) -> Response:
        return JSONResponse({"ok": True}, headers=_NOT_KEPT)

    async def readyz(_request: Request) -> Response:
        moment, seen = now(), conditions()
        level = worst_level(seen, now=moment)
        is_ready = bool(seen) and level is not HealthLevel.DOWN
        document = {
            "ready": is_ready,
            "level": level.value if seen else None,
            "conditions": condition_documents(seen, now=moment),
        }
        return JSONResponse(document, status_code=200 if is_ready else 503, headers=_NOT_KEPT)

    return Route("/healthz", healthz, methods=["GET"]), Route("/readyz", readyz, methods=["GET"])
