"""The REST routes. `operations` makes the changes, `shapes` builds the bodies."""

from collections.abc import Awaitable, Callable
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from squire_forge import (
    actions,
    answers,
    app_checks,
    comparison,
    conversations,
    events,
    git_data,
    hooks,
    issues,
    merging,
    operations,
    reactions,
    repository_routes,
    settling,
    shapes,
    store,
    store_labels,
    updating,
)
from squire_forge.answers import ApiError, answer, parse, read_json
from squire_forge.errors import ForgeError, RefusedError
from squire_forge.limits import Quota, RateLimits
from squire_forge.records import Pull, Repository, Ticket
from squire_forge.world import View, World, node_id

_DEFAULT_PAGE = 30
_MAX_PAGE = 100
Handler = Callable[[Request, World, object], Response]


class Rest:
    """The REST routes over one world. Handlers are plain functions in threads that get the body already read."""

    def __init__(self, world: World, limits: RateLimits) -> None:
        self._world = world
        self._limits = limits

    def routes(self) -> list[Route]:
        """Return all routes, relative to `/api/v3`."""
        repo = "/repos/{owner}/{repo}"
        table: list[tuple[str, str, Handler]] = [
            ("GET", "/user", _user),
            ("GET", "/rate_limit", self._rate_limit),
            ("GET", repo, _repository),
            ("GET", f"{repo}/pulls", _pulls),
            ("POST", f"{repo}/pulls", _create_pull),
            ("GET", f"{repo}/pulls/{{number:int}}", _pull),
            ("PATCH", f"{repo}/pulls/{{number:int}}", _edit_pull),
            ("PUT", f"{repo}/pulls/{{number:int}}/merge", _merge_pull),
            ("POST", f"{repo}/pulls/{{number:int}}/requested_reviewers", issues.request_reviewers),
            ("GET", f"{repo}/issues", issues.list_issues),
            ("POST", f"{repo}/issues", issues.create_issue),
            ("GET", f"{repo}/issues/{{number:int}}", issues.issue),
            ("PATCH", f"{repo}/issues/{{number:int}}", issues.edit_issue),
            ("POST", f"{repo}/issues/{{number:int}}/labels", _add_labels),
            ("DELETE", f"{repo}/issues/{{number:int}}/labels/{{label}}", _remove_label),
            ("POST", f"{repo}/issues/{{number:int}}/comments", _add_comment),
            ("GET", f"{repo}/issues/comments/{{id:int}}/reactions", reactions.list_reactions),
            ("POST", f"{repo}/issues/comments/{{id:int}}/reactions", reactions.add_reaction),
            ("GET", f"{repo}/collaborators/{{login}}/permission", _permission),
            ("GET", f"{repo}/actions/jobs/{{id:int}}", actions.job),
            ("GET", f"{repo}/actions/jobs/{{id:int}}/logs", actions.job_logs),
            ("GET", f"{repo}/actions/runs/{{id:int}}/jobs", actions.run_jobs),
            ("POST", f"{repo}/actions/runs/{{id:int}}/rerun-failed-jobs", actions.rerun_failed_jobs),
            ("GET", f"{repo}/check-runs/{{id:int}}/annotations", actions.annotations),
            ("GET", f"{repo}/git/ref/heads/{{branch:path}}", _ref),
            *app_checks.ROUTES,
            *repository_routes.ROUTES,
            *hooks.ROUTES,
            *git_data.ROUTES,
            *conversations.ROUTES,
            *comparison.ROUTES,
            *updating.ROUTES,
        ]
        return [Route(path, self._endpoint(handler), methods=[method]) for method, path, handler in table]

    def _endpoint(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        is_free = handler == self._rate_limit

        async def endpoint(request: Request) -> Response:
            try:
                answers.require_token(request, self._world)
                # Reading the rate limit is free, and possible when it is used up.
                if not is_free and (refusal := answers.exhausted(self._limits, "core")):
                    return refusal.response()
                body = {} if request.method in {"GET", "DELETE"} else await read_json(request)
                response = await run_in_threadpool(handler, request, self._world, body)
            except ApiError as error:
                response = error.response()
            return answers.decorate(response, self._limits, "core", is_free=is_free)

        return endpoint

    def _rate_limit(self, request: Request, _: World, __: object) -> Response:
        def shape(quota: Quota) -> dict[str, int]:
            return {"limit": quota.limit, "used": quota.used, "remaining": quota.remaining, "reset": quota.reset}

        core, graphql = shape(self._limits.peek("core")), shape(self._limits.peek("graphql"))
        return answer(request, {"resources": {"core": core, "search": core, "graphql": graphql}, "rate": core})


def _find(view: View, request: Request) -> Repository:
    repository = store.find_repository(view.con, request.path_params["owner"], request.path_params["repo"])
    if repository is None:
        raise ApiError(404, "Not Found")
    return repository


def _find_pull(view: View, request: Request) -> Pull:
    pull = store.pull(view.con, _find(view, request), request.path_params["number"])
    if pull is None:
        raise ApiError(404, "Not Found")
    return pull


def _find_ticket(view: View, request: Request) -> Ticket:
    ticket = store.ticket(view.con, _find(view, request), request.path_params["number"])
    if ticket is None:
        raise ApiError(404, "Not Found")
    return ticket


def _user(request: Request, world: World, _: object) -> Response:
    with world.database.writing() as con:
        view = View(world, con)
        return answer(request, shapes.viewer_shape(view, operations.viewer(view)))


def _repository(request: Request, world: World, _: object) -> Response:
    with world.database.reading() as con:
        view = View(world, con)
        return answer(request, shapes.full_repository_shape(view, _find(view, request)))


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and int(text) > 0 else default


def _pulls(request: Request, world: World, _: object) -> Response:
    query = request.query_params
    state = query.get("state", "open")
    size, number = min(_number(request, "per_page", _DEFAULT_PAGE), _MAX_PAGE), _number(request, "page", 1)
    with world.database.reading() as con:
        view = View(world, con)
        repository = _find(view, request)
        head = query.get("head")
        pulls = [
            pull
            for pull in store.pulls(con, repository, state=None if state == "all" else state)
            if head in {None, shapes.head_label(pull)} and query.get("base") in {None, pull.base_ref}
        ]
        key = "updated_at" if query.get("sort") == "updated" else "created_at"
        direction = query.get("direction", "desc" if "sort" not in query or key == "created_at" else "asc")
        pulls.sort(key=lambda pull: (getattr(pull, key), pull.number), reverse=direction == "desc")
        body = [shapes.simple_pull_shape(view, pull) for pull in pulls[(number - 1) * size : number * size]]
    last = max(1, -(-len(pulls) // size))
    return answer(request, body, link=_link(request, world, number, last))


def _link(request: Request, world: World, number: int, last: int) -> str | None:
    pages = {"prev": number - 1, "next": number + 1, "last": last, "first": 1}
    if number <= 1:
        pages = {name: target for name, target in pages.items() if name not in {"prev", "first"}}
    if number >= last:
        pages = {name: target for name, target in pages.items() if name not in {"next", "last"}}
    base = f"{world.config.web_url}{request.url.path}"
    links = [
        f'<{base}?{urlencode({**request.query_params, "page": target})}>; rel="{name}"'
        for name, target in pages.items()
    ]
    return ", ".join(links) or None


def _pull(request: Request, world: World, _: object) -> Response:
    with world.database.reading() as con:
        view = View(world, con)
        return answer(request, shapes.pull_shape(view, _find_pull(view, request)))


def _create_pull(request: Request, world: World, body: object) -> Response:
    new_pull = parse(operations.NewPull, body, "PullRequest")
    with world.lock:
        with world.database.reading() as con:
            repository = _find(View(world, con), request)
        if repository.archived:
            raise ApiError(403, "Repository was archived so is read-only.")
        settling.announce(world, repository.id)
        try:
            with world.database.writing() as con:
                view = View(world, con)
                made = operations.create_pull(view, repository, new_pull, operations.viewer(view))
                shape = shapes.pull_shape(view, made)
        except operations.UnprocessableError as error:
            raise ApiError(422, "Validation Failed", errors=error.details) from error
    world.touch(repository.id)
    return answer(request, shape, 201)


def _edit_pull(request: Request, world: World, body: object) -> Response:
    edit = parse(operations.PullEdit, body, "PullRequest")
    with world.lock:
        try:
            with world.database.writing() as con:
                view = View(world, con)
                pull = operations.edit_pull(view, _find_pull(view, request), edit)
                shape = shapes.pull_shape(view, pull)
        except operations.UnprocessableError as error:
            raise ApiError(422, "Validation Failed", errors=error.details) from error
    world.touch(pull.repository.id)
    return answer(request, shape)


def _merge_pull(request: Request, world: World, body: object) -> Response:
    merge_request = parse(operations.MergeRequest, body, "PullRequest")
    with world.database.reading() as con:
        repository = _find(View(world, con), request)
        _find_pull(View(world, con), request)
    try:
        sha = merging.merge_pull(world, repository, request.path_params["number"], merge_request)
    except RefusedError as error:
        raise ApiError(error.status or 405, error.message) from error
    except ForgeError as error:
        raise ApiError(409, "Base branch was modified. Review and try the merge again.") from error
    world.touch(repository.id)
    return answer(request, {"sha": sha, "merged": True, "message": "Pull Request successfully merged"})


def _add_labels(request: Request, world: World, body: object) -> Response:
    new_labels = parse(operations.NewLabels, {"labels": body} if isinstance(body, list) else body, "Label")
    with world.lock, world.database.writing() as con:
        view = View(world, con)
        ticket = _find_ticket(view, request)
        operations.add_labels(view, ticket, new_labels.labels, operations.viewer(view))
        shape = [shapes.label_shape(view, ticket.repository, label) for label in store.labels(con, ticket.id)]
    return answer(request, shape)


def _remove_label(request: Request, world: World, _: object) -> Response:
    with world.lock, world.database.writing() as con:
        view = View(world, con)
        ticket = _find_ticket(view, request)
        try:
            operations.remove_label(view, ticket, request.path_params["label"], operations.viewer(view))
        except RefusedError as error:
            raise ApiError(404, error.message) from error
        shape = [shapes.label_shape(view, ticket.repository, label) for label in store.labels(con, ticket.id)]
    return answer(request, shape)


def _permission(request: Request, world: World, _: object) -> Response:
    with world.database.reading() as con:
        view = View(world, con)
        repository = _find(view, request)
        row = con.execute("SELECT id FROM accounts WHERE login = ?", (request.path_params["login"],)).fetchone()
        if row is None:
            raise ApiError(404, f"{request.path_params['login']} is not a user")
        account = store.account(con, row["id"])
        value = store_labels.permission(con, repository, account)
        # The older field knows four levels.
        level = {"maintain": "write", "triage": "read"}.get(value, value)
        shape = {"permission": level, "role_name": value, "user": shapes.account_shape(view, account)}
    return answer(request, shape)


def _add_comment(request: Request, world: World, body: object) -> Response:
    new_comment = parse(operations.NewComment, body, "IssueComment")
    with world.lock, world.database.writing() as con:
        view = View(world, con)
        sender = operations.viewer(view)
        comment = operations.add_comment(view, _find_ticket(view, request), new_comment.body, sender)
        events.emit_comment(view, "created", comment, sender)
        shape = shapes.comment_shape(view, comment)
    return answer(request, shape, 201)


def _ref(request: Request, world: World, _: object) -> Response:
    with world.database.reading() as con:
        repository = _find(View(world, con), request)
    name = request.path_params["branch"]
    sha = world.git(repository).branch(name)
    if sha is None:
        raise ApiError(404, "Not Found")
    base = f"{shapes.api_url(world)}/repos/{repository.full_name}/git"
    body = {
        "ref": f"refs/heads/{name}",
        "node_id": node_id("Ref", f"{repository.id}:refs/heads/{name}"),
        "url": f"{base}/refs/heads/{name}",
        "object": {"sha": sha, "type": "commit", "url": f"{base}/commits/{sha}"},
    }
    return answer(request, body)
