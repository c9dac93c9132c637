"""What GitHub says of how a pull request of ours ended: who closed or merged it, and with what. Reads only.

What follows from it is judged by `domain.pull_endings`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import AliasPath, Field

from squire_pipelines.domain.outcomes import PullRequestState
from squire_pipelines.domain.pull_endings import CloseFacts, ClosingActor, said_with_closing
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.models import Actor, GraphQLModel, Nodes, Text, parse
from squire_pipelines.github.signals import is_bot

_QUERY = "pull_request_ending"


class _Closer(GraphQLModel):
    typename: str = Field(alias="__typename")
    oid: str | None = None
    number: int | None = None
    url: Text = ""


class _TimelineItem(GraphQLModel):
    typename: str = Field(alias="__typename")
    created_at: datetime | None = None
    actor: Actor | None = None
    closer: _Closer | None = None


class _CommentAtEnd(GraphQLModel):
    created_at: datetime
    body: Text = ""
    author: Actor | None = None


class _ReviewAtEnd(GraphQLModel):
    submitted_at: datetime | None = None
    author: Actor | None = None


class _ClosedIssue(GraphQLModel):
    number: int
    timeline_items: Nodes[_TimelineItem] = Nodes()


class _MergeCommit(GraphQLModel):
    oid: str


class _EndedPull(GraphQLModel):
    url: Text = ""
    state: Literal["OPEN", "CLOSED", "MERGED"] | None = None
    author: Actor | None = None
    merged_by: Actor | None = None
    merge_commit: _MergeCommit | None = None
    timeline_items: Nodes[_TimelineItem] = Nodes()
    comments: Nodes[_CommentAtEnd] = Nodes()
    reviews: Nodes[_ReviewAtEnd] | None = None
    closing_issues_references: Nodes[_ClosedIssue] | None = None


class _EndingAnswer(GraphQLModel):
    pull: _EndedPull = Field(validation_alias=AliasPath("repository", "pullRequest"))


@dataclass(frozen=True, slots=True)
class EndingFacts:
    """What GitHub says: of a merge, its commit in the base and who made it; of a close, what `close` has.

    `reviews` are those of others, at most a hundred, and `reviewed_at` is when the first was submitted. `state` is what
    it is now: one that we know as closed may have been opened again, and merged. `merged_by_person` says that a person
    merged it whose account is not the one that opened it.
    """

    close: CloseFacts
    state: PullRequestState | None = None
    merged_by: str | None = None
    merged_by_person: bool = False
    merge_sha: str | None = None
    reviewed_at: datetime | None = None
    reviews: int | None = None


async def read_ending(client: GitHubClient, repository: str, number: int) -> EndingFacts:
    """Return what GitHub says of the end of a pull request, for one point of the quota. Raises GitHubError."""
    owner, _, name = repository.partition("/")
    data = await client.graphql(_QUERY, {"owner": owner, "name": name, "number": number})
    pull = parse(_EndingAnswer, data, request=f"the query {_QUERY}").pull
    author, merger = pull.author.login if pull.author else None, pull.merged_by
    reviews = [
        review.submitted_at
        for review in (pull.reviews.nodes if pull.reviews else ())
        # An answer of ours in a thread is a review, too.
        if review.submitted_at is not None and (review.author is None or review.author.login != author)
    ]
    return EndingFacts(
        close=_close_facts(pull),
        state=PullRequestState(pull.state.lower()) if pull.state else None,
        merged_by=merger.login if merger else None,
        merged_by_person=merger is not None and not is_bot(merger) and merger.login != author,
        merge_sha=pull.merge_commit.oid if pull.merge_commit else None,
        reviewed_at=min(reviews, default=None),
        reviews=len(reviews),
    )


def _close_facts(pull: _EndedPull) -> CloseFacts:
    items = pull.timeline_items.nodes
    closed = next((item for item in reversed(items) if item.typename == "ClosedEvent"), None)
    deleted = next((item for item in reversed(items) if item.typename == "HeadRefDeletedEvent"), None)
    by = _actor(closed.actor) if closed else None
    closer = closed.closer if closed else None
    at = closed.created_at if closed else None
    return CloseFacts(
        at=at,
        by=by,
        author=pull.author.login if pull.author else None,
        closing_commit=closer.oid if closer else None,
        closing_pull=_own_number(pull, closer),
        branch_deleted_at=deleted.created_at if deleted else None,
        branch_deleted_by=_actor(deleted.actor) if deleted else None,
        words=_words(pull, at, by),
        pulls_url=_pulls_url(pull.url),
        issues_closed_by=_closers_of_issues(pull),
    )


def _actor(actor: Actor | None) -> ClosingActor | None:
    return ClosingActor(actor.login, is_bot(actor)) if actor is not None else None


def _own_number(pull: _EndedPull, closer: _Closer | None) -> int | None:
    """Return the number of the pull request that closed something; one of another repository has one of its own."""
    return closer.number if closer is not None and _pulls_url(closer.url) == _pulls_url(pull.url) else None


def _pulls_url(url: str) -> str:
    return url.rpartition("/")[0]


def _words(pull: _EndedPull, at: datetime | None, by: ClosingActor | None) -> tuple[str, ...]:
    if at is None or by is None:
        return ()
    return tuple(
        comment.body
        for comment in pull.comments.nodes
        if comment.author is not None and comment.author.login == by.login and said_with_closing(comment.created_at, at)
    )


def _closers_of_issues(pull: _EndedPull) -> Mapping[int, int]:
    issues = pull.closing_issues_references.nodes if pull.closing_issues_references else ()
    closers = {issue.number: _own_number(pull, item.closer) for issue in issues for item in issue.timeline_items.nodes}
    return {issue: number for issue, number in closers.items() if number is not None}
