"""The REST routes of issues, and that of requests for reviews: they are checked, and not kept."""

from typing import Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from squire_forge import events, operations, shapes, store
from squire_forge.answers import ApiError, answer, parse
from squire_forge.operations import RequestBody
from squire_forge.records import Pull, Repository, Ticket
from squire_forge.world import View, World

_MAX_PAGE = 100


class NewIssue(RequestBody):
    """The body of `POST /repos/{owner}/{repo}/issues`."""

    title: str = Field(min_length=1, max_length=256)
    body: str = Field(default="", max_length=65_536)


class IssueEdit(RequestBody):
    """The body of `PATCH /repos/{owner}/{repo}/issues/{number}`."""

    title: str | None = Field(default=None, min_length=1, max_length=256)
    body: str | None = Field(default=None, max_length=65_536)
    state: Literal["open", "closed"] | None = None
    milestone: int | None = None


class ReviewRequest(RequestBody):
    """The body of `POST /repos/{owner}/{repo}/pulls/{number}/requested_reviewers`."""

    reviewers: tuple[str, ...] = Field(default=(), strict=False)
    team_reviewers: tuple[str, ...] = Field(default=(), strict=False)


def list_issues(request: Request, world: World, _: object) -> Response:
    """Return the newest issues of a state."""
    state = request.query_params.get("state", "open")
    size = min(int(request.query_params.get("per_page", "30")), _MAX_PAGE)
    with world.database.reading() as con:
        view = View(world, con)
        issues = [issue for issue in store.issues(con, _repository(view, request)) if state in {"all", issue.state}]
        return answer(request, [shapes.issue_shape(view, issue) for issue in reversed(issues[-size:])])


def issue(request: Request, world: World, _: object) -> Response:
    """Return one issue."""
    with world.database.reading() as con:
        view = View(world, con)
        ticket = _issue(view, _repository(view, request), request.path_params["number"])
        return answer(request, shapes.issue_shape(view, ticket))


def create_issue(request: Request, world: World, body: object) -> Response:
    """Open an issue as the token's owner."""
    new_issue = parse(NewIssue, body, "Issue")
    with world.lock, world.database.writing() as con:
        view = View(world, con)
        repository, sender = _repository(view, request), operations.viewer(view)
        number = operations.insert_ticket(
            view, repository, title=new_issue.title, body=new_issue.body, author=sender, pull=False
        )
        ticket = _issue(view, repository, number)
        events.emit_issue(view, "opened", ticket, sender)
        shape = shapes.issue_shape(view, ticket)
    return answer(request, shape, 201)


def edit_issue(request: Request, world: World, body: object) -> Response:
    """Change an issue's text or state; this server has no milestones."""
    edit = parse(IssueEdit, body, "Issue")
    if edit.milestone is not None:
        raise ApiError(422, "Validation Failed")
    with world.lock, world.database.writing() as con:
        view = View(world, con)
        repository, sender = _repository(view, request), operations.viewer(view)
        ticket = _issue(view, repository, request.path_params["number"])
        operations.edit_ticket(view, ticket, sender, title=edit.title, body=edit.body)
        if edit.state is not None and edit.state != ticket.state:
            if edit.state == "closed":
                operations.close(view, ticket, sender)
            else:
                store.touch_ticket(con, ticket.id, world.now(), state=edit.state, closed_at=None)
                events.emit_issue(view, "reopened", _issue(view, repository, ticket.number), sender)
        shape = shapes.issue_shape(view, _issue(view, repository, ticket.number))
    return answer(request, shape)


def request_reviewers(request: Request, world: World, body: object) -> Response:
    """Ask for reviews: refused, as by GitHub, for who is no account here, and for the pull request's author."""
    asked = parse(ReviewRequest, body, "PullRequest")
    with world.database.reading() as con:
        view = View(world, con)
        pull = store.pull(con, _repository(view, request), request.path_params["number"])
        if pull is None:
            raise ApiError(404, "Not Found")
        for login in asked.reviewers:
            if login == pull.author.login:
                raise ApiError(422, "Review cannot be requested from pull request author.")
            if con.execute("SELECT 1 FROM accounts WHERE login = ?", (login,)).fetchone() is None:
                raise ApiError(422, "Reviews may only be requested from collaborators.")
        return answer(request, shapes.simple_pull_shape(view, pull), 201)


def _repository(view: View, request: Request) -> Repository:
    repository = store.find_repository(view.con, request.path_params["owner"], request.path_params["repo"])
    if repository is None:
        raise ApiError(404, "Not Found")
    return repository


def _issue(view: View, repository: Repository, number: int) -> Ticket:
    ticket = store.ticket(view.con, repository, number)
    if ticket is None or isinstance(ticket, Pull):
        raise ApiError(404, "Not Found")
    return ticket
