"""Writing pull requests: find, create, update, label. Each can be repeated without a second effect.

Branches are pushed with git, by `publishing`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from squire_pipelines.errors import GitHubValidationError
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.models import Text, parse

_ALREADY_EXISTS = "already exists"
_NOTHING_TO_MERGE = "No commits between"
_MAX_TITLE_CHARS = 256
_MAX_BODY_CHARS = 65_536


@dataclass(frozen=True, slots=True)
class PullRequestRef:
    """A pull request as publishing needs it. `state` is `open`, `closed` or `merged`."""

    number: int
    url: str
    state: Literal["open", "closed", "merged"]
    head_sha: str
    draft: bool
    base: str


class _Branch(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    ref: Text
    sha: str


class _PullRequest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    number: int
    html_url: str
    state: Literal["open", "closed"]
    merged_at: str | None = None
    draft: bool = False
    head: _Branch
    base: _Branch


class _Found(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    items: tuple[_PullRequest, ...]


async def find_pull_request(client: GitHubClient, repository: str, head_branch: str) -> PullRequestRef | None:
    """The newest pull request, in any state, from a branch of the repository itself; None when there is none."""
    owner = repository.partition("/")[0]
    path = f"/repos/{repository}/pulls"
    params: dict[str, str | int] = {
        "state": "all",
        "head": f"{owner}:{head_branch}",
        "sort": "created",
        "direction": "desc",
        "per_page": 10,
    }
    found = parse(_Found, {"items": await client.get(path, params)}, what=f"GET {path}").items
    # GitHub ignores a `head` that it cannot read and lists everything: trust only what carries the branch.
    ours = [pull for pull in found if pull.head.ref == head_branch]
    return _ref(max(ours, key=lambda pull: pull.number)) if ours else None


async def create_pull_request(
    client: GitHubClient, repository: str, *, title: str, body: str, head: str, base: str, draft: bool
) -> PullRequestRef:
    """Open a pull request from a branch of the repository itself.

    When there is an open one of that branch, it is that one. When the branch has nothing that the base has not, since
    its pull request was merged meanwhile, it is the merged one.

    Raises:
        GitHubValidationError: Refused, for example because there are no commits between the branches.
        GitHubPermissionError: The token lacks Pull requests (write).
        GitHubError: Anything else.
    """
    path = f"/repos/{repository}/pulls"
    content = {
        "title": title[:_MAX_TITLE_CHARS],
        "body": body[:_MAX_BODY_CHARS],
        "head": head,
        "base": base,
        "draft": draft,
    }
    try:
        # Repeatable: were the first try's answer lost, the second is told that the pull request exists.
        answer = await client.post(path, content, repeatable=True)
    except GitHubValidationError as error:
        if _ALREADY_EXISTS in error.message:
            wanted = "open"
        elif _NOTHING_TO_MERGE in error.message:
            wanted = "merged"
        else:
            raise
        existing = await find_pull_request(client, repository, head)
        if existing is None or existing.state != wanted:
            raise
        return existing
    return _parsed(answer, what=f"POST {path}")


async def update_pull_request(
    client: GitHubClient,
    repository: str,
    number: int,
    *,
    title: str | None = None,
    body: str | None = None,
    state: Literal["open", "closed"] | None = None,
) -> PullRequestRef:
    """Change what is not None. Raises GitHubError."""
    path = f"/repos/{repository}/pulls/{number}"
    wanted = {
        "title": title[:_MAX_TITLE_CHARS] if title is not None else None,
        "body": body[:_MAX_BODY_CHARS] if body is not None else None,
        "state": state,
    }
    content: dict[str, object] = {key: value for key, value in wanted.items() if value is not None}
    return _parsed(await client.patch(path, content), what=f"PATCH {path}")


async def add_labels(client: GitHubClient, repository: str, number: int, labels: Sequence[str]) -> None:
    """Add labels to a pull request or issue; GitHub makes those that it does not know. None asks nothing."""
    if labels:
        content: dict[str, object] = {"labels": list(labels)}
        await client.post(f"/repos/{repository}/issues/{number}/labels", content, repeatable=True)


def _parsed(data: Any, *, what: str) -> PullRequestRef:
    return _ref(parse(_PullRequest, data, what=what))


def _ref(pull: _PullRequest) -> PullRequestRef:
    return PullRequestRef(
        number=pull.number,
        url=pull.html_url,
        state="merged" if pull.merged_at else pull.state,
        head_sha=pull.head.sha,
        draft=pull.draft,
        base=pull.base.ref,
    )
