"""Answers to remarks on a pull request of ours, in their threads or in one comment, and 👀 on those that were heard.

What was said is known by a mark in its text and by being ours, which GitHub itself says: anybody could write the mark.
So all of it can be repeated. A remark is known by the key of its signal: a thread's id, or the id of a review or a
comment, with a digest behind it where that holds several.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydantic import AliasPath, Field

from squire_pipelines.errors import GitHubError, GitHubNotFoundError, GitHubPermissionError, GitHubValidationError
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.models import Actor, GraphQLModel, Nodes, Text, parse
from squire_pipelines.github.own_comments import OwnComment, find_comment
from squire_pipelines.observability.logging import Component, get_logger

MAX_BODY_CHARS = 65_536
_QUERY = "remark_threads"
_THREADS_READ, _REVIEWS_READ, _COMMENTS_READ = 100, 50, 100
"""So many of the newest ones the query reads; where there are more, ours may be among the others."""

_log = get_logger(Component.GITHUB)


class _ThreadComment(GraphQLModel):
    id: str
    database_id: int | None = None
    body: Text = ""
    viewer_did_author: bool = False


class _FirstComment(GraphQLModel):
    database_id: int | None = None


class _Thread(GraphQLModel):
    id: str
    is_resolved: bool
    viewer_can_resolve: bool
    first: Nodes[_FirstComment] = Nodes()
    comments: Nodes[_ThreadComment]


class _RemarkPlace(GraphQLModel):
    """A review or a comment, which has no thread."""

    id: str
    url: str
    author: Actor | None = None
    database_id: int | None = None
    body: Text = ""
    viewer_did_author: bool = False


class _RemarksOfPull(GraphQLModel):
    threads: Nodes[_Thread] = Field(alias="reviewThreads")
    reviews: Nodes[_RemarkPlace] = Nodes()
    comments: Nodes[_RemarkPlace] = Nodes()

    @property
    def may_have_older(self) -> bool:
        """Whether there may be threads, reviews or comments that were not read."""
        return (
            len(self.threads.items) >= _THREADS_READ
            or len(self.reviews.items) >= _REVIEWS_READ
            or len(self.comments.items) >= _COMMENTS_READ
        )


class _ThreadsAnswer(GraphQLModel):
    pull: _RemarksOfPull = Field(validation_alias=AliasPath("repository", "pullRequest"))


@dataclass(frozen=True, slots=True)
class PullPlace:
    """A pull request on which something is said; `repository` is `owner/name`."""

    repository: str
    number: int


@dataclass(frozen=True, slots=True)
class RemarkAnswer:
    """What is said to a remark, by the key of its signal, and whether its thread is then resolved."""

    remark: str
    text: str
    resolves: bool


@dataclass(frozen=True, slots=True)
class AnswerMarks:
    """The marks by which our answers are known again.

    Args:
        answer: Of one round of answers.
        comment: Of the one comment that answers what has no thread.
        heading: With what this comment begins.
    """

    answer: str
    comment: str
    heading: str


async def answer_remarks(
    client: GitHubClient, place: PullPlace, marks: AnswerMarks, answers: Sequence[RemarkAnswer]
) -> None:
    """Say to each remark what was done, once for each round, and resolve the threads that were dealt with.

    What has no thread is answered in one comment, to which each round adds its lines. A remark that has gone is passed
    over; a thread that the token may not resolve stays open. The newest hundred threads and comments, and fifty
    reviews, are answered in their places: what is older, in the one comment, without a link to it. This comment is
    looked for among the newest thousand.

    Raises:
        GitHubError: GitHub cannot be reached, or the token may not answer. Where it refuses one answer alone, all
            others are given first.
    """
    if not answers:
        return
    pull = await _read(client, place)
    threads = {thread.id: thread for thread in pull.threads.nodes}
    refusal: GitHubError | None = None
    for answer in answers:
        if (thread := threads.get(answer.remark)) is not None:
            try:
                await _answer_thread(client, place, thread, marks.answer, answer)
            except (GitHubNotFoundError, GitHubValidationError) as error:
                refusal = error  # such as of a thread whose first remark has gone meanwhile
    places = {one.id: one for one in (*pull.reviews.nodes, *pull.comments.nodes)}
    lines = [
        f"- {_named(places[key])}: {answer.text}"
        for answer in answers
        if (key := answer.remark.partition(":")[0]) in places
    ]
    older = [one for one in answers if one.remark not in threads and one.remark.partition(":")[0] not in places]
    if older and pull.may_have_older:
        _log.warning("remark.out_of_reach", repository=place.repository, number=place.number, remarks=len(older))
        lines += [f"- a remark that is not among the newest: {answer.text}" for answer in older]
    if lines:
        await _add_to_comment(client, place, marks, lines, pull.comments.nodes)
    if refusal is not None:
        raise refusal


async def show_heard(client: GitHubClient, place: PullPlace, remarks: Iterable[str]) -> None:
    """Put 👀 on each of these remarks, so that people see that they were heard; the same one again is the same.

    What has gone, or may not be reacted to, is passed over: the answer is what matters. Raises GitHubError otherwise.
    """
    pull = await _read(client, place)
    subjects = {one.id: one.id for one in (*pull.reviews.nodes, *pull.comments.nodes)}
    for thread in pull.threads.nodes:
        # The newest word that is not ours is the one that is answered.
        spoken = [comment.id for comment in thread.comments.nodes if not comment.viewer_did_author]
        if spoken:
            subjects[thread.id] = spoken[-1]
    for subject in dict.fromkeys(subjects.get(remark.partition(":")[0]) for remark in remarks):
        if subject is not None:
            await _quietly(client, place, "add_reaction", {"subject": subject})


async def _read(client: GitHubClient, place: PullPlace) -> _RemarksOfPull:
    owner, _, name = place.repository.partition("/")
    data = await client.graphql(_QUERY, {"owner": owner, "name": name, "number": place.number})
    return parse(_ThreadsAnswer, data, request=f"the query {_QUERY}").pull


async def _answer_thread(
    client: GitHubClient, place: PullPlace, thread: _Thread, marker: str, answer: RemarkAnswer
) -> None:
    comments = thread.comments.nodes
    # GitHub takes answers to a thread's first comment alone, which is not among the newest ones of a long thread.
    ids = (*(comment.database_id for comment in thread.first.nodes), *(comment.database_id for comment in comments))
    first = next((one for one in ids if one is not None), None)
    # At its beginning: where the token is a person's, it is this person who quotes ours in an answer.
    is_answered = any(comment.viewer_did_author and comment.body.startswith(marker) for comment in comments)
    if not is_answered and first is not None:
        path = f"/repos/{place.repository}/pulls/{place.number}/comments/{first}/replies"
        await client.post(path, {"body": f"{marker}\n{answer.text}"[:MAX_BODY_CHARS]})
    if answer.resolves and not thread.is_resolved and thread.viewer_can_resolve:
        await _quietly(client, place, "resolve_thread", {"id": thread.id})


def _named(remark: _RemarkPlace) -> str:
    # The name in code marks, so that nobody is notified once more.
    return f"[remark by `{remark.author.login if remark.author else 'ghost'}`]({remark.url})"


async def _add_to_comment(
    client: GitHubClient,
    place: PullPlace,
    marks: AnswerMarks,
    lines: Sequence[str],
    comments: Sequence[_RemarkPlace],
) -> None:
    """Add lines to our comment with this mark, or write it; nothing where they are there already."""
    added = "\n".join([marks.answer, *lines])
    ours = (one for one in comments if one.viewer_did_author and one.database_id is not None)
    known: _RemarkPlace | OwnComment | None = next((one for one in ours if one.body.startswith(marks.comment)), None)
    if known is None and len(comments) >= _COMMENTS_READ:
        known = await find_comment(client, place.repository, place.number, marks.comment)
    if known is None:
        text = f"{marks.comment}\n{marks.heading}\n\n{added}"
        path = f"/repos/{place.repository}/issues/{place.number}/comments"
        await client.post(path, {"body": text[:MAX_BODY_CHARS]})
    elif marks.answer not in known.body:
        text = f"{known.body}\n{added}"
        if len(text) > MAX_BODY_CHARS:
            text = f"{marks.comment}\n{marks.heading}\n\n{added}"  # the oldest answers make room
        path = f"/repos/{place.repository}/issues/comments/{known.database_id}"
        await client.patch(path, {"body": text[:MAX_BODY_CHARS]})


async def _quietly(client: GitHubClient, place: PullPlace, mutation: str, variables: dict[str, object]) -> None:
    """Run a mutation without which people get along, too: what is not permitted, or has gone, stays as it is."""
    try:
        await client.mutate(mutation, variables, repository=place.repository)
    except (GitHubNotFoundError, GitHubPermissionError) as error:
        _log.info("remark.left", repository=place.repository, number=place.number, act=mutation, cause=str(error))
