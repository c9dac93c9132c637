"""Merged pull requests of ours that were taken back, and those of which that was taken back, too."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, func, select

from squire_pipelines.domain.outcomes import PullRequestState, report_applies, review_after
from squire_pipelines.domain.pull_endings import JudgedEnding, PullEnding
from squire_pipelines.ledger.ended_pulls import record_ending_event
from squire_pipelines.ledger.outcomes import change_outcome, review_of
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import outcomes, tasks


def has_reverted(tx: Transaction, repository: str, numbers: Collection[int]) -> bool:
    """Return whether one of these pull requests is known to have taken one of ours back."""
    query = select(outcomes.c.task_id).where(
        outcomes.c.repository == repository,
        outcomes.c.state == PullRequestState.REVERTED,
        outcomes.c.ended_by_pr.in_(numbers),
    )
    return tx.execute(query.limit(1)).first() is not None


def record_revert_pull(
    tx: Transaction,
    repository: str,
    numbers: Collection[int],
    *,
    base_branch: str,
    at: datetime,
    by: int,
    actor: str,
) -> tuple[str, ...]:
    """Record that a merged pull request takes others back: ours, or those that had taken ours back.

    Args:
        tx: The transaction.
        repository: Of all of them.
        numbers: Of those that are taken back.
        base_branch: The branch that it was merged into; of one of another branch it says nothing.
        at: When GitHub changed it last.
        by: Its number.
        actor: Who says so.

    Returns:
        The ids of the tasks of which this changed the outcome.
    """
    changed = []
    for row in tx.execute(_on_branch(repository, base_branch).where(outcomes.c.pr_number.in_(numbers))).all():
        if report_applies(PullRequestState(row.state), row.forge_updated_at, PullRequestState.REVERTED, at):
            ending = JudgedEnding(PullEnding.REVERTED, f"reverted by pull request #{by}", None, by)
            _record_reverted(tx, row, ending, actor=actor, at=at)
            changed.append(str(row.task_id))
    reverted_by = _on_branch(repository, base_branch).where(
        outcomes.c.state == PullRequestState.REVERTED,
        outcomes.c.ended_by_pr.in_(numbers),
        outcomes.c.forge_updated_at <= at,
    )
    for row in tx.execute(reverted_by).all():
        reason = f"pull request #{by} took back #{row.ended_by_pr}, which had reverted it"
        _record_restored(tx, row, reason, actor=actor, at=at)
        changed.append(str(row.task_id))
    return tuple(changed)


def record_revert_commit(tx: Transaction, task_id: str, commit: str, *, actor: str) -> bool:
    """Record that a commit of the base takes a task's merge back; return whether that is news."""
    row = tx.execute(
        select(outcomes).where(outcomes.c.task_id == task_id, outcomes.c.state == PullRequestState.MERGED)
    ).one_or_none()
    if row is None:
        return False
    reason = f"reverted by the commit {commit[:12]}"
    _record_reverted(tx, row, JudgedEnding(PullEnding.REVERTED, reason), actor=actor)
    return True


def record_restored(tx: Transaction, task_id: str, *, actor: str) -> bool:
    """Record that what took a task's merge back was taken back by a commit of the base; return whether that is news."""
    row = tx.execute(
        select(outcomes).where(outcomes.c.task_id == task_id, outcomes.c.state == PullRequestState.REVERTED)
    ).one_or_none()
    if row is None:
        return False
    _record_restored(tx, row, "what had reverted it was reverted by a commit of the base", actor=actor)
    return True


def _on_branch(repository: str, branch: str) -> Select[Any]:
    return (
        select(outcomes)
        .join(tasks, tasks.c.id == outcomes.c.task_id)
        .where(
            outcomes.c.repository == repository,
            func.coalesce(outcomes.c.base_ref, tasks.c.base_branch) == branch,
        )
    )


def _record_reverted(
    tx: Transaction, row: Row[Any], ending: JudgedEnding, *, actor: str, at: datetime | None = None
) -> None:
    """Record that a merged pull request was taken back; what of it people had changed stays known."""
    _record(tx, row, PullRequestState.REVERTED, ending.ending, ending.reason, actor=actor, at=at, by=ending.other)
    record_ending_event(tx, row, ending, actor=actor)


def _record_restored(tx: Transaction, row: Row[Any], reason: str, *, actor: str, at: datetime | None = None) -> None:
    """Record that a merged pull request is in the base again, as it had been merged."""
    ending = _merged_as(row)
    _record(tx, row, PullRequestState.MERGED, ending, reason, actor=actor, at=at)
    if ending is not None:
        record_ending_event(tx, row, JudgedEnding(ending, reason), actor=actor)


def _merged_as(row: Row[Any]) -> PullEnding | None:
    """Return how it had been merged, by what was counted then; None where nobody had found that out."""
    if row.landed:
        return PullEnding.LANDED_ELSEWHERE
    if row.merge_sha is None:
        return None
    return PullEnding.MERGED_UNCHANGED if row.people_commits == 0 else PullEnding.MERGED_CHANGED


def _record(
    tx: Transaction,
    row: Row[Any],
    state: PullRequestState,
    ending: PullEnding | None,
    reason: str,
    *,
    actor: str,
    at: datetime | None,
    by: int | None = None,
) -> None:
    change_outcome(
        tx,
        row,
        actor=actor,
        reason=reason,
        state=state,
        review_state=review_after(review_of(row), state),
        forge_updated_at=max(row.forge_updated_at, at) if at is not None else row.forge_updated_at,
        ending=ending,
        ending_reason=None if ending is None else reason,
        ended_by=None,
        ended_by_pr=by,
    )
