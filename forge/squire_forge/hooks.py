"""The REST routes of webhooks, of repositories and of Apps: the hook, its ping, its configuration, its deliveries.

All hooks lead to the forge's one address, so that an App's deliveries are those of all repositories.
https://docs.github.com/rest/repos/webhooks and https://docs.github.com/rest/apps/webhooks
"""

import json
import re
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Literal

from pydantic import BaseModel, ConfigDict
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from squire_forge import events, operations, store, store_checks
from squire_forge.answers import ApiError, answer, parse, read_json
from squire_forge.app_routes import signed
from squire_forge.records import Delivery, Repository
from squire_forge.store_hooks import APP, hook_state, set_hook_state
from squire_forge.world import HOOK_ID, View, World

_DEFAULT_PAGE = 30
_MAX_PAGE = 100
_CURSOR = re.compile(r"v1_([0-9]{1,15})")
_HIDDEN = "********"


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str | None = None
    content_type: Literal["json", "form"] | None = None
    secret: str | None = None
    insecure_ssl: str | int | None = None


class _HookChange(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    active: bool | None = None
    config: _Config | None = None


def _repository(view: View, request: Request) -> Repository:
    repository = store.find_repository(view.con, request.path_params["owner"], request.path_params["repo"])
    if repository is None:
        raise ApiError(404, "Not Found")
    return repository


def _hooked(view: View, request: Request) -> Repository:
    """Return the repository whose webhook is asked about. Raises ApiError where it has none."""
    repository = _repository(view, request)
    if view.world.config.webhook_url is None or hook_state(view.con, repository.id).is_deleted:
        raise ApiError(404, "Not Found")
    return repository


def _list(request: Request, world: World, _: object) -> Response:
    """Answer with the webhook, where there is one, and how its last delivery ended."""
    with world.database.reading() as con:
        view = View(world, con)
        repository = _repository(view, request)
        has_hook = world.config.webhook_url is not None and not hook_state(con, repository.id).is_deleted
        return answer(request, [events.hook_shape(view, repository)] if has_hook else [])


def _change(request: Request, world: World, body: object) -> Response:
    change = parse(_HookChange, body, "Hook")
    with world.database.writing() as con:
        view = View(world, con)
        repository = _hooked(view, request)
        state = hook_state(con, repository.id)
        if change.active is not None:
            state = state.model_copy(update={"is_active": change.active})
        if change.config is not None:
            # GitHub takes the whole configuration: a secret that is not named is none any more.
            state = state.model_copy(update={"secret": change.config.secret or ""})
        set_hook_state(con, repository.id, state)
        shape = events.hook_shape(view, repository)
    return answer(request, shape)


def _delete(request: Request, world: World, _: object) -> Response:
    with world.database.writing() as con:
        repository = _hooked(View(world, con), request)
        set_hook_state(con, repository.id, hook_state(con, repository.id).model_copy(update={"is_deleted": True}))
    return Response(status_code=204)


def _ping(request: Request, world: World, _: object) -> Response:
    with world.database.writing() as con:
        view = View(world, con)
        events.emit_ping(view, _hooked(view, request), operations.viewer(view))
    return Response(status_code=204)


def _config(request: Request, world: World, body: object) -> Response:
    """Answer with a repository's configuration, after the change that a PATCH asks for."""
    with _transaction(request, world) as con:
        return _configure(request, View(world, con), _hooked(View(world, con), request).id, body)


def _configure(request: Request, view: View, owner: int | str, body: object) -> Response:
    change = parse(_Config, body, "Hook")
    url = view.world.config.webhook_url
    if change.url not in {None, url}:
        raise ApiError(422, "The forge's webhooks have the address that it was started with.")
    state = hook_state(view.con, owner)
    if change.secret is not None:
        state = state.model_copy(update={"secret": change.secret})
        set_hook_state(view.con, owner, state)
    config = {"content_type": "json", "insecure_ssl": "0", "url": url}
    return answer(request, config if state.secret == "" else {**config, "secret": _HIDDEN})


def _shape(delivery: Delivery) -> dict[str, object]:
    return {
        "id": delivery.id,
        "guid": delivery.guid,
        "delivered_at": delivery.delivered_at or delivery.created_at,
        "redelivery": delivery.redelivery,
        "duration": delivery.duration or 0.0,
        "status": delivery.status,
        "status_code": delivery.status_code or 0,
        "event": delivery.event,
        "action": delivery.action,
        "installation_id": None,
        "repository_id": delivery.repository_id,
        "throttled_at": None,
    }


def _page(request: Request, view: View, repository_id: int | None) -> Response:
    """Answer with a page of deliveries, the newest first, and a link to the next one where there is one."""
    query = request.query_params
    text, cursor = query.get("per_page", ""), query.get("cursor")
    is_number = text.isascii() and text.isdigit() and 0 < len(text) < 10  # noqa: PLR2004 - digits of an int
    size = max(1, min(int(text), _MAX_PAGE)) if is_number else _DEFAULT_PAGE
    match = _CURSOR.fullmatch(cursor) if cursor is not None else None
    if cursor is not None and match is None:
        raise ApiError(400, "Invalid cursor")
    first = int(match[1]) if match else None
    rows = store_checks.deliveries(view.con, repository_id=repository_id, first=first, limit=size + 1)
    link = None
    if len(rows) > size:
        address = request.url.include_query_params(per_page=size, cursor=f"v1_{rows[size].id}")
        link = f'<{address}>; rel="next"'
    return answer(request, [_shape(row) for row in rows[:size]], link=link)


def _find(view: View, delivery_id: int, repository_id: int | None) -> Delivery:
    delivery = store_checks.delivery(view.con, repository_id, delivery_id)
    if delivery is None:
        raise ApiError(404, "Not Found")
    return delivery


def _whole(request: Request, view: View, repository_id: int | None) -> Response:
    delivery = _find(view, request.path_params["delivery"], repository_id)
    sent = {"X-GitHub-Event": delivery.event, "X-GitHub-Delivery": delivery.guid, "Content-Type": "application/json"}
    body = {
        **_shape(delivery),
        "url": view.world.config.webhook_url or "",
        "request": {"headers": sent, "payload": json.loads(delivery.body)},
        "response": {"headers": {}, "payload": delivery.response},
    }
    return answer(request, body)


def _deliver_again(request: Request, view: View, repository_id: int | None) -> Response:
    delivery = _find(view, request.path_params["delivery"], repository_id)
    store_checks.add_delivery(
        view.con,
        guid=delivery.guid,
        repository_id=delivery.repository_id,
        event=delivery.event,
        action=delivery.action,
        body=delivery.body,
        now=view.world.now(),
        redelivery=True,
    )
    return answer(request, {}, 202)


def _transaction(request: Request, world: World) -> AbstractContextManager[sqlite3.Connection]:
    return world.database.reading() if request.method == "GET" else world.database.writing()


_Asked = Callable[[Request, View, int | None], Response]


def _of_repository(handler: _Asked) -> Callable[[Request, World, object], Response]:
    def endpoint(request: Request, world: World, _: object) -> Response:
        with _transaction(request, world) as con:
            view = View(world, con)
            return handler(request, view, _hooked(view, request).id)

    return endpoint


_HOOKS = "/repos/{owner}/{repo}/hooks"
_HOOK = f"{_HOOKS}/{HOOK_ID}"
ROUTES = (
    ("GET", _HOOKS, _list),
    ("PATCH", _HOOK, _change),
    ("DELETE", _HOOK, _delete),
    ("POST", f"{_HOOK}/pings", _ping),
    ("GET", f"{_HOOK}/config", _config),
    ("PATCH", f"{_HOOK}/config", _config),
    ("GET", f"{_HOOK}/deliveries", _of_repository(_page)),
    ("GET", f"{_HOOK}/deliveries/{{delivery:int}}", _of_repository(_whole)),
    ("POST", f"{_HOOK}/deliveries/{{delivery:int}}/attempts", _of_repository(_deliver_again)),
)


def app_hook_routes(world: World) -> list[Route]:
    """Return the routes by which an App asks about its own webhook, relative to `/api/v3`."""

    def with_view(
        handler: Callable[[Request, View, object], Response],
    ) -> Callable[[Request, str], Awaitable[Response]]:
        async def endpoint(request: Request, app: str) -> Response:
            made = world.apps.find_made(app)
            if world.config.webhook_url is None or (made is not None and made.webhook_secret is None):
                raise ApiError(404, "Not Found")
            body = {} if request.method == "GET" else await read_json(request)

            def run() -> Response:
                with _transaction(request, world) as con:
                    return handler(request, View(world, con), body)

            return await run_in_threadpool(run)

        return endpoint

    def of_all(handler: _Asked) -> Callable[[Request, View, object], Response]:
        return lambda request, view, _: handler(request, view, None)

    def configure(request: Request, view: View, body: object) -> Response:
        return _configure(request, view, APP, body)

    table = (
        ("GET", "/app/hook/config", configure),
        ("PATCH", "/app/hook/config", configure),
        ("GET", "/app/hook/deliveries", of_all(_page)),
        ("GET", "/app/hook/deliveries/{delivery:int}", of_all(_whole)),
        ("POST", "/app/hook/deliveries/{delivery:int}/attempts", of_all(_deliver_again)),
    )
    return [Route(path, signed(world.apps, with_view(handler)), methods=[method]) for method, path, handler in table]
