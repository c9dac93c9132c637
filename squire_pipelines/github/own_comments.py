"""Comments of ours on a pull request or an issue: one of a kind, edited in place.

Each is known by a mark in its text and by being ours, which GitHub itself says: anybody could write the mark. So it can
be repeated. Answers to remarks are in `remark_answers`.
"""

from pydantic import AliasChoices, AliasPath, Field

from squire_pipelines.domain.pull_comment import COMMENT_MARK, CommentPart, with_part
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.models import GitHubModel, GraphQLModel, Nodes, Text, parse

_MAX_BODY_CHARS = 65_536
_MAX_PAGES = 10


class OwnComment(GraphQLModel):
    """A comment with its text, and whether it is ours."""

    database_id: int | None = None
    body: Text = ""
    viewer_did_author: bool = False


class _CommentsAnswer(GraphQLModel):
    comments: Nodes[OwnComment] = Field(
        validation_alias=AliasChoices(
            AliasPath("repository", "pullRequest", "comments"), AliasPath("repository", "issue", "comments")
        )
    )


class _Written(GitHubModel):
    id: int


async def put_comment(
    client: GitHubClient, repository: str, number: int, marker: str, body: str, *, on_issue: bool = False
) -> int:
    """Write the one comment of ours with this marker on a pull request or issue, or change its text; return its id.

    Only the newest thousand comments are looked through. Raises GitHubError.
    """
    known = await find_comment(client, repository, number, marker, on_issue=on_issue)
    return await _write_comment(client, repository, number, known, f"{marker}\n{body}")


async def put_part(client: GitHubClient, repository: str, number: int, part: CommentPart, text: str) -> int:
    """Change one part of our one comment on a pull request, which is written where it is missing; return its id.

    Only the newest thousand comments are looked through. Raises GitHubError.
    """
    known = await find_comment(client, repository, number, COMMENT_MARK)
    body = with_part(known.body if known is not None else "", part, text)
    return await _write_comment(client, repository, number, known, body)


async def find_comment(
    client: GitHubClient, repository: str, number: int, marker: str, *, on_issue: bool = False
) -> OwnComment | None:
    """Return the newest comment of ours that begins with this marker, among the newest thousand. Raises GitHubError."""
    owner, _, name = repository.partition("/")
    query, before = "own_issue_comments" if on_issue else "own_comments", None
    for _ in range(_MAX_PAGES):
        data = await client.graphql(query, {"owner": owner, "name": name, "number": number, "before": before})
        comments = parse(_CommentsAnswer, data, request=f"the query {query}").comments
        for comment in comments.nodes:
            # At its beginning: where the token is a person's, it is this person who quotes ours in an answer.
            if comment.viewer_did_author and comment.body.startswith(marker) and comment.database_id is not None:
                return comment
        page = comments.page_info
        if page is None or not page.has_previous_page or page.start_cursor is None:
            break
        before = page.start_cursor
    return None


async def _write_comment(
    client: GitHubClient, repository: str, number: int, known: OwnComment | None, body: str
) -> int:
    text = body[:_MAX_BODY_CHARS]
    if known is not None and known.database_id is not None:
        if known.body != text:
            await client.patch(f"/repos/{repository}/issues/comments/{known.database_id}", {"body": text})
        return known.database_id
    path = f"/repos/{repository}/issues/{number}/comments"
    return parse(_Written, await client.post(path, {"body": text}), request=f"POST {path}").id
