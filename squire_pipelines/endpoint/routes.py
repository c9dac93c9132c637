"""The endpoint as an ASGI application: what is read, and how it is answered. What it shows is made by others."""

from collections.abc import Callable, Iterable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from squire_pipelines import __version__

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Of Prometheus' text format: https://prometheus.io/docs/instrumenting/exposition_formats/."""


def create_app(*, metrics: Callable[[], bytes], others: Iterable[Route] = ()) -> Starlette:
    """Return the endpoint: `GET /metrics`, and what else an operator may look at.

    Args:
        metrics: Returns all metrics as text; it must not take long, since it is called in the loop's thread.
        others: Further routes, such as those of health.
    """

    async def answer(_request: Request) -> Response:
        return Response(metrics(), headers={"Content-Type": METRICS_TYPE, "Cache-Control": "no-store"})

    async def list_pages(_request: Request) -> Response:
        # Also how `squire doctor` knows that it is Squire who has the port.
        return JSONResponse({"squire": __version__, "pages": [route.path for route in routes]})

    routes = [Route("/metrics", answer, methods=["GET"]), *others]
    return Starlette(routes=[Route("/", list_pages, methods=["GET"]), *routes])
