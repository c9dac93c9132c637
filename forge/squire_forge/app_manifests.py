"""A GitHub App from a manifest, as people make one on GitHub: the page that asks, the code, the installation.

https://docs.github.com/apps/sharing-github-apps/registering-a-github-app-from-a-manifest. `apps` keeps the Apps,
`app_routes` has what an App asks for itself.
"""

import json
from collections.abc import Awaitable, Callable
from html import escape
from urllib.parse import parse_qs, urlencode, urlsplit

from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from squire_forge.answers import ApiError, parse
from squire_forge.apps import Apps
from squire_forge.errors import RefusedError
from squire_forge.pages import SECURITY, frame

_MAX_FORM_BYTES = 100_000
# The browser goes from this form to where the manifest says, which `form-action` would forbid.
_HEADERS = {
    **SECURITY,
    "content-security-policy": SECURITY["content-security-policy"].replace("form-action 'none'; ", ""),
    "cache-control": "no-store",
}


class _HookAttributes(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    active: bool = True


class _Manifest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=34)
    url: str
    description: str = ""
    redirect_url: str
    public: bool = False
    hook_attributes: _HookAttributes | None = None
    default_permissions: dict[str, str] = Field(default_factory=dict)
    default_events: tuple[str, ...] = ()


class AppManifests:
    """The pages and routes that make an App."""

    def __init__(self, apps: Apps, web_url: str) -> None:
        self._apps = apps
        self._web_url = web_url

    def pages(self) -> list[Route]:
        """Return the pages, relative to the forge's own address."""
        return [
            Route("/settings/apps/new", _shown(self._ask), methods=["POST"]),
            Route("/organizations/{organization}/settings/apps/new", _shown(self._ask), methods=["POST"]),
            Route("/settings/apps", _shown(self._create), methods=["POST"]),
            Route("/organizations/{organization}/settings/apps", _shown(self._create), methods=["POST"]),
            Route("/apps/{slug}/installations/new", _shown(self._install), methods=["GET", "POST"]),
        ]

    def routes(self) -> list[Route]:
        """Return the routes, relative to `/api/v3`."""
        return [Route("/app-manifests/{code}/conversions", self._convert, methods=["POST"])]

    async def _ask(self, request: Request) -> Response:
        """Show what is asked for, as GitHub does, with a name that can be changed."""
        text = (await _read_form(request)).get("manifest", "")
        manifest = _parse_manifest(text)
        action = request.url.path.removesuffix("/new")
        rows = "".join(f"<li>{escape(f'{k}: {v}')}</li>" for k, v in manifest.default_permissions.items())
        return HTMLResponse(
            frame(
                "Create an App",
                f'<h1>Create a GitHub App</h1><ul>{rows}</ul><form method="post" action="{escape(action)}">'
                f'<input type="hidden" name="manifest" value="{escape(text)}">'
                f'<input type="hidden" name="state" value="{escape(request.query_params.get("state", ""))}">'
                f'<input name="name" value="{escape(manifest.name)}"><button>Create GitHub App</button></form>',
            ),
            headers=_HEADERS,
        )

    async def _create(self, request: Request) -> Response:
        form = await _read_form(request)
        manifest = _parse_manifest(form.get("manifest", ""))
        hook = manifest.hook_attributes
        code = await run_in_threadpool(
            self._apps.create,
            form.get("name", manifest.name),
            request.path_params.get("organization"),
            manifest.default_permissions,
            manifest.default_events if hook else (),
            has_webhook=hook is not None,
        )
        query = urlencode({"code": code, "state": form.get("state", "")})
        return RedirectResponse(f"{manifest.redirect_url}?{query}", 302)

    async def _install(self, request: Request) -> Response:
        app = self._apps.find_by_slug(request.path_params["slug"])
        if app is None:
            raise ApiError(404, "Not Found")
        if request.method == "POST":
            app.is_installed = True
            return HTMLResponse(frame("Installed", f"<h1>{escape(app.name)} is installed</h1>"), headers=_HEADERS)
        form = '<form method="post"><button>Install</button></form>'
        return HTMLResponse(frame("Install", f"<h1>Install {escape(app.name)}</h1>{form}"), headers=_HEADERS)

    async def _convert(self, request: Request) -> Response:
        app = self._apps.take_code(request.path_params["code"])
        if app is None:
            return ApiError(404, "Not Found").response()
        body = app.shape(self._web_url) | app.credentials()
        return JSONResponse(body, 201)


def _parse_manifest(text: str) -> _Manifest:
    try:
        manifest = parse(_Manifest, json.loads(text), "GitHubApp")
    except ValueError:
        raise ApiError(422, "The configuration does not appear to be a valid GitHub App manifest.") from None
    if urlsplit(manifest.redirect_url).hostname not in {"127.0.0.1", "localhost"}:
        raise ApiError(422, "The forge sends a browser to this machine alone.")
    return manifest


async def _read_form(request: Request) -> dict[str, str]:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_FORM_BYTES:
            raise ApiError(413, "The form is too large.")
    return {name: values[0] for name, values in parse_qs(body.decode(errors="replace")).items()}


def _shown(page: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            return await page(request)
        except (ApiError, RefusedError) as error:
            details = escape(str(getattr(error, "errors", None) or ""))
            html = frame("Error", f"<h1>{escape(error.message)}</h1><pre>{details}</pre>")
            return HTMLResponse(html, error.status or 422, headers=_HEADERS)

    return endpoint
