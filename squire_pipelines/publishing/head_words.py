"""What Squire reports on the commits that it pushed: what it did, and what the pull request waits for. Pure.

It has no times and no counts that change by themselves, so that it is written again only when something has happened.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from squire_pipelines.domain.following import FollowState
from squire_pipelines.domain.own_reports import HeadReport
from squire_pipelines.domain.tasks import FollowUpKind, TaskStatus
from squire_pipelines.publishing.escaping import code, one_line, web_link

_MAX_TITLE = 120
_MAX_WORK = 20
_STATES: Mapping[FollowState, str] = MappingProxyType(
    {
        FollowState.WAITING_FOR_CI: "Waits for checks",
        FollowState.FIXING: "An agent works on failed checks",
        FollowState.WAITING_FOR_REVIEW: "Waits for people",
        FollowState.ANSWERING: "An agent works on remarks",
        FollowState.UPDATING: "Its base is merged into it",
        FollowState.WAITING_FOR_MERGE: "Waits for its merge",
        FollowState.HANDED_OVER: "Left to people",
        FollowState.MERGED: "Merged",
        FollowState.LANDED_ELSEWHERE: "Its change is in the base",
        FollowState.CLOSED: "Closed",
        FollowState.REVERTED: "Reverted",
    }
)
_KINDS: Mapping[FollowUpKind, str] = MappingProxyType(
    {
        FollowUpKind.CHECKS: "works on failed checks",
        FollowUpKind.REMARKS: "works on remarks",
        FollowUpKind.CONFLICT: "resolves a conflict",
    }
)


@dataclass(frozen=True, slots=True)
class WorkOnPull:
    """One task on a pull request; `kind` is None for the one that opened it, and for what a person asked for."""

    task_id: str
    status: TaskStatus | None
    kind: FollowUpKind | None = None
    opened_it: bool = False


def head_report(state: str | None, reason: str | None, work: Sequence[WorkOnPull], *, url: str) -> HeadReport:
    """Return the report on the present head of a pull request.

    Args:
        state: Where it stands, a `FollowState`; None, or a word of a later version, where nothing is known.
        reason: What it waits for, or why it is left to people.
        work: The tasks on it, oldest first.
        url: Of the pull request.
    """
    known = FollowState(state) if state is not None and state in {*FollowState} else None
    words = _STATES[known] if known is not None else "Followed"
    line = one_line(f"{words}: {reason}" if reason else words, limit=_MAX_TITLE)
    return HeadReport(line, _summary(line, work, url), web_link(url), settled=known is not None and known.is_final)


def replaced_report(head_sha: str | None, work: Sequence[WorkOnPull], *, url: str) -> HeadReport:
    """Return the last report on a commit that is no longer the head of its pull request: now it is `head_sha`."""
    line = f"Replaced by {head_sha[:10]}" if head_sha else "No longer the head of its pull request"
    return HeadReport(line, _summary(line, work, url), web_link(url), settled=True)


def _summary(line: str, work: Sequence[WorkOnPull], url: str) -> str:
    tasks = [f"- {_work(one)}" for one in work[-_MAX_WORK:]]
    first = work[0].task_id if work else ""
    lines = [f"**{line}**", "", "What Squire did on this pull request:", "", *tasks, ""]
    lines += [
        f"Details: [the pull request]({web_link(url)}) has the specification, `squire tasks show {first}` the rest."
    ]
    lines += ["", "This is a report and no check: it fails nothing and counts for nothing."]
    return "\n".join(lines)


def _work(work: WorkOnPull) -> str:
    if work.opened_it:
        return f"task {code(work.task_id)} opened it"
    purpose = _KINDS[work.kind] if work.kind is not None else "does what somebody asked for"
    return f"task {code(work.task_id)} {purpose}" + (f": {work.status}" if work.status is not None else "")
