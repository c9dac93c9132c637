from collections.abc import Callable

import httpx
import pytest

from squire_pipelines.errors import GitHubPermissionError, GitHubValidationError
from squire_pipelines.github.branch_updates import UpdateAnswer, update_branch
from squire_pipelines.github.client import GitHubClient
from tests.support.github_json import SHA, FakeGitHub

pytestmark = pytest.mark.anyio
ROUTE = "PUT /repos/o/r/pulls/7/update-branch"


@pytest.mark.parametrize(
    ("status", "message", "answer"),
    [
        (202, "Updating pull request branch.", UpdateAnswer.REQUESTED),
        (422, "There are no new commits on the base branch.", UpdateAnswer.CURRENT),
        (422, "expected head sha didn\u2019t match current head ref.", UpdateAnswer.MOVED),
        (422, "merge conflict between base and head", GitHubValidationError),
        (403, "Resource not accessible by integration", GitHubPermissionError),
    ],
)
async def test_what_github_says_to_an_update_has_a_name(
    client_of: Callable[..., GitHubClient], status: int, message: str, answer: UpdateAnswer | type[Exception]
) -> None:
    client = client_of(FakeGitHub(rest={ROUTE: httpx.Response(status, json={"message": message})}))
    if isinstance(answer, UpdateAnswer):
        assert await update_branch(client, "o/r", 7, head_sha=SHA) is answer
    else:
        with pytest.raises(answer):
            await update_branch(client, "o/r", 7, head_sha=SHA)
