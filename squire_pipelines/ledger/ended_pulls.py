"""Pull requests of ours that have ended: which nobody has judged yet, and how each ended.

What was taken back later is recorded by `pull_reverts`.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, Select, and_, func, or_, select, update

from squire_pipelines.domain.outcomes import PullRequestState, review_after
from squire_pipelines.domain.pull_endings import JudgedEnding, PullEnding
from squire_pipelines.domain.states import EventSubject
from squire_pipelines.ledger.outcomes import change_outcome, review_of
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import attempts, outcomes, task_signals, tasks
from squire_pipelines.ledger.transitions import EventContext, record_event

JUDGED_FOR = timedelta(days=7)
"""For so long after an end it is asked how a pull request ended, where that is not known."""
_TRIED_AGAIN_AFTER = timedelta(minutes=10)
REVERTS_FOR = timedelta(days=30)
"""For so long after a merge the base is looked through for commits that take it back."""
REVERTS_EVERY = timedelta(hours=1)

_ENDED = (PullRequestState.CLOSED, PullRequestState.MERGED)
ACTOR = "follow"


@dataclass(frozen=True, slots=True)
class EndedPull:
    """A pull request that was closed or merged, with what its end is judged by.

    Args:
        task_id: Its task.
        repository: `owner/name`.
        number: Its number.
        state: Closed or merged.
        base_branch: The branch that it goes into.
        base_sha: The base's commit that our work began at; None where no attempt recorded one.
        head_sha: Its newest commit.
        own_heads: The heads that Squire gave it, oldest first.
        taken_up: The head from which a person had Squire go on.
        expired_reason: Why Squire set about closing it; None where it did not.
        opened_at: When it was opened.
        merge_sha: The commit in the base that GitHub names; None while it is not known.
    """

    task_id: str
    repository: str
    number: int
    state: PullRequestState
    base_branch: str
    base_sha: str | None
    head_sha: str
    own_heads: tuple[str, ...]
    taken_up: str | None
    expired_reason: str | None
    opened_at: datetime
    merge_sha: str | None


def unjudged(tx: Transaction, *, limit: int = 20) -> tuple[EndedPull, ...]:
    """Return pull requests that ended within a week and of which nobody has found out how, the oldest ends first."""
    waited = or_(outcomes.c.judged_at.is_(None), outcomes.c.judged_at < tx.now - _TRIED_AGAIN_AFTER)
    ended_at = func.coalesce(outcomes.c.closed_at, outcomes.c.merged_at)
    condition = and_(outcomes.c.state.in_(_ENDED), outcomes.c.ending.is_(None), waited, ended_at > tx.now - JUDGED_FOR)
    return _read(tx, condition, order=ended_at, limit=limit)


def to_look_for_reverts(tx: Transaction, *, limit: int = 100) -> tuple[EndedPull, ...]:
    """Return the merged pull requests of a month in repositories where one was not looked for during an hour.

    Those that were taken back are among them: that may have been taken back, too.
    """
    merged = _merged_of_late(tx)
    # All of a repository together, since its mirror is fetched once for all of them.
    due = select(outcomes.c.repository).where(merged, outcomes.c.judged_at < tx.now - REVERTS_EVERY)
    condition = and_(merged, outcomes.c.repository.in_(due))
    return _read(tx, condition, order=outcomes.c.judged_at, limit=limit)


def has_merged_into(tx: Transaction, repository: str, branch: str) -> bool:
    """Return whether a pull request of ours was merged into a branch of late, so that a push there may take it back."""
    return tx.execute(_merged_into(tx, repository, branch).limit(1)).first() is not None


def wake_reverts(tx: Transaction, repository: str, branch: str) -> None:
    """Have the branch looked through at once for commits that take merges of ours back."""
    merged = _merged_into(tx, repository, branch)
    look_due = tx.now - REVERTS_EVERY - timedelta(seconds=1)
    tx.execute(update(outcomes).where(outcomes.c.task_id.in_(merged)).values(judged_at=look_due, updated_at=tx.now))


def _merged_into(tx: Transaction, repository: str, branch: str) -> Select[Any]:
    return (
        select(outcomes.c.task_id)
        .join(tasks, tasks.c.id == outcomes.c.task_id)
        .where(
            _merged_of_late(tx),
            outcomes.c.repository == repository,
            func.coalesce(outcomes.c.base_ref, tasks.c.base_branch) == branch,
        )
    )


def _merged_of_late(tx: Transaction) -> Any:
    return and_(
        outcomes.c.state.in_((PullRequestState.MERGED, PullRequestState.REVERTED)),
        outcomes.c.merge_sha.is_not(None),
        outcomes.c.merged_at > tx.now - REVERTS_FOR,
    )


def _read(tx: Transaction, condition: Any, *, order: Any, limit: int) -> tuple[EndedPull, ...]:
    rows = tx.execute(
        select(outcomes, tasks.c.base_branch, tasks.c.branch)
        .join(tasks, tasks.c.id == outcomes.c.task_id)
        .where(condition)
        .order_by(order, outcomes.c.task_id)
        .limit(limit)
    ).all()
    return tuple(_ended(tx, row) for row in rows)


def _ended(tx: Transaction, row: Row[Any]) -> EndedPull:
    is_on_branch = and_(tasks.c.repository == row.repository, tasks.c.base_branch == row.branch)
    tried = tx.execute(
        select(attempts.c.task_id, attempts.c.base_sha, attempts.c.head_sha)
        .join(tasks, tasks.c.id == attempts.c.task_id)
        .where(or_(tasks.c.id == row.task_id, is_on_branch))
        .order_by(attempts.c.queued_at, attempts.c.id)
    ).all()
    bases = [attempt.base_sha for attempt in tried if attempt.task_id == row.task_id and attempt.base_sha]
    return EndedPull(
        task_id=row.task_id,
        repository=row.repository,
        number=row.pr_number,
        state=PullRequestState(row.state),
        base_branch=row.base_ref or row.base_branch,
        base_sha=bases[-1] if bases else None,
        head_sha=row.head_sha,
        own_heads=tuple(dict.fromkeys(attempt.head_sha for attempt in tried if attempt.head_sha)),
        taken_up=row.taken_up_head,
        expired_reason=row.expired_reason,
        opened_at=row.opened_at,
        merge_sha=row.merge_sha,
    )


def own_successor(tx: Transaction, pull: EndedPull) -> int | None:
    """Return the number of a pull request of ours, open or merged, whose task was made for a fact of this one later.

    Later than this one was opened: the parts into which a plan split a fact do not supersede each other.
    """
    first, later = task_signals.alias("first"), task_signals.alias("later")
    is_same_fact = and_(
        later.c.repository == first.c.repository, later.c.kind == first.c.kind, later.c.key == first.c.key
    )
    query = (
        select(outcomes.c.pr_number)
        .select_from(first.join(later, is_same_fact).join(outcomes, outcomes.c.task_id == later.c.task_id))
        .where(
            first.c.task_id == pull.task_id,
            later.c.task_id != pull.task_id,
            later.c.at > pull.opened_at,
            outcomes.c.state.in_((PullRequestState.OPEN, PullRequestState.MERGED)),
        )
        .order_by(outcomes.c.opened_at.desc())
        .limit(1)
    )
    return tx.execute(query).scalar_one_or_none()


def record_ending(
    tx: Transaction,
    pull: EndedPull,
    ending: JudgedEnding,
    *,
    merge_sha: str | None = None,
    reviewed_at: datetime | None = None,
    reviews: int | None = None,
) -> bool:
    """Record how a pull request ended; return False, and change nothing, where it has changed meanwhile.

    One whose change is in the base counts as merged: it was taken, whoever closed it.
    """
    row = tx.execute(
        select(outcomes).where(outcomes.c.task_id == pull.task_id, outcomes.c.state == pull.state)
    ).one_or_none()
    if row is None or row.ending is not None:
        return False
    columns: dict[str, Any] = {}
    if pull.state is PullRequestState.CLOSED:
        has_landed = ending.ending is PullEnding.LANDED_ELSEWHERE
        columns["landed"] = has_landed
        if has_landed:
            merged = PullRequestState.MERGED
            columns |= {
                "state": merged,
                "merged_at": row.closed_at,
                "review_state": review_after(review_of(row), merged),
            }
    columns |= {"merge_sha": merge_sha, "reviewed_at": reviewed_at, "reviews": reviews}
    change_outcome(tx, row, actor=ACTOR, reason=ending.reason, **columns, **_columns_of(ending))
    record_ending_event(tx, row, ending, actor=ACTOR)
    return True


def record_ending_event(tx: Transaction, row: Row[Any], ending: JudgedEnding, *, actor: str) -> None:
    """Write how a pull request ended into its task's history."""
    trace_id = tx.execute(select(tasks.c.trace_id).where(tasks.c.id == row.task_id)).scalar_one()
    event = EventContext(task_id=row.task_id, actor=actor, reason=ending.reason, trace_id=trace_id)
    record_event(tx, EventSubject.ENDING, row.ending, ending.ending, event)


def _columns_of(ending: JudgedEnding) -> Mapping[str, Any]:
    return {
        "ending": ending.ending,
        "ending_reason": ending.reason,
        "ended_by": ending.by,
        "ended_by_pr": ending.other,
        "people_commits": ending.people_commits,
        "people_added": ending.lines_added,
        "people_removed": ending.lines_removed,
    }


def record_look(tx: Transaction, task_ids: Collection[str]) -> None:
    """Record that these were looked at just now: judged in vain, or looked for reverts."""
    tx.execute(update(outcomes).where(outcomes.c.task_id.in_(task_ids)).values(judged_at=tx.now, updated_at=tx.now))


def begin_look_for_reverts(tx: Transaction, task_ids: Collection[str]) -> datetime:
    """Record that these are about to be looked for reverts; a look that does not end is tried again in ten minutes.

    Returns:
        What `end_look_for_reverts` wants to know.
    """
    due = tx.now - REVERTS_EVERY + _TRIED_AGAIN_AFTER
    tx.execute(update(outcomes).where(outcomes.c.task_id.in_(task_ids)).values(judged_at=due, updated_at=tx.now))
    return due


def end_look_for_reverts(tx: Transaction, task_ids: Collection[str], begun: datetime) -> None:
    """Record that these were looked for reverts; a push that came meanwhile has them looked at once more."""
    row = outcomes.c
    looked_at = update(outcomes).where(row.task_id.in_(task_ids), row.judged_at == begun)
    tx.execute(looked_at.values(judged_at=tx.now, updated_at=tx.now))
