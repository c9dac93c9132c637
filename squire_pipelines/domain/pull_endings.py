"""How a pull request of ours ended, judged from what GitHub, git and the ledger say of it. Pure.

The words are those of the column `outcomes.ending`. What has ended without anybody saying how is `unknown`.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

_WITH_ITS_BRANCH = timedelta(seconds=2)
"""GitHub closes a pull request in the second in which its branch is deleted; a person who closes it and then deletes
the branch presses two buttons."""
_SAID_WITH_CLOSING = timedelta(minutes=10)
_SUPERSEDED = re.compile(
    r"\b(?:superseded|replaced|obsoleted) (?:by|in|with) (?:(?P<pulls>\S{1,200}/pull)/|#)(?P<number>\d{1,9})\b",
    re.IGNORECASE,
)


class PullEnding(StrEnum):
    """How a pull request of ours ended."""

    MERGED_UNCHANGED = "merged_unchanged"
    MERGED_CHANGED = "merged_changed"
    LANDED_ELSEWHERE = "landed_elsewhere"
    SUPERSEDED = "superseded"
    CLOSED_BY_PERSON = "closed_by_person"
    CLOSED_BY_BOT = "closed_by_bot"
    CLOSED_WITH_BRANCH = "closed_with_branch"
    STALE = "stale"
    REVERTED = "reverted"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ClosingActor:
    """The account that closed a pull request or deleted its branch; `is_bot` is by its type, never by its name."""

    login: str
    is_bot: bool

    def __str__(self) -> str:
        return f"the bot {self.login}" if self.is_bot else self.login


@dataclass(frozen=True, slots=True)
class CloseFacts:
    """What GitHub says of the close of a pull request that was not merged.

    Args:
        at: When it was closed last.
        by: Who closed it; None where the account is gone or GitHub does not say.
        author: The login of the account that opened it, which is ours.
        closing_commit: The commit whose message closed it.
        closing_pull: The number of the pull request that closed it when it was merged.
        branch_deleted_at: When its branch was deleted last.
        branch_deleted_by: Who deleted it.
        words: What the account that closed it wrote on it about that time.
        issues_closed_by: The pull requests that closed the issues which it would have closed, by the issues' numbers.
        pulls_url: What the addresses of the repository's pull requests begin with; empty where it is not known. A
            number of another repository says nothing here, so that only its own count in all of these.
    """

    at: datetime | None = None
    by: ClosingActor | None = None
    author: str | None = None
    closing_commit: str | None = None
    closing_pull: int | None = None
    branch_deleted_at: datetime | None = None
    branch_deleted_by: ClosingActor | None = None
    words: tuple[str, ...] = ()
    issues_closed_by: Mapping[int, int] = field(default_factory=lambda: MappingProxyType({}))
    pulls_url: str = ""


@dataclass(frozen=True, slots=True)
class JudgedEnding:
    """How a pull request ended, by whom, and in words how that is known.

    Args:
        ending: Which of them.
        reason: A sentence's part for people.
        by: The login of who ended it.
        other: The number of the pull request that took its place, or that took it back.
        people_commits: Commits of others that were merged with it, without what merges of the base brought.
        lines_added: Lines that these added; None where nobody has counted.
        lines_removed: Lines that these removed.
    """

    ending: PullEnding
    reason: str
    by: str | None = None
    other: int | None = None
    people_commits: int | None = None
    lines_added: int | None = None
    lines_removed: int | None = None


def expiry_reason(idle: timedelta, limit: timedelta) -> str | None:
    """Return why a pull request is to be closed on which nothing happened for so long; None while it is not.

    A `limit` of zero is no limit.
    """
    if not limit or idle < limit:
        return None
    days = limit.total_seconds() / timedelta(days=1).total_seconds()
    return f"nothing happened here for {days:g} day{'' if days == 1 else 's'}"


def said_with_closing(written_at: datetime, closed_at: datetime) -> bool:
    """Return whether a comment was written about the time of the close, so that it may say why."""
    return abs(written_at - closed_at) <= _SAID_WITH_CLOSING


def judge_close(
    facts: CloseFacts, number: int, *, expired_by_us: str | None = None, own_successor: int | None = None
) -> JudgedEnding:
    """Return how a pull request ended that was closed, and whose change is not in the base.

    Args:
        facts: What GitHub says.
        number: Its own number.
        expired_by_us: Why Squire set about closing it, since nothing happened on it; None where it did not.
        own_successor: The number of a later pull request of ours about the same fact that is open or merged.
    """
    by = facts.by.login if facts.by else None
    if expired_by_us is not None and (facts.by is None or _same(facts.by.login, facts.author)):
        return JudgedEnding(PullEnding.STALE, expired_by_us, by)
    successor = _successor(facts, number, own_successor)
    if successor is not None:
        return JudgedEnding(PullEnding.SUPERSEDED, successor[1], by, successor[0])
    if facts.closing_commit is not None:
        reason = f"superseded by the commit {facts.closing_commit[:12]}, which closed it"
        return JudgedEnding(PullEnding.SUPERSEDED, reason, by)
    if _went_with_branch(facts):
        deleter = facts.branch_deleted_by
        reason = f"its branch was deleted{f' by {deleter}' if deleter else ''}"
        return JudgedEnding(PullEnding.CLOSED_WITH_BRANCH, reason, deleter.login if deleter else by)
    if facts.by is None:
        return JudgedEnding(PullEnding.UNKNOWN, "closed; GitHub does not say by whom")
    kind = PullEnding.CLOSED_BY_BOT if facts.by.is_bot else PullEnding.CLOSED_BY_PERSON
    return JudgedEnding(kind, f"closed by {facts.by}", by)


def _successor(facts: CloseFacts, number: int, own: int | None) -> tuple[int, str] | None:
    """Return the pull request that took its place, and how that is known."""
    if facts.closing_pull not in {None, number}:
        return facts.closing_pull or 0, f"superseded by #{facts.closing_pull}, which closed it"
    for issue, other in sorted(facts.issues_closed_by.items()):
        if other != number:
            return other, f"superseded by #{other}, which closed issue #{issue}"
    for match in (match for words in facts.words for match in _SUPERSEDED.finditer(words)):
        other = int(match["number"])
        if other != number and _is_of_repository(match["pulls"], facts.pulls_url):
            return other, f"superseded by #{other}, as {facts.by} wrote"
    if own not in {None, number}:
        return own or 0, f"superseded by #{own}, which is Squire's too and about the same"
    return None


def _is_of_repository(pulls: str | None, pulls_url: str) -> bool:
    """Return whether the address of a pull request, up to its number, is one of the repository; None is `#`."""
    own = "/".join(pulls_url.split("/")[-3:])
    return pulls is None or f"/{pulls}".casefold().endswith(f"/{own}".casefold())


def _went_with_branch(facts: CloseFacts) -> bool:
    if facts.at is None or facts.branch_deleted_at is None:
        return False
    return facts.branch_deleted_at - facts.at <= _WITH_ITS_BRANCH


def _same(login: str, other: str | None) -> bool:
    return other is not None and login.casefold() == other.casefold()


@dataclass(frozen=True, slots=True)
class BranchCommit:
    """A commit on a pull request's own line; of a merge the lines are None, since it brings the work of others."""

    sha: str
    is_merge: bool = False
    added: int = 0
    removed: int = 0


def commits_of_others(
    line: Sequence[BranchCommit], own_heads: Collection[str], taken_up: str | None = None
) -> tuple[BranchCommit, ...] | None:
    """Return the commits of others on a pull request's branch, newest first, without merges.

    None where no head of ours is on the line: somebody has rewritten it.

    Args:
        line: Its commits from the head along the first parents, newest first.
        own_heads: The heads that Squire gave it; what lies below one is Squire's.
        taken_up: The head from which a person had Squire go on; what lies below it is theirs.
    """
    if not any(commit.sha in own_heads for commit in line):
        return None
    is_theirs, others = True, []
    for commit in line:
        if commit.sha in own_heads:
            is_theirs = False
        elif commit.sha == taken_up:
            is_theirs = True
        if is_theirs and not commit.is_merge:
            others.append(commit)
    return tuple(others)


def judge_merge(others: Sequence[BranchCommit] | None, *, by: str | None = None) -> JudgedEnding:
    """Return how a pull request ended that was merged.

    Args:
        others: The commits of others that were merged with it; None where it has some and they cannot be counted.
        by: The login of who merged it.
    """
    who = f" by {by}" if by else ""
    if others is None:
        return JudgedEnding(PullEnding.MERGED_CHANGED, f"merged{who} with commits of others, rewritten", by)
    if not others:
        return JudgedEnding(PullEnding.MERGED_UNCHANGED, f"merged{who} as Squire left it", by, None, 0, 0, 0)
    added, removed = sum(c.added for c in others), sum(c.removed for c in others)
    count = "1 commit" if len(others) == 1 else f"{len(others)} commits"
    reason = f"merged{who} with {count} of others: {added} lines added, {removed} removed"
    return JudgedEnding(PullEnding.MERGED_CHANGED, reason, by, None, len(others), added, removed)
