"""Gives publishing what it needs of GitHub's pull requests, as one object that a test can replace."""

from collections.abc import Mapping, Sequence

from squire_pipelines.github import pulls
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.issues import milestones_of, set_milestone
from squire_pipelines.github.pulls import PullRequestRef


class PullRequests:
    """Pull requests of any repository that the token may write to. Every method raises GitHubError.

    Args:
        client: Asks GitHub.
        present_names: Of repositories that were renamed or transferred: GitHub redirects no write, and finds the pull
            requests of a branch by the present owner alone.
    """

    def __init__(self, client: GitHubClient, *, present_names: Mapping[str, str] | None = None) -> None:
        self._client = client
        self._present_names = present_names or {}

    def _name(self, repository: str) -> str:
        return self._present_names.get(repository, repository)

    async def find(self, repository: str, head_branch: str) -> PullRequestRef | None:
        """Return the newest pull request, in any state, from the branch."""
        return await pulls.find_pull_request(self._client, self._name(repository), head_branch)

    async def create(
        self, repository: str, *, title: str, body: str, head: str, base: str, draft: bool
    ) -> PullRequestRef:
        """Open one, or return the open one that the branch has."""
        return await pulls.create_pull_request(
            self._client, self._name(repository), title=title, body=body, head=head, base=base, draft=draft
        )

    async def update(self, repository: str, number: int, *, title: str, body: str) -> PullRequestRef:
        """Change its text."""
        return await pulls.update_pull_request(self._client, self._name(repository), number, title=title, body=body)

    async def add_labels(self, repository: str, number: int, labels: Sequence[str]) -> None:
        """Add labels that it may have already."""
        await pulls.add_labels(self._client, self._name(repository), number, labels)

    async def request_reviewers(self, repository: str, number: int, reviewers: Sequence[str]) -> None:
        """Ask for reviews."""
        await pulls.request_reviewers(self._client, self._name(repository), number, reviewers)

    async def take_milestone(self, repository: str, number: int, issues: Sequence[int]) -> None:
        """Plan it for the one open milestone that the issues have; do nothing where they have none, or several."""
        milestones = await milestones_of(self._client, self._name(repository), issues)
        if len(milestones) == 1:
            await set_milestone(self._client, self._name(repository), number, min(milestones))

    async def set_draft(self, repository: str, number: int, *, draft: bool) -> None:
        """Make it a draft, or no draft; do nothing where it is so already, or where there are no drafts."""
        await pulls.set_draft(self._client, self._name(repository), number, draft=draft)
