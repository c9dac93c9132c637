"""What a delivery says of a comment on an issue or pull request. Pure; who may order by one is judged elsewhere.

https://docs.github.com/en/webhooks/webhook-events-and-payloads#issue_comment
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, Field, ValidationError

from squire_pipelines.domain.authority import Author, kind_of
from squire_pipelines.errors import DeliveryError
from squire_pipelines.github.events import Number, delivered_object
from squire_pipelines.github.models import GitHubModel, Text

EVENT, CREATED = "issue_comment", "created"


@dataclass(frozen=True, slots=True)
class IssueComment:
    """A comment as it was written, with the issue or pull request as it was then.

    Args:
        id: GitHub's id of the comment.
        author: Who wrote it; what this person may do is to be asked.
        body: Its text.
        url: Its page.
        created_at: When it was written; None where GitHub does not say.
        number: Of the issue or pull request.
        on_pull_request: Which of both it is.
        title: Of the issue or pull request; likewise the next three.
        text: Its own text.
        labels: The names of its labels.
        issue_author: Who opened it.
    """

    id: int
    author: Author
    body: str
    url: str
    created_at: datetime | None
    number: int
    on_pull_request: bool
    title: str
    text: str
    labels: tuple[str, ...]
    issue_author: str


class _CommentAuthor(GitHubModel):
    login: Text
    type: str = ""


class _Comment(GitHubModel):
    id: Annotated[int, Field(ge=1, lt=2**63)]
    body: Text = ""
    html_url: Text = ""
    created_at: AwareDatetime | None = None
    user: _CommentAuthor | None = None
    author_association: Text = "NONE"


class _Label(GitHubModel):
    name: Text


class _CommentedIssue(GitHubModel):
    number: Number
    title: Text = ""
    body: Text = ""
    labels: tuple[_Label, ...] = ()
    user: _CommentAuthor | None = None
    pull_request: dict[str, object] | None = None


class _Delivered(GitHubModel):
    comment: _Comment
    issue: _CommentedIssue


def parse_comment(body: bytes) -> IssueComment | None:
    """Return the comment of a delivery of the event `issue_comment`; None where its author's account is gone.

    Raises:
        DeliveryError: The body is not what GitHub sends.
    """
    try:
        delivered = _Delivered.model_validate(delivered_object(body))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise DeliveryError(
            f"the delivery of a comment is not what GitHub sends: {where}: {first['msg']}", context={"field": where}
        ) from error
    comment, issue = delivered.comment, delivered.issue
    if comment.user is None:
        return None
    return IssueComment(
        id=comment.id,
        author=Author(
            login=comment.user.login, kind=kind_of(comment.user.type), association=comment.author_association
        ),
        body=comment.body,
        url=comment.html_url,
        created_at=comment.created_at,
        number=issue.number,
        on_pull_request=issue.pull_request is not None,
        title=issue.title,
        text=issue.body,
        labels=tuple(label.name for label in issue.labels),
        issue_author=issue.user.login if issue.user is not None else "",
    )
