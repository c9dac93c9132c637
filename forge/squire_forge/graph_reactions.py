"""The GraphQL mutation that reacts to a comment, a review, or a comment in a thread."""

from collections.abc import Iterator
from typing import Any

from squire_forge import operations, store
from squire_forge.graph_core import Context, NotFoundError, on
from squire_forge.records import Pull
from squire_forge.world import View, node_id


@on("Mutation", "addReaction")
def _add_reaction(_: Any, context: Context, *, input: dict[str, Any]) -> dict[str, Any]:  # noqa: A002 - GitHub's name
    view, subject, content = context.view, input["subjectId"], input["content"]
    pulls = (pull for repository in store.repositories(view.con) for pull in store.pulls(view.con, repository))
    if not any(subject in subjects(view, pull) for pull in pulls):
        raise NotFoundError(f"Could not resolve to a node with the global id of '{subject}'.")
    view.con.execute(
        "INSERT OR IGNORE INTO node_reactions (subject, author_id, content) VALUES (?, ?, ?)",
        (subject, operations.viewer(view).id, content),
    )
    return {"reaction": {"content": content}, "client_mutation_id": input.get("clientMutationId")}


def subjects(view: View, pull: Pull) -> Iterator[str]:
    """Yield the nodes of a pull request that may be reacted to."""
    yield from (node_id("IssueComment", comment.id) for comment in store.comments(view.con, pull))
    yield from (node_id("PullRequestReview", review.id) for review in store.reviews(view.con, pull))
    for thread in store.threads(view.con, pull):
        comments = store.thread_comments(view.con, thread)
        yield from (node_id("PullRequestReviewComment", comment.id) for comment in comments)


def reactions(view: View, pull: Pull) -> list[str]:
    """Return the reactions on a pull request that came through GraphQL, in the order of what they are on."""
    rows = view.con.execute("SELECT subject, content FROM node_reactions").fetchall()
    contents = [(row["subject"], str(row["content"])) for row in rows]
    return [content for subject in subjects(view, pull) for on_it, content in contents if on_it == subject]
