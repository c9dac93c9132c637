"""Comments of ours on a pull request or an issue: one of a kind, edited in place.

Each is known by a mark in its text and by being ours, which GitHub itself says: anybody could write the mark. So it can
be repeated. Answers to remarks are in `remark_answers`.
"""

from pydantic import AliasChoices, AliasPath, Field

from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.models import GitHubModel, GraphQLModel, Nodes, Text, parse

_MAX_BODY_CHARS = 65_536


class _OwnComment(GraphQLModel):
    database_id: int | None = None
    body: Text = ""
    viewer_did_author: bool = False


class _CommentsAnswer(GraphQLModel):
    comments: Nodes[_OwnComment] = Field(
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

    Only the newest hundred comments are looked through. Raises GitHubError.
    """
    owner, _, name = repository.partition("/")
    query = "own_issue_comments" if on_issue else "own_comments"
    data = await client.graphql(query, {"owner": owner, "name": name, "number": number})
    comments = parse(_CommentsAnswer, data, request=f"the query {query}").comments.nodes
    text = f"{marker}\n{body}"[:_MAX_BODY_CHARS]
    for comment in comments:
        # At its beginning: where the token is a person's, it is this person who quotes ours in an answer.
        if comment.viewer_did_author and comment.body.startswith(marker) and comment.database_id is not None:
            if comment.body != text:
                await client.patch(f"/repos/{repository}/issues/comments/{comment.database_id}", {"body": text})
            return comment.database_id
    path = f"/repos/{repository}/issues/{number}/comments"
    return parse(_Written, await client.post(path, {"body": text}), request=f"POST {path}").id
