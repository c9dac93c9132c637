"""Gives publishing what it needs of GitHub's pull requests, as one object that a test can replace."""

from collections.abc import Sequence

from squire_pipelines.github import pulls
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.pulls import PullRequestRef


class PullRequests:
    """Pull requests of any repository that the token may write to. Every method raises GitHubError."""

    def __init__(self, client: GitHubClient) -> None:
        self._client = client

    async def find(self, repository: str, head_branch: str) -> PullRequestRef | None:
        """Return the newest pull request, in any state, from the branch."""
        return await pulls.find_pull_request(self._client, repository, head_branch)

    async def create(
        self, repository: str, *, title: str, body: str, head: str, base: str, draft: bool
    ) -> PullRequestRef:
        """Open one, or return the open one that the branch has."""
        return await pulls.create_pull_request(
            self._client, repository, title=title, body=body, head=head, base=base, draft=draft
        )

    async def update(self, repository: str, number: int, *, title: str, body: str) -> PullRequestRef:
        """Change its text."""
        return await pulls.update_pull_request(self._client, repository, number, title=title, body=body)

    async def add_labels(self, repository: str, number: int, labels: Sequence[str]) -> None:
        """Add labels that it may have already."""
        await pulls.add_labels(self._client, repository, number, labels)

    async def set_draft(self, repository: str, number: int, *, draft: bool) -> None:
        """Make it a draft, or no draft; do nothing where it is so already, or where there are no drafts."""
        await pulls.set_draft(self._client, repository, number, draft=draft)
