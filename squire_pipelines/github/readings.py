"""What one reading of GitHub's objects gave, and which parts may be missing from it. `collecting` fills it in."""

from dataclasses import dataclass, field
from typing import Any

from squire_pipelines.errors import GitHubError, GitHubNotFoundError, GitHubPermissionError
from squire_pipelines.github.models import DefaultBranch, PullRequest, RepositoryAnswer, parse
from squire_pipelines.github.protocol import GraphQLAnswer

_CHECKS_FIELD, _THREADS_FIELD = "statusCheckRollup", "reviewThreads"


@dataclass(slots=True)
class PullRequestReading:
    """All open pull requests, by number, and the first error of each part that may be missing from them."""

    items: dict[int, PullRequest] = field(default_factory=dict)
    truncated: bool = False
    threads_truncated: bool = False
    checks_truncated: bool = False
    checks_error: GitHubError | None = None
    threads_error: GitHubError | None = None

    def add_errors(self, answer: GraphQLAnswer) -> None:
        """Keep the answer's errors. Raises an error that concerns neither checks nor threads."""
        for failed in answer.errors:
            if _CHECKS_FIELD in failed.path:
                self.checks_error = self.checks_error or failed.error
            elif _THREADS_FIELD in failed.path:
                self.threads_error = self.threads_error or failed.error
            else:
                raise failed.error


@dataclass(frozen=True, slots=True)
class BranchHead:
    """The default branch's head with its checks; None for an empty or archived repository."""

    branch: DefaultBranch | None = None
    url: str = ""
    truncated: bool = False


def repository_of(data: dict[str, Any], repository: str, *, request: str) -> RepositoryAnswer:
    """Return the answer's `repository`. Raises GitHubNotFoundError or, for a disabled one, GitHubPermissionError."""
    if data.get("repository") is None:
        raise GitHubNotFoundError(
            f"there is no repository {repository}, or the token may not see it",
            hint="check the name and the token's access",
            context={"request": request},
        )
    answer = parse(RepositoryAnswer, data["repository"], request=request)
    if answer.is_disabled:
        raise GitHubPermissionError(
            f"GitHub has disabled the repository {repository}", hint="its owner can ask GitHub's support why"
        )
    return answer
