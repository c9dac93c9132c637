"""The REST routes by which a comment is changed and a remark is answered."""

from collections.abc import Callable

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from squire_forge import events, operations, shapes, store, store_edits
from squire_forge.answers import ApiError, answer, parse
from squire_forge.operations import RequestBody
from squire_forge.records import Comment, Repository, ThreadComment
from squire_forge.world import View, World

Handler = Callable[[Request, World, object], Response]


class NewText(RequestBody):
    """The body of both routes."""

    body: str = Field(min_length=1, max_length=65_536)


def edit_comment(request: Request, world: World, body: object) -> Response:
    """Give a comment of the token's owner a new text."""
    text = parse(NewText, body, "IssueComment")
    with world.lock, world.database.writing() as con:
        view = View(world, con)
        comment = _comment(view, _repository(view, request), request.path_params["comment"])
        if comment.author.id != operations.viewer(view).id:
            raise ApiError(403, "Must have admin rights to Repository.")
        store_edits.rewrite_comment(con, comment, text.body, world.now())
        fresh = _comment(view, comment.ticket.repository, comment.id)
        events.emit_comment(view, "edited", fresh, fresh.author, changes={"body": {"from": comment.body}})
        shape = shapes.comment_shape(view, fresh)
    return answer(request, shape)


def answer_remark(request: Request, world: World, body: object) -> Response:
    """Add a comment of the token's owner to the thread of a review's comment."""
    text = parse(NewText, body, "PullRequestReviewComment")
    with world.lock, world.database.writing() as con:
        view = View(world, con)
        first = _remark(view, _repository(view, request), request)
        added = operations.answer_thread(view, first.thread, operations.viewer(view), text.body)
        shape = shapes.remark_shape(view, added, in_reply_to=first)
    world.touch(first.thread.pull.repository.id)
    return answer(request, shape, 201)


def _repository(view: View, request: Request) -> Repository:
    repository = store.find_repository(view.con, request.path_params["owner"], request.path_params["repo"])
    if repository is None:
        raise ApiError(404, "Not Found")
    return repository


def _comment(view: View, repository: Repository, number: int) -> Comment:
    tickets = (*store.issues(view.con, repository), *store.pulls(view.con, repository))
    comments = (comment for ticket in tickets for comment in store.comments(view.con, ticket))
    known = next((comment for comment in comments if comment.id == number), None)
    if known is None:
        raise ApiError(404, "Not Found")
    return known


def _remark(view: View, repository: Repository, request: Request) -> ThreadComment:
    pull = store.pull(view.con, repository, request.path_params["number"])
    threads = store.threads(view.con, pull) if pull is not None else []
    remarks = (comment for thread in threads for comment in store.thread_comments(view.con, thread))
    known = next((comment for comment in remarks if comment.id == request.path_params["comment"]), None)
    if known is None:
        raise ApiError(404, "Not Found")
    return known


ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("PATCH", "/repos/{owner}/{repo}/issues/comments/{comment:int}", edit_comment),
    ("POST", "/repos/{owner}/{repo}/pulls/{number:int}/comments/{comment:int}/replies", answer_remark),
)
