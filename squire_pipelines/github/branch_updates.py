"""Has GitHub bring a pull request's branch up to date with its base, as its button does.

https://docs.github.com/rest/pulls/pulls#update-a-pull-request-branch
"""

from enum import StrEnum

from squire_pipelines.errors import GitHubValidationError
from squire_pipelines.github.client import GitHubClient

_NOTHING_NEW = "no new commits on the base branch"
_ANOTHER_HEAD = "expected head sha"


class UpdateAnswer(StrEnum):
    """What GitHub says to an update: it makes it soon, there is nothing to do, or the head is another one by now."""

    REQUESTED = "requested"
    CURRENT = "current"
    MOVED = "moved"


async def update_branch(client: GitHubClient, repository: str, number: int, *, head_sha: str) -> UpdateAnswer:
    """Have GitHub merge the base into a pull request's branch where that is still at `head_sha`.

    The merge comes a moment later, as a new head of the branch. Repeating it does no harm.

    Raises:
        GitHubValidationError: The two conflict, or a rule of the repository refuses the merge.
        GitHubPermissionError: The token may not push to the branch.
        GitHubError: Anything else.
    """
    content: dict[str, object] = {"expected_head_sha": head_sha}
    try:
        await client.put(f"/repos/{repository}/pulls/{number}/update-branch", content, repeatable=True)
    except GitHubValidationError as error:
        message = error.message.lower()
        if _NOTHING_NEW in message:
            return UpdateAnswer.CURRENT
        if _ANOTHER_HEAD in message:
            return UpdateAnswer.MOVED
        raise
    return UpdateAnswer.REQUESTED
