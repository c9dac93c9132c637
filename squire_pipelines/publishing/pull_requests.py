"""Declares what publishing needs of GitHub, and implements it on `squire_pipelines.github`."""

from collections.abc import Sequence
from typing import Protocol

from squire_pipelines.github import pulls
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.pulls import PullRequestRef


class PullRequests(Protocol):
    """Pull requests of any repository that the token may write to. Every method raises GitHubError."""

    async def find(self, repository: str, head_branch: str) -> PullRequestRef | None:
        """Return the newest pull request, in any state, from the branch."""
        ...

    async def create(
        self, repository: str, *, title: str, body: str, head: str, base: str, draft: bool
    ) -> PullRequestRef:
        """Open one, or return the open one that the branch has."""
        ...

    async def update(self, repository: str, number: int, *, title: str, body: str) -> PullRequestRef:
        """Change its text."""
        ...

    async def add_labels(self, repository: str, number: int, labels: Sequence[str]) -> None:
        """Add labels that it may have already."""
        ...

    async def set_draft(self, repository: str, number: int, *, draft: bool) -> None:
        """Make it a draft, or no draft; do nothing where it is so already, or where there are no drafts."""
        ...


class GitHubPullRequests:
    """The protocol on GitHub itself."""

    def __init__(self, client: GitHubClient) -> None:
        self._client = client

    async def find(self, repository: str, head_branch: str) -> PullRequestRef | None:
        """See `github.pulls.find_pull_request`."""
        return await pulls.find_pull_request(self._client, repository, head_branch)

    async def create(
        self, repository: str, *, title: str, body: str, head: str, base: str, draft: bool
    ) -> PullRequestRef:
        """See `github.pulls.create_pull_request`."""
        return await pulls.create_pull_request(
            self._client, repository, title=title, body=body, head=head, base=base, draft=draft
        )

    async def update(self, repository: str, number: int, *, title: str, body: str) -> PullRequestRef:
        """See `github.pulls.update_pull_request`."""
        return await pulls.update_pull_request(self._client, repository, number, title=title, body=body)

    async def add_labels(self, repository: str, number: int, labels: Sequence[str]) -> None:
        """See `github.pulls.add_labels`."""
        await pulls.add_labels(self._client, repository, number, labels)

    async def set_draft(self, repository: str, number: int, *, draft: bool) -> None:
        """See `github.pulls.set_draft`."""
        await pulls.set_draft(self._client, repository, number, draft=draft)
