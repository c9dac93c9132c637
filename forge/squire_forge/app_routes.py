"""The routes of a GitHub App: who it is, where it is installed, a token for an installation. `apps` keeps the Apps."""

from collections.abc import Awaitable, Callable, Mapping

from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from squire_forge.answers import ApiError, parse, read_json, token_of
from squire_forge.apps import GRANTED, Apps

_INSTALLATION = 1


class _Registration(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    app_id: str
    public_key: str


class _TokenRequest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    repositories: frozenset[str] | None = None
    permissions: dict[str, str] | None = None


def signed(
    apps: Apps, handler: Callable[[Request, str], Awaitable[Response]]
) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint of a route that only an App asks, which the handler is given."""

    async def endpoint(request: Request) -> Response:
        app = apps.find_app(token_of(request) or "")
        if app is None:
            return ApiError(401, "A JSON web token could not be decoded").response()
        try:
            return await handler(request, app)
        except ApiError as error:
            return error.response()

    return endpoint


class AppRoutes:
    """The routes over the Apps of one world."""

    def __init__(self, apps: Apps) -> None:
        self._apps = apps

    def routes(self) -> list[Route]:
        """Return the routes, relative to `/api/v3`."""
        token = "/app/installations/{id:int}/access_tokens"  # noqa: S105 - an address
        return [
            Route("/app", signed(self._apps, self._app), methods=["GET"]),
            Route("/app/installations", signed(self._apps, self._installations), methods=["GET"]),
            Route("/repos/{owner}/{repo}/installation", signed(self._apps, self._installation), methods=["GET"]),
            Route(token, signed(self._apps, self._token), methods=["POST"]),
        ]

    async def register(self, request: Request) -> Response:
        """Answer `POST /_forge/apps`."""
        registration = parse(_Registration, await read_json(request), "App")
        self._apps.register(registration.app_id, registration.public_key)
        return JSONResponse({"app_id": registration.app_id}, 201)

    async def _app(self, request: Request, app: str) -> Response:
        if (made := self._apps.find_made(app)) is not None:
            return JSONResponse(made.shape(_web_url(request)))
        return JSONResponse({"id": 1, "slug": f"app-{app}", "name": f"App {app}", "permissions": dict(GRANTED)})

    async def _installations(self, request: Request, app: str) -> Response:
        return JSONResponse([self._shape(request, app)] if self._is_installed(app) else [])

    async def _installation(self, request: Request, app: str) -> Response:
        if not self._is_installed(app):
            raise ApiError(404, "Not Found")
        return JSONResponse(self._shape(request, app))

    def _is_installed(self, app: str) -> bool:
        made = self._apps.find_made(app)
        return made is None or made.is_installed

    def _granted(self, app: str) -> Mapping[str, str]:
        made = self._apps.find_made(app)
        return GRANTED if made is None else made.permissions

    def _shape(self, request: Request, app: str) -> dict[str, object]:
        page = f"{_web_url(request)}/settings/installations/{_INSTALLATION}"
        granted = dict(self._granted(app))
        return {"id": _INSTALLATION, "html_url": page, "repository_selection": "all", "permissions": granted}

    async def _token(self, request: Request, app: str) -> Response:
        body = parse(_TokenRequest, await read_json(request), "AccessToken")
        granted = self._granted(app)
        permissions = body.permissions or dict(granted)
        if any(granted.get(name) not in {level, "write"} for name, level in permissions.items()):
            raise ApiError(422, "The permissions requested are not granted to this installation.")
        value, expires_at = self._apps.issue_token(app, body.repositories, permissions)
        expiry = expires_at.strftime("%Y-%m-%dT%H:%M:%SZ")
        return JSONResponse({"token": value, "expires_at": expiry, "permissions": permissions}, 201)


def _web_url(request: Request) -> str:
    return str(request.base_url).rstrip("/").removesuffix("/api/v3")
