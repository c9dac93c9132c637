"""A command that somebody who may give it wrote into a comment."""

from dataclasses import dataclass

from squire_pipelines.domain.commands import CommentCommand
from squire_pipelines.domain.requests import github_actor
from squire_pipelines.github.comments import IssueComment


@dataclass(frozen=True, slots=True)
class GivenCommand:
    """A command of somebody who may give it: which of its comment's, and where."""

    repository: str
    comment: IssueComment
    place: int
    command: CommentCommand
    trace_id: str

    @property
    def actor(self) -> str:
        """Who gave it, for histories and the audit trail."""
        return github_actor(self.comment.author.login)
