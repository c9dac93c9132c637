"""The REST routes of reactions to comments on issues and pull requests."""

import sqlite3
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response

from squire_forge import operations, shapes, store
from squire_forge.answers import ApiError, answer, parse
from squire_forge.operations import RequestBody
from squire_forge.shapes import JsonObject
from squire_forge.world import View, World, node_id


class NewReaction(RequestBody):
    """The body of `POST /repos/{owner}/{repo}/issues/comments/{comment_id}/reactions`."""

    content: Literal["+1", "-1", "laugh", "confused", "heart", "hooray", "rocket", "eyes"]


def add_reaction(request: Request, world: World, body: object) -> Response:
    """Add the token owner's reaction to a comment: 201, and 200 when it is there already."""
    content = parse(NewReaction, body, "Reaction").content
    with world.lock, world.database.writing() as con:
        view = View(world, con)
        comment_id, author = _comment(view, request), operations.viewer(view)
        key = (comment_id, author.id, content)
        same = "SELECT * FROM reactions WHERE comment_id = ? AND author_id = ? AND content = ?"
        is_new = con.execute(same, key).fetchone() is None
        if is_new:
            store.insert(
                con,
                "reactions",
                comment_id=comment_id,
                author_id=author.id,
                content=content,
                created_at=world.now(),
            )
        shape = _shape(view, con.execute(same, key).fetchone())
    return answer(request, shape, 201 if is_new else 200)


def list_reactions(request: Request, world: World, _: object) -> Response:
    """Return the reactions to a comment, oldest first."""
    with world.database.reading() as con:
        view = View(world, con)
        comment_id = _comment(view, request)
        rows = con.execute("SELECT * FROM reactions WHERE comment_id = ? ORDER BY id", (comment_id,)).fetchall()
        return answer(request, [_shape(view, row) for row in rows])


def _comment(view: View, request: Request) -> int:
    """Return the id of the request's comment, which is one of its repository. Raises ApiError."""
    repository = store.find_repository(view.con, request.path_params["owner"], request.path_params["repo"])
    row = view.con.execute(
        "SELECT comments.id FROM comments JOIN tickets ON tickets.id = ticket_id"
        " WHERE comments.id = ? AND repository_id = ?",
        (request.path_params["id"], repository.id if repository is not None else None),
    ).fetchone()
    if row is None:
        raise ApiError(404, "Not Found")
    return int(row["id"])


def _shape(view: View, row: sqlite3.Row) -> JsonObject:
    return {
        "id": row["id"],
        "node_id": node_id("Reaction", row["id"]),
        "user": shapes.account_shape(view, store.account(view.con, row["author_id"])),
        "content": row["content"],
        "created_at": row["created_at"],
    }
