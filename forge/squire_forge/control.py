"""The routes under `/_forge/`, which GitHub does not have: hosting, the state, faults. They need the token."""

from collections.abc import Awaitable, Callable

from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from squire_forge import answers, graph_reactions, hosting, store, store_checks
from squire_forge.answers import ApiError
from squire_forge.app_routes import AppRoutes
from squire_forge.caretaker import Caretaker
from squire_forge.errors import ForgeError
from squire_forge.faults import Fault, Faults
from squire_forge.graph_repositories import pull_state
from squire_forge.operations import UnprocessableError
from squire_forge.people import PersonAct, act_as
from squire_forge.records import Repository
from squire_forge.shapes import mergeable
from squire_forge.world import View, World

_SETTLE_TIMEOUT_S = 30.0
_MAX_REQUEST_BYTES = 5_000_000
_SHOWN_DELIVERIES = 500


class Control:
    """The forge's own interface, for tests and for programs that drive it."""

    def __init__(self, world: World, faults: Faults, caretaker: Caretaker) -> None:
        self._world = world
        self._faults = faults
        self._caretaker = caretaker

    def routes(self) -> list[Route]:
        """Return all routes, relative to `/_forge`."""
        return [
            Route("/repos", self._guarded(self._host), methods=["POST"]),
            Route("/state", self._guarded(self._state), methods=["GET"]),
            Route("/settle", self._guarded(self._settle), methods=["POST"]),
            Route("/apps", self._guarded(AppRoutes(self._world.apps).register), methods=["POST"]),
            Route("/people", self._guarded(self._act), methods=["POST"]),
            Route("/faults", self._guarded(self._fault), methods=["POST", "GET", "DELETE"]),
        ]

    def _guarded(self, handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            try:
                answers.require_token(request, self._world)
                return await handler(request)
            except ApiError as error:
                return error.response()
            except ValidationError as error:
                return ApiError(422, str(error)).response()
            except UnprocessableError as error:
                return ApiError(422, error.message, errors=error.details).response()
            except ForgeError as error:
                return ApiError(422, str(error)).response()

        return endpoint

    async def _host(self, request: Request) -> Response:
        host_request = hosting.HostRequest.model_validate(await answers.read_json(request, _MAX_REQUEST_BYTES))
        repository, new = await run_in_threadpool(hosting.host, self._world, host_request)
        url = f"{self._world.config.web_url}/{repository.full_name}"
        body = {"repository": repository.full_name, "created": new, "url": url, "clone_url": f"{url}.git"}
        return JSONResponse(body, 201 if new else 200)

    async def _settle(self, _: Request) -> Response:
        if not await self._caretaker.wait_until_settled(_SETTLE_TIMEOUT_S):
            raise ApiError(504, f"webhooks are still being sent after {_SETTLE_TIMEOUT_S:.0f} s")
        return await self._state(_)

    async def _state(self, _: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self._read_state))

    async def _act(self, request: Request) -> Response:
        act = PersonAct.model_validate(await answers.read_json(request))
        await run_in_threadpool(act_as, self._world, act)
        return JSONResponse({}, 201)

    async def _fault(self, request: Request) -> Response:
        if request.method == "DELETE":
            self._faults.clear()
        elif request.method == "POST":
            self._faults.add(Fault.model_validate(await answers.read_json(request)))
        waiting = [{**fault.model_dump(), "times": left} for fault, left in self._faults.waiting()]
        return JSONResponse(waiting, 201 if request.method == "POST" else 200)

    def _read_state(self) -> dict[str, object]:
        with self._world.database.reading() as con:
            view = View(self._world, con)
            repositories = [_repository_state(view, repository) for repository in store.repositories(con)]
            deliveries = [
                {
                    "id": delivery.id,
                    "guid": delivery.guid,
                    "repository": store.repository(con, delivery.repository_id).full_name,
                    "event": delivery.event,
                    "action": delivery.action,
                    "redelivery": delivery.redelivery,
                    "delivered": delivery.delivered_at is not None,
                    "status": delivery.status,
                    "status_code": delivery.status_code,
                }
                for delivery in store_checks.deliveries(con, limit=_SHOWN_DELIVERIES)
            ]
        return {
            "url": self._world.config.web_url,
            "webhook_url": self._world.config.webhook_url,
            "repositories": repositories,
            "deliveries": deliveries,
        }


def _repository_state(view: View, repository: Repository) -> dict[str, object]:
    con = view.con
    branches = store.branches(con, repository.id)
    return {
        "name": repository.full_name,
        "private": repository.private,
        "archived": repository.archived,
        "default_branch": repository.default_branch,
        "branches": branches,
        "ci": {
            name: suite.conclusion
            for name, sha in branches.items()
            if (suite := store_checks.suite(con, repository, sha)) is not None
        },
        "issues": [
            {
                "number": issue.number,
                "title": issue.title,
                "state": issue.state,
                "author": issue.author.login,
                "labels": [label.name for label in store.labels(con, issue.id)],
                "comments": [comment.body for comment in store.comments(con, issue)],
            }
            for issue in store.issues(con, repository)
        ],
        "pull_requests": [
            {
                "number": pull.number,
                "title": pull.title,
                "body": pull.body,
                "state": pull_state(pull).lower(),
                "draft": pull.draft,
                "author": pull.author.login,
                "head": pull.head_ref,
                "head_sha": pull.head_sha,
                "base": pull.base_ref,
                "merge_sha": pull.merge_sha,
                "mergeable": mergeable(view, pull),
                "labels": [label.name for label in store.labels(con, pull.id)],
                "comments": [comment.body for comment in store.comments(con, pull)],
                "reactions": graph_reactions.reactions(view, pull),
                "threads": [
                    {
                        "path": thread.path,
                        "line": thread.line,
                        "resolved": thread.resolved,
                        "outdated": thread.outdated,
                        "comments": [comment.body for comment in store.thread_comments(con, thread)],
                    }
                    for thread in store.threads(con, pull)
                ],
            }
            for pull in store.pulls(con, repository)
        ],
    }
