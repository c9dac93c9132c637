"""Writing pull requests: find, create, update, label, draft. Each can be repeated without a second effect.

Branches are pushed with git, by `publishing`.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from pydantic import AliasPath, Field

from squire_pipelines.errors import GitHubNotFoundError, GitHubUnavailableError, GitHubValidationError
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.models import GitHubModel, GraphQLModel, Text, parse

_ALREADY_EXISTS = "already exists"
_NOTHING_TO_MERGE = "No commits between"
_UNKNOWN_HEAD = "PullRequest.head invalid"
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
    title: str = ""
    body: str = ""


class _RestRepository(GitHubModel):
    id: int


class _RestBranch(GitHubModel):
    ref: Text
    sha: str
    repo: _RestRepository | None = None


class _RestPullRequest(GitHubModel):
    number: int
    html_url: str
    state: Literal["open", "closed"]
    merged_at: str | None = None
    draft: bool = False
    title: Text = ""
    body: Text | None = None
    head: _RestBranch
    base: _RestBranch

    @property
    def is_from_fork(self) -> bool:
        """Whether its branch is in another repository, or in one that is gone. A name tells nothing: forks have any."""
        return self.base.repo is not None and self.head.repo != self.base.repo


class _DraftState(GraphQLModel):
    id: str
    is_draft: bool


class _DraftAnswer(GraphQLModel):
    pull_request: _DraftState = Field(validation_alias=AliasPath("repository", "pullRequest"))


class _PullRequestList(GitHubModel):
    items: tuple[_RestPullRequest, ...]


async def find_pull_request(client: GitHubClient, repository: str, head_branch: str) -> PullRequestRef | None:
    """Return the newest pull request, in any state, from a branch of the repository itself; None without one."""
    owner = repository.partition("/")[0]
    path = f"/repos/{repository}/pulls"
    params: dict[str, str | int] = {
        "state": "all",
        "head": f"{owner}:{head_branch}",
        "sort": "created",
        "direction": "desc",
        "per_page": 100,
    }
    listed = parse(_PullRequestList, {"items": await client.get(path, params)}, request=f"GET {path}").items
    # GitHub ignores a `head` that it cannot read and lists everything: trust only what carries the branch.
    ours = [pull for pull in listed if pull.head.ref == head_branch and not pull.is_from_fork]
    return _ref(max(ours, key=lambda pull: pull.number)) if ours else None


async def create_pull_request(
    client: GitHubClient, repository: str, *, title: str, body: str, head: str, base: str, draft: bool
) -> PullRequestRef:
    """Open a pull request from a branch of the repository itself.

    An open pull request of that branch is returned instead; so is a merged one, when its merge has left the branch
    without a commit that the base lacks.

    Raises:
        GitHubValidationError: Refused, for example because there are no commits between the branches.
        GitHubPermissionError: The token lacks Pull requests (write).
        GitHubUnavailableError: The branch is not known to GitHub, or not yet; or GitHub cannot be reached.
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
            state = "open"
        elif _NOTHING_TO_MERGE in error.message:
            state = "merged"
        elif _UNKNOWN_HEAD in str(error.context.get("message")).split("; "):
            # A branch that was just pushed is not known at once to all of GitHub.
            raise GitHubUnavailableError(
                f"GitHub does not know the branch {head} of {repository} yet", hint="try again", context=error.context
            ) from error
        else:
            raise
        existing = await find_pull_request(client, repository, head)
        if existing is None or existing.state != state:
            raise
        return existing
    return _ref(parse(_RestPullRequest, answer, request=f"POST {path}"))


async def update_pull_request(
    client: GitHubClient,
    repository: str,
    number: int,
    *,
    title: str | None = None,
    body: str | None = None,
) -> PullRequestRef:
    """Change what is not None. Raises GitHubError."""
    path = f"/repos/{repository}/pulls/{number}"
    fields = {
        "title": title[:_MAX_TITLE_CHARS] if title is not None else None,
        "body": body[:_MAX_BODY_CHARS] if body is not None else None,
    }
    content: dict[str, object] = {key: value for key, value in fields.items() if value is not None}
    return _ref(parse(_RestPullRequest, await client.patch(path, content), request=f"PATCH {path}"))


async def close_pull_request(client: GitHubClient, repository: str, number: int) -> None:
    """Close a pull request and keep its branch; closing it again changes nothing. Raises GitHubError."""
    await client.patch(f"/repos/{repository}/pulls/{number}", {"state": "closed"})


async def add_labels(client: GitHubClient, repository: str, number: int, labels: Sequence[str]) -> None:
    """Add labels to a pull request or issue; GitHub makes those that it does not know. Raises GitHubError."""
    if labels:
        content: dict[str, object] = {"labels": list(labels)}
        await client.post(f"/repos/{repository}/issues/{number}/labels", content, repeatable=True)


async def request_reviewers(client: GitHubClient, repository: str, number: int, reviewers: Sequence[str]) -> None:
    """Ask people, by their logins, and teams, as `owner/team`, for a review. Raises GitHubError.

    GitHub refuses all of them when one is its author, or may not read the repository.
    """
    if reviewers:
        teams = [name.partition("/")[2] for name in reviewers if "/" in name]
        people = [name for name in reviewers if "/" not in name]
        content: dict[str, object] = {"reviewers": people, "team_reviewers": teams}
        await client.post(f"/repos/{repository}/pulls/{number}/requested_reviewers", content, repeatable=True)


async def remove_label(client: GitHubClient, repository: str, number: int, label: str) -> None:
    """Take a label off; nothing when it is not there. Raises GitHubError."""
    with contextlib.suppress(GitHubNotFoundError):
        await client.delete(f"/repos/{repository}/issues/{number}/labels/{quote(label, safe='')}")


async def set_draft(client: GitHubClient, repository: str, number: int, *, draft: bool) -> None:
    """Make a pull request a draft, or ready for review; does nothing where the repository has no drafts.

    GraphQL alone can do it. Raises GitHubError.
    """
    owner, _, name = repository.partition("/")
    data = await client.graphql("pull_request_draft", {"owner": owner, "name": name, "number": number})
    pull = parse(_DraftAnswer, data, request="the query pull_request_draft").pull_request
    if pull.is_draft == draft:
        return
    mutation = "convert_to_draft" if draft else "mark_ready"
    try:
        await client.mutate(mutation, {"id": pull.id}, repository=repository)
    except GitHubValidationError as error:
        if not is_without_drafts(error):
            raise


def is_without_drafts(error: GitHubValidationError) -> bool:
    """Return whether GitHub says that the repository has no drafts, as private ones on its free plan have none."""
    return "draft pull requests are not supported" in error.message.lower()


def _ref(pull: _RestPullRequest) -> PullRequestRef:
    return PullRequestRef(
        number=pull.number,
        url=pull.html_url,
        state="merged" if pull.merged_at else pull.state,
        head_sha=pull.head.sha,
        draft=pull.draft,
        base=pull.base.ref,
        title=pull.title,
        body=pull.body or "",
    )
