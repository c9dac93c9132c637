"""The forge as one ASGI application: which part serves which address."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from squire_forge.actions import log_routes
from squire_forge.answers import ApiError
from squire_forge.api import GraphQL
from squire_forge.app_manifests import AppManifests
from squire_forge.app_routes import AppRoutes
from squire_forge.caretaker import Caretaker
from squire_forge.control import Control
from squire_forge.faults import FaultMiddleware, Faults
from squire_forge.githttp import GitHttp
from squire_forge.hooks import app_hook_routes
from squire_forge.limits import RateLimits
from squire_forge.pages import Pages
from squire_forge.rest import Rest
from squire_forge.world import World


def build_app(world: World) -> Starlette:
    """Return the application over one world, which it closes when it ends."""
    limits = RateLimits(limit=world.config.rate_limit)
    faults = Faults()
    caretaker = Caretaker(world, faults)
    manifests = AppManifests(world.apps, world.config.web_url)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        try:
            async with caretaker.running():
                yield
        finally:
            world.database.close()

    return Starlette(
        routes=[
            Mount("/_forge", routes=Control(world, faults, caretaker).routes()),
            Route("/api/graphql", GraphQL(world, limits, faults).endpoint, methods=["POST"]),
            Mount(
                "/api/v3",
                routes=[
                    *AppRoutes(world.apps).routes(),
                    *app_hook_routes(world),
                    *manifests.routes(),
                    *Rest(world, limits).routes(),
                    Route("/{rest:path}", _unknown),
                ],
            ),
            *log_routes(world),
            Route("/{owner}/{repo}.git/{rest:path}", GitHttp(world).endpoint, methods=["GET", "POST"]),
            *manifests.pages(),
            *Pages(world).routes(),
        ],
        middleware=[
            # A page elsewhere that resolves its name to this machine must not reach the forge.
            Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", world.config.host]),
            Middleware(FaultMiddleware, faults=faults),
        ],
        lifespan=lifespan,
    )


async def _unknown(_: Request) -> Response:
    return ApiError(404, "Not Found").response()
