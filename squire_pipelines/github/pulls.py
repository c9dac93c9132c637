"""Writing pull requests: find, create, update, label, draft. Each can be repeated without a second effect.

Branches are pushed with git, by `publishing`.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from squire_pipelines.errors import GitHubNotFoundError, GitHubValidationError
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.models import Text, parse

_ALREADY_EXISTS = "already exists"
_NOTHING_TO_MERGE = "No commits between"
_MAX_TITLE_CHARS = 256
_MAX_BODY_CHARS = 65_536
# `permission` knows four levels; `maintain` is told as write, `triage` as read.
_WRITERS = frozenset({"admin", "write"})


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
    title: Text = ""
    body: Text | None = None
    head: _Branch
    base: _Branch


class _Permission(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    permission: Text


class _Camel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel)


class _DraftState(_Camel):
    id: str
    is_draft: bool


class _DraftRepository(_Camel):
    pull_request: _DraftState


class _DraftAnswer(_Camel):
    repository: _DraftRepository


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


async def remove_label(client: GitHubClient, repository: str, number: int, label: str) -> None:
    """Take a label off; nothing when it is not there. Raises GitHubError."""
    with contextlib.suppress(GitHubNotFoundError):
        await client.delete(f"/repos/{repository}/issues/{number}/labels/{quote(label, safe='')}")


async def add_comment(client: GitHubClient, repository: str, number: int, body: str) -> None:
    """Comment on a pull request or issue. Not repeated after a lost answer: rather no comment than two."""
    await client.post(f"/repos/{repository}/issues/{number}/comments", {"body": body[:_MAX_BODY_CHARS]})


async def may_write(client: GitHubClient, repository: str, login: str) -> bool:
    """Whether a user may write to the repository. Raises GitHubError.

    https://docs.github.com/rest/collaborators/collaborators#get-repository-permissions-for-a-user
    """
    path = f"/repos/{repository}/collaborators/{quote(login, safe='')}/permission"
    try:
        answer = await client.get(path)
    except GitHubNotFoundError:  # no such user, or a bot, of which GitHub knows no permission
        return False
    return parse(_Permission, answer, what=f"GET {path}").permission in _WRITERS


async def set_draft(client: GitHubClient, repository: str, number: int, *, draft: bool) -> None:
    """Make a draft of a pull request, or no draft. Nothing where it is so already, or where there are no drafts.

    GraphQL alone can do it. Raises GitHubError.
    """
    owner, _, name = repository.partition("/")
    data = await client.graphql("pull_request_draft", {"owner": owner, "name": name, "number": number})
    found = parse(_DraftAnswer, data, what="the query pull_request_draft").repository.pull_request
    if found.is_draft == draft:
        return
    mutation = "convert_to_draft" if draft else "mark_ready"
    try:
        await client.mutate(mutation, {"id": found.id}, repository=repository)
    except GitHubValidationError as error:
        if not is_without_drafts(error):
            raise


def is_without_drafts(error: GitHubValidationError) -> bool:
    """Whether GitHub says that the repository has no drafts, as private ones on its free plan have none."""
    return "draft pull requests are not supported" in error.message.lower()


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
        title=pull.title,
        body=pull.body or "",
    )
