"""Writing issues: find one of ours by its mark, open, change, close, react to a comment. Each can be repeated."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Literal

from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.models import GitHubModel, Text, parse

_PAGE = 100
_MAX_TITLE_CHARS = 256
_MAX_BODY_CHARS = 65_536


class _User(GitHubModel):
    login: Text = ""


class _Issue(GitHubModel):
    number: int
    user: _User | None = None  # none: the account is gone
    body: Text | None = None
    pull_request: object = None  # GitHub lists pull requests among the issues


class _Milestone(GitHubModel):
    number: int
    state: Text = ""


class _PlannedIssue(GitHubModel):
    milestone: _Milestone | None = None


class _IssueList(GitHubModel):
    items: tuple[_Issue, ...]


async def find_issue(
    client: GitHubClient,
    repository: str,
    marker: str,
    *,
    author: str,
    state: Literal["open", "all"] = "open",
    pages: int = 1,
) -> int | None:
    """Return the oldest of the newest issues of `author` whose text has `marker`, else None; a page has a hundred.

    Anybody may write the marker into an issue of theirs, so that the login of the account that opened it counts too.
    Raises GitHubError.
    """
    path = f"/repos/{repository}/issues"
    oldest: int | None = None
    for page in range(1, pages + 1):
        params: dict[str, str | int] = {"state": state, "sort": "created", "direction": "desc", "per_page": _PAGE}
        if page > 1:
            params["page"] = page
        listed = parse(_IssueList, {"items": await client.get(path, params)}, request=f"GET {path}").items
        numbers = [issue.number for issue in listed if _is_marked(issue, marker, author)]
        oldest = min([*numbers, oldest] if oldest is not None else numbers, default=None)
        if len(listed) < _PAGE:
            break
    return oldest


def _is_marked(issue: _Issue, marker: str, author: str) -> bool:
    is_by_author = issue.user is not None and issue.user.login.casefold() == author.casefold()
    # Not in a quotation: a person whose token it is may answer to what we wrote.
    own_lines = [line for line in (issue.body or "").splitlines() if not line.lstrip().startswith(">")]
    return is_by_author and issue.pull_request is None and any(marker in line for line in own_lines)


class Reaction(StrEnum):
    """What is put under a comment, by GitHub's word for it."""

    SEEN = "eyes"
    DONE = "+1"
    REFUSED = "-1"


async def react(client: GitHubClient, repository: str, comment_id: int, reaction: Reaction) -> None:
    """Put a reaction under a comment on an issue or pull request; the same one again is the same. Raises GitHubError.

    https://docs.github.com/en/rest/reactions/reactions#create-reaction-for-an-issue-comment
    """
    path = f"/repos/{repository}/issues/comments/{comment_id}/reactions"
    await client.post(path, {"content": reaction.value}, repeatable=True)


async def create_issue(client: GitHubClient, repository: str, *, title: str, body: str) -> int:
    """Open an issue and return its number; not again after a lost answer. Raises GitHubError."""
    path = f"/repos/{repository}/issues"
    content = {"title": title[:_MAX_TITLE_CHARS], "body": body[:_MAX_BODY_CHARS]}
    return parse(_Issue, await client.post(path, content), request=f"POST {path}").number


async def update_issue(
    client: GitHubClient,
    repository: str,
    number: int,
    *,
    state: Literal["open", "closed"],
    title: str | None = None,
    body: str | None = None,
) -> None:
    """Change an issue's text, where there is one, and its state. Raises GitHubError."""
    content: dict[str, object] = {"state": state}
    if title is not None:
        content["title"] = title[:_MAX_TITLE_CHARS]
    if body is not None:
        content["body"] = body[:_MAX_BODY_CHARS]
    await client.patch(f"/repos/{repository}/issues/{number}", content)


async def milestones_of(client: GitHubClient, repository: str, numbers: Sequence[int]) -> frozenset[int]:
    """Return the numbers of the open milestones that these issues are planned for. Raises GitHubError."""
    milestones: set[int] = set()
    for number in numbers:
        path = f"/repos/{repository}/issues/{number}"
        milestone = parse(_PlannedIssue, await client.get(path), request=f"GET {path}").milestone
        if milestone is not None and milestone.state == "open":
            milestones.add(milestone.number)
    return frozenset(milestones)


async def set_milestone(client: GitHubClient, repository: str, number: int, milestone: int) -> None:
    """Plan an issue or a pull request for a milestone. Raises GitHubError."""
    await client.patch(f"/repos/{repository}/issues/{number}", {"milestone": milestone})
