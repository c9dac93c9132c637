"""Comments of ours on a pull request: one of a kind, edited in place, and answers in the threads of its remarks.

Each is known by a mark in its text and by being ours, which GitHub itself says: anybody could write the mark. So all of
it can be repeated.
"""

from dataclasses import dataclass

from pydantic import AliasChoices, AliasPath, Field

from squire_pipelines.errors import GitHubNotFoundError, GitHubPermissionError
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.models import GitHubModel, GraphQLModel, Nodes, Text, parse
from squire_pipelines.observability.logging import Component, get_logger

_MAX_BODY_CHARS = 65_536
_log = get_logger(Component.GITHUB)


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


class _Thread(GraphQLModel):
    id: str
    is_resolved: bool
    viewer_can_resolve: bool
    comments: Nodes[_OwnComment]


class _ThreadsAnswer(GraphQLModel):
    threads: Nodes[_Thread] = Field(validation_alias=AliasPath("repository", "pullRequest", "reviewThreads"))


class _Written(GitHubModel):
    id: int


@dataclass(frozen=True, slots=True)
class RemarkAnswer:
    """What is said in one thread, by its GraphQL id, and whether the thread is then resolved."""

    thread: str
    text: str
    resolves: bool


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


async def answer_remarks(
    client: GitHubClient, repository: str, number: int, marker: str, answers: tuple[RemarkAnswer, ...]
) -> None:
    """Say in each thread what was done, once for each marker, and resolve those that were dealt with.

    A thread that has gone is passed over; one that the token may not resolve stays open. Of the newest hundred threads.

    Raises:
        GitHubError: GitHub cannot be reached, or the token may not answer.
    """
    if not answers:
        return
    owner, _, name = repository.partition("/")
    data = await client.graphql("remark_threads", {"owner": owner, "name": name, "number": number})
    threads = {thread.id: thread for thread in parse(_ThreadsAnswer, data, request="remark_threads").threads.nodes}
    for answer in answers:
        if (thread := threads.get(answer.thread)) is not None:
            comments = thread.comments.nodes
            first = next((comment.database_id for comment in comments if comment.database_id is not None), None)
            is_said = any(comment.viewer_did_author and marker in comment.body for comment in comments)
            if not is_said and first is not None:
                path = f"/repos/{repository}/pulls/{number}/comments/{first}/replies"
                await client.post(path, {"body": f"{marker}\n{answer.text}"[:_MAX_BODY_CHARS]})
            if answer.resolves and not thread.is_resolved and thread.viewer_can_resolve:
                await _resolve(client, repository, thread)


async def _resolve(client: GitHubClient, repository: str, thread: _Thread) -> None:
    try:
        await client.mutate("resolve_thread", {"id": thread.id}, repository=repository)
    except (GitHubNotFoundError, GitHubPermissionError) as error:
        # The answer is what matters; whoever asked resolves it then.
        _log.info("thread.not_resolved", repository=repository, thread=thread.id, cause=str(error))
