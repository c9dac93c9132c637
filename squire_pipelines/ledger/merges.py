"""Squire's own merges: what each waits for, what was asked of GitHub, and what was said of it there.

A request to GitHub is recorded before it is sent: after a crash it is known that there may have been one.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import Row, Select, insert, not_, or_, select, update

from squire_pipelines.domain.merging import ANSWER_LOST_AFTER, MergeDecision, MergeProgress, MergeWay, OwnMerge
from squire_pipelines.domain.outcomes import PullRequestState
from squire_pipelines.ledger.audit import record_audit
from squire_pipelines.ledger.ended_pulls import JUDGED_FOR
from squire_pipelines.ledger.outcomes import Outcome, outcome_of
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import merges, outcomes, tasks
from squire_pipelines.ledger.telling_tries import MAX_TRIES, next_try

ACTOR = "follow"
MAX_REFUSALS = 3
"""After so many on one head nobody asks GitHub again."""

_PENDING = (MergeProgress.REQUESTED, MergeProgress.ARMED)
_ENDED = (MergeProgress.REFUSED, MergeProgress.TAKEN_BACK)
_NOT_TOLD: Mapping[str, None] = MappingProxyType({"tell_tries": None, "tell_again_at": None, "tell_error": None})


@dataclass(frozen=True, slots=True)
class RecordedMerge:
    """What is recorded of one pull request's merge.

    Args:
        task_id: Whose pull request.
        own: What Squire did about it.
        judged_facts: By which facts the ledger judged it last, in one text.
        look_at: When GitHub is asked about it again although nothing has changed.
        method: By which method the merge was asked for.
        refusals: How often GitHub refused it at this head.
        tell_error: Why its end could not be said on GitHub; None where it was.
    """

    task_id: str
    own: OwnMerge
    judged_facts: str | None = None
    look_at: datetime | None = None
    method: str | None = None
    refusals: int = 0
    tell_error: str | None = None


def recorded(tx: Transaction, task_ids: Collection[str]) -> Mapping[str, RecordedMerge]:
    """Return what is recorded of the merges of these tasks' pull requests, by task."""
    rows = tx.execute(select(merges).where(merges.c.task_id.in_(task_ids)))
    return {row.task_id: _recorded(row) for row in rows}


def get(tx: Transaction, task_id: str) -> RecordedMerge | None:
    """Return what is recorded of one merge; None where Squire has not looked at it."""
    return recorded(tx, [task_id]).get(task_id)


def _recorded(row: Row[Any]) -> RecordedMerge:
    own = OwnMerge(
        progress=MergeProgress(row.progress),
        head_sha=row.head_sha,
        way=MergeWay(row.way) if row.way else None,
        asked_at=row.asked_at,
        reason=row.reason,
    )
    return RecordedMerge(
        row.task_id, own, row.judged_facts, row.look_at, row.method, row.refusals or 0, tell_error=row.tell_error
    )


def record_decision(
    tx: Transaction, outcome: Outcome, decision: MergeDecision, *, judged_facts: str, look_at: datetime
) -> None:
    """Record what a merge waits for, or how it ended, and when it is looked at again."""
    values: dict[str, Any] = {"progress": decision.progress, "reason": decision.reason}
    if decision.progress in _ENDED:
        values["head_sha"] = outcome.head_sha
    _put(tx, outcome, {**values, "judged_facts": judged_facts, "look_at": look_at})


def postpone(tx: Transaction, outcome: Outcome, *, judged_facts: str, look_at: datetime) -> None:
    """Record when a merge is looked at again of which GitHub did not say enough; what is known of it stays."""
    if not _set(tx, outcome.task_id, {"judged_facts": judged_facts, "look_at": look_at}):
        waits = MergeDecision(MergeProgress.WAITING, "waits for GitHub's answer")
        record_decision(tx, outcome, waits, judged_facts=judged_facts, look_at=look_at)


def begin_request(tx: Transaction, outcome: Outcome, decision: MergeDecision, head_sha: str) -> bool:
    """Record that GitHub is about to be asked to merge; False where another process has just asked."""
    tx.exclusive("merges")
    known = get(tx, outcome.task_id)
    if known is not None and known.own.progress in _PENDING and known.own.head_sha == head_sha:
        asked_at = known.own.asked_at
        if known.own.progress is MergeProgress.ARMED or (
            asked_at is not None and asked_at >= tx.now - ANSWER_LOST_AFTER
        ):
            return False
    refusals = known.refusals if known is not None and known.own.head_sha == head_sha else 0
    values = {
        "progress": MergeProgress.REQUESTED,
        "reason": decision.reason,
        "way": decision.way,
        "method": decision.method,
        "head_sha": head_sha,
        "asked_at": tx.now,
        "refusals": refusals,
    }
    _put(tx, outcome, values)
    detail = {"task": outcome.task_id, "head": head_sha, "way": decision.way, "method": decision.method}
    _audit(tx, outcome, "pull_request.merge_asked", detail)
    return True


def begin_taking_back(tx: Transaction, outcome: Outcome) -> None:
    """Record that a request is about to be taken back: one that is gone after a crash is nobody's word but ours."""
    _set(tx, outcome.task_id, {"progress": MergeProgress.REQUESTED})


def record_armed(tx: Transaction, outcome: Outcome, reason: str, *, judged_facts: str, look_at: datetime) -> None:
    """Record that GitHub's auto-merge or its merge queue has a pull request, and when it is looked at again."""
    values = {"progress": MergeProgress.ARMED, "reason": reason, "judged_facts": judged_facts, "look_at": look_at}
    _put(tx, outcome, values)


def record_merged(tx: Transaction, outcome: Outcome, *, merge_sha: str | None = None) -> None:
    """Record that a pull request was merged as Squire asked, with a row of the audit trail. Idempotent."""
    known = get(tx, outcome.task_id)
    if known is None or known.own.progress is MergeProgress.MERGED:
        return
    _put(tx, outcome, {"progress": MergeProgress.MERGED, "reason": "", "look_at": None})
    detail = {
        "task": outcome.task_id,
        "head": known.own.head_sha,
        "way": known.own.way,
        "method": known.method,
        "commit": merge_sha,
    }
    _audit(tx, outcome, "pull_request.merged", detail)


def record_refusal(tx: Transaction, outcome: Outcome, reason: str, *, judged_facts: str, for_good: bool) -> bool:
    """Record that GitHub refused a merge; return whether nobody asks again at this head."""
    known = get(tx, outcome.task_id)
    refusals = (known.refusals if known else 0) + 1
    ends = for_good or refusals >= MAX_REFUSALS
    progress = MergeProgress.REFUSED if ends else MergeProgress.WAITING
    look_at = next_try(tx.now, refusals)
    values = {
        "progress": progress,
        "reason": reason,
        "refusals": refusals,
        "judged_facts": judged_facts,
        "look_at": look_at,
    }
    _put(tx, outcome, values)
    return ends


def settle_judged(tx: Transaction, task_id: str, *, by_person: bool) -> None:
    """Record how a merge ended that was asked for, since it is known how the pull request did.

    Args:
        tx: The transaction.
        task_id: Whose pull request.
        by_person: Whether GitHub names a person as who merged it, and not the account that Squire has.
    """
    for row in tx.execute(_ended_while_pending().where(merges.c.task_id == task_id)).all():
        _settle(tx, row, by_person=by_person)


def settle_ended(tx: Transaction) -> int:
    """Record how those ended that were asked for, where the pull request has ended and nobody finds out how any more.

    Until a merged one is judged, it is not known whose merge it was. Return how many were recorded.
    """
    is_to_be_judged = (
        (outcomes.c.state == PullRequestState.MERGED)
        & outcomes.c.ending.is_(None)
        & (outcomes.c.merged_at > tx.now - JUDGED_FOR)
    )
    rows = tx.execute(_ended_while_pending().where(not_(is_to_be_judged))).all()
    for row in rows:
        _settle(tx, row, by_person=False)
    return len(rows)


def _ended_while_pending() -> Select[Any]:
    asked_head = merges.c.head_sha.label("asked_head")
    return (
        select(merges.c.task_id, asked_head, outcomes.c.head_sha, outcomes.c.state, outcomes.c.landed)
        .join(outcomes, outcomes.c.task_id == merges.c.task_id)
        .where(merges.c.progress.in_(_PENDING), outcomes.c.state != PullRequestState.OPEN)
    )


def _settle(tx: Transaction, row: Row[Any], *, by_person: bool) -> None:
    outcome = _outcome(tx, row.task_id)
    is_merged = row.state != PullRequestState.CLOSED and not row.landed
    if is_merged and row.asked_head == row.head_sha and not by_person:
        record_merged(tx, outcome)
    else:
        _put(tx, outcome, {"progress": MergeProgress.WAITING, "reason": "it ended otherwise", "look_at": None})


def permit_again(tx: Transaction, task_id: str) -> bool:
    """Let a merge be asked for again that was refused or taken back, since a person says so; return whether it was."""
    ended = merges.c.progress.in_(_ENDED)
    values = {"progress": MergeProgress.WAITING, "reason": "asked for again", "refusals": 0, "look_at": tx.now}
    query = update(merges).where(merges.c.task_id == task_id, ended)
    return bool(tx.execute(query.values(**values, announced_reason=None, **_NOT_TOLD, updated_at=tx.now)).rowcount)


@dataclass(frozen=True, slots=True)
class MergeEnd:
    """The end of a merge that is to be said on its pull request."""

    outcome: Outcome
    progress: MergeProgress
    reason: str


def to_tell(tx: Transaction, *, limit: int = 20) -> tuple[MergeEnd, ...]:
    """Return the merges that ended before they were one, of which nothing was said yet, those that are due."""
    is_new = or_(merges.c.announced_reason.is_(None), merges.c.announced_reason != merges.c.reason)
    is_due = or_(merges.c.tell_again_at.is_(None), merges.c.tell_again_at <= tx.now)
    query = (
        select(merges.c.task_id, merges.c.progress, merges.c.reason)
        .join(outcomes, outcomes.c.task_id == merges.c.task_id)
        .where(outcomes.c.state == PullRequestState.OPEN, merges.c.progress.in_(_ENDED), is_new, is_due)
        .order_by(merges.c.updated_at)
        .limit(limit)
    )
    rows = tx.execute(query).all()
    return tuple(MergeEnd(_outcome(tx, row.task_id), MergeProgress(row.progress), row.reason) for row in rows)


def begin_telling(tx: Transaction, task_id: str) -> int | None:
    """Record that one more try begins to say how a merge ended; return which, None where another has begun one."""
    tx.exclusive("merges")
    row = tx.execute(select(merges.c.tell_tries, merges.c.tell_again_at).where(merges.c.task_id == task_id)).one()
    if row.tell_again_at is not None and row.tell_again_at > tx.now:
        return None
    tries = (row.tell_tries or 0) + 1
    _set(tx, task_id, {"tell_tries": tries, "tell_again_at": next_try(tx.now, tries)})
    return tries


def record_telling(tx: Transaction, end: MergeEnd, tries: int, error: str | None) -> None:
    """Record how a try to say it ended; after the last that failed, it counts as said."""
    if error is None or tries >= MAX_TRIES:
        _set(tx, end.outcome.task_id, {"announced_reason": end.reason, **_NOT_TOLD, "tell_error": error})
    else:
        _set(tx, end.outcome.task_id, {"tell_error": error})


def _outcome(tx: Transaction, task_id: str) -> Outcome:
    return outcome_of(tx.execute(select(outcomes).where(outcomes.c.task_id == task_id)).one())


def _audit(tx: Transaction, outcome: Outcome, action: str, detail: Mapping[str, Any]) -> None:
    trace_id = tx.execute(select(tasks.c.trace_id).where(tasks.c.id == outcome.task_id)).scalar_one()
    subject = f"{outcome.repository}#{outcome.pr_number}"
    values = {key: None if value is None else str(value) for key, value in detail.items()}
    record_audit(tx, actor=ACTOR, action=action, subject=subject, trace_id=trace_id, detail=values)


def _put(tx: Transaction, outcome: Outcome, values: Mapping[str, Any]) -> None:
    """Change the row of a pull request's merge, which is made where there is none."""
    if _set(tx, outcome.task_id, values):
        return
    place = {"task_id": outcome.task_id, "repository": outcome.repository, "pr_number": outcome.pr_number}
    tx.execute(insert(merges).values(**place, **values, updated_at=tx.now))


def _set(tx: Transaction, task_id: str, values: Mapping[str, Any]) -> int:
    return tx.execute(update(merges).where(merges.c.task_id == task_id).values(**values, updated_at=tx.now)).rowcount
