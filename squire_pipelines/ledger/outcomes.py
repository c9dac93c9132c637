"""Outcomes: what became of the pull requests that tasks opened, in the order that GitHub gives them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, Select, delete, insert, or_, select, update

from squire_pipelines.domain.outcomes import (
    ChecksState,
    PullRequestReport,
    PullRequestState,
    ReviewState,
    report_applies,
    review_after,
)
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import outcomes, tasks
from squire_pipelines.ledger.transitions import record_event


@dataclass(frozen=True, slots=True)
class Outcome:
    """An outcome's row."""

    task_id: str
    repository: str
    pr_number: int
    pr_url: str
    head_sha: str
    state: PullRequestState
    checks: str | None
    opened_at: datetime
    merged_at: datetime | None
    review_state: ReviewState = ReviewState.NONE


def record_opened(
    tx: Transaction,
    *,
    task_id: str,
    repository: str,
    pr_number: int,
    pr_url: str,
    head_sha: str,
    review: ReviewState = ReviewState.NONE,
) -> None:
    """A task's pull request is there. Idempotent; a later attempt's push renews the head and what is held of it.

    When a later attempt had to open another one, since somebody closed the first, the outcome follows the new one.
    """
    known = tx.execute(select(outcomes).where(outcomes.c.task_id == task_id)).one_or_none()
    if known is not None and known.pr_number != pr_number:
        tx.execute(delete(outcomes).where(outcomes.c.task_id == task_id))
    elif known is not None:
        renew_head(tx, task_id=task_id, head_sha=head_sha, review=review)
        return
    tx.execute(
        insert(outcomes).values(
            task_id=task_id,
            repository=repository,
            pr_number=pr_number,
            pr_url=pr_url,
            head_sha=head_sha,
            state=PullRequestState.OPEN,
            review_state=review,
            opened_at=tx.now,
            # GitHub's clock, not ours, orders reports: any report of GitHub's is later than this.
            forge_updated_at=tx.now - timedelta(days=1),
            updated_at=tx.now,
        )
    )
    after = {"outcome": PullRequestState.OPEN, "checks": None, "review": review}
    _tell(tx, task_id, _facts(known), after, actor="publisher", reason=f"pull request #{pr_number} opened")


def renew_head(tx: Transaction, *, task_id: str, head_sha: str, review: ReviewState) -> None:
    """Something was pushed to a task's pull request, by a later attempt or a follow-up of another task.

    What was approved before was another head: a push that the policy holds is held whatever was approved. One that
    it lets pass changes nothing of what is held.
    """
    row = tx.execute(select(outcomes).where(outcomes.c.task_id == task_id)).one_or_none()
    if row is None:
        return
    values = {"head_sha": head_sha, "updated_at": tx.now}
    held = {"review_state": review} if review is not ReviewState.NONE else {}
    tx.execute(update(outcomes).where(outcomes.c.task_id == task_id).values(values | held))
    if held:
        _tell(tx, task_id, _facts(row), _facts(row) | {"review": review}, actor="publisher", reason="a new head")


def record_review(tx: Transaction, task_id: str, review: ReviewState, *, actor: str, reason: str) -> bool:
    """A held pull request was approved. Returns False, and changes nothing, when it is not held (any more)."""
    row = tx.execute(
        select(outcomes.c.review_state, tasks.c.trace_id)
        .join(tasks, tasks.c.id == outcomes.c.task_id)
        .where(outcomes.c.task_id == task_id, outcomes.c.review_state == ReviewState.NEEDS_APPROVAL)
    ).one_or_none()
    if row is None or review is ReviewState.NEEDS_APPROVAL:
        return False
    tx.execute(update(outcomes).where(outcomes.c.task_id == task_id).values(review_state=review, updated_at=tx.now))
    record_event(
        tx,
        task_id=task_id,
        subject="review",
        before=row.review_state,
        after=review,
        actor=actor,
        reason=reason,
        trace_id=row.trace_id,
    )
    return True


def apply_report(tx: Transaction, report: PullRequestReport, *, actor: str) -> str | None:
    """Take in what GitHub said of a pull request. Returns the task's id, or None when it is none of ours.

    A report that is older than what is known changes nothing.
    """
    row = tx.execute(
        select(outcomes, tasks.c.trace_id)
        .join(tasks, tasks.c.id == outcomes.c.task_id)
        .where(outcomes.c.repository == report.repository, outcomes.c.pr_number == report.number)
    ).one_or_none()
    if row is None:
        return None
    before = PullRequestState(row.state)
    if not report_applies(before, row.forge_updated_at, report.state, report.updated_at):
        return str(row.task_id)
    review = review_after(ReviewState(row.review_state or ReviewState.NONE), report.state)
    # The checks belong to a commit: those of an earlier head say nothing of this one.
    checks = report.checks or (row.checks if row.head_sha == report.head_sha else None)
    tx.execute(
        update(outcomes)
        .where(outcomes.c.task_id == row.task_id)
        .values(
            state=report.state,
            review_state=review,
            head_sha=report.head_sha,
            checks=checks,
            merged_at=report.merged_at or row.merged_at,
            closed_at=report.closed_at,
            forge_updated_at=report.updated_at,
            updated_at=tx.now,
        )
    )
    after = {"outcome": report.state, "checks": checks, "review": review}
    _tell(tx, row.task_id, _facts(row), after, actor=actor, reason=f"pull request #{report.number}")
    return str(row.task_id)


def record_revert(tx: Transaction, repository: str, number: int, *, at: datetime, by: int, actor: str) -> str | None:
    """Record that a merged pull request takes one of ours back.

    Args:
        tx: The transaction.
        repository: Of both pull requests.
        number: Of the one that is taken back.
        at: When GitHub changed the other one last.
        by: The number of the one that takes it back.
        actor: Who says so.

    Returns:
        The task's id, or None when the pull request is none of ours.
    """
    row = tx.execute(
        select(outcomes).where(outcomes.c.repository == repository, outcomes.c.pr_number == number)
    ).one_or_none()
    if row is None:
        return None
    if not report_applies(PullRequestState(row.state), at, PullRequestState.REVERTED, at):
        return str(row.task_id)
    review = review_after(ReviewState(row.review_state or ReviewState.NONE), PullRequestState.REVERTED)
    tx.execute(
        update(outcomes)
        .where(outcomes.c.task_id == row.task_id)
        .values(
            state=PullRequestState.REVERTED,
            review_state=review,
            forge_updated_at=max(row.forge_updated_at, at),
            updated_at=tx.now,
        )
    )
    after = {"outcome": PullRequestState.REVERTED, "checks": row.checks, "review": review}
    _tell(tx, row.task_id, _facts(row), after, actor=actor, reason=f"reverted by pull request #{by}")
    return str(row.task_id)


def record_failed_checks(tx: Transaction, repository: str, head_sha: str, *, actor: str) -> tuple[Outcome, ...]:
    """Record that a check of a commit has failed; return the outcomes whose head it is.

    One failed check holds for the commit as a whole until GitHub is asked about it again.
    """
    rows = tx.execute(_of_head(repository, head_sha)).all()
    for row in rows:
        if row.checks != ChecksState.FAILED:
            tx.execute(
                update(outcomes)
                .where(outcomes.c.task_id == row.task_id)
                .values(checks=ChecksState.FAILED, updated_at=tx.now)
            )
            after = _facts(row) | {"checks": ChecksState.FAILED}
            _tell(tx, row.task_id, _facts(row), after, actor=actor, reason="a check failed")
    return tuple(_outcome(row) for row in rows)


def of_head(tx: Transaction, repository: str, head_sha: str) -> tuple[Outcome, ...]:
    """Return the outcomes of open pull requests whose head is this commit."""
    return tuple(_outcome(row) for row in tx.execute(_of_head(repository, head_sha)))


def _of_head(repository: str, head_sha: str) -> Select[Any]:
    return select(outcomes).where(
        outcomes.c.repository == repository,
        outcomes.c.head_sha == head_sha,
        outcomes.c.state == PullRequestState.OPEN,
    )


def is_ours(tx: Transaction, repository: str, numbers: Collection[int]) -> bool:
    """Return whether one of these pull requests is a task's."""
    query = select(outcomes.c.task_id).where(outcomes.c.repository == repository, outcomes.c.pr_number.in_(numbers))
    return tx.execute(query.limit(1)).first() is not None


UNKNOWN = "unknown"
"""How an event tells that nothing is known of a head's checks."""


def _facts(row: Row[Any] | None) -> dict[str, str | None]:
    """What people care about in an outcome, by the subjects of its events."""
    if row is None:
        return {"outcome": None, "checks": None, "review": ReviewState.NONE}
    return {"outcome": row.state, "checks": row.checks, "review": row.review_state or ReviewState.NONE}


def _tell(
    tx: Transaction,
    task_id: str,
    before: Mapping[str, str | None],
    after: Mapping[str, str | None],
    *,
    actor: str,
    reason: str,
) -> None:
    """Write an event for each fact that has changed."""
    changed = [subject for subject in before if before[subject] != after[subject]]
    if not changed:
        return
    trace_id = tx.execute(select(tasks.c.trace_id).where(tasks.c.id == task_id)).scalar_one()
    for subject in changed:
        record_event(
            tx,
            task_id=task_id,
            subject=subject,
            before=before[subject],
            after=after[subject] or UNKNOWN,
            actor=actor,
            reason=reason,
            trace_id=trace_id,
        )


def get(tx: Transaction, task_id: str) -> Outcome | None:
    """A task's outcome, None when it has no pull request."""
    row = tx.execute(select(outcomes).where(outcomes.c.task_id == task_id)).one_or_none()
    if row is None:
        return None
    return _outcome(row)


def of_branch(tx: Transaction, repository: str, branch: str) -> Outcome | None:
    """The outcome of the task whose branch it is, while its pull request is open; None when there is none."""
    row = tx.execute(
        select(outcomes)
        .join(tasks, tasks.c.id == outcomes.c.task_id)
        .where(tasks.c.repository == repository, tasks.c.branch == branch, outcomes.c.state == PullRequestState.OPEN)
    ).one_or_none()
    return _outcome(row) if row is not None else None


def held(tx: Transaction, task_ids: Collection[str]) -> tuple[Outcome, ...]:
    """Those of the tasks' pull requests that are open and wait for a person's approval."""
    rows = tx.execute(
        select(outcomes)
        .where(
            outcomes.c.task_id.in_(task_ids),
            outcomes.c.state == PullRequestState.OPEN,
            outcomes.c.review_state == ReviewState.NEEDS_APPROVAL,
        )
        .order_by(outcomes.c.task_id)
    )
    return tuple(_outcome(row) for row in rows)


def _outcome(row: Row[Any]) -> Outcome:
    values = {name: getattr(row, name) for name in Outcome.__slots__}
    review = ReviewState(row.review_state or ReviewState.NONE)
    return Outcome(**values | {"state": PullRequestState(row.state), "review_state": review})


def to_poll(tx: Transaction, *, not_since_s: float, limit: int = 100) -> tuple[Outcome, ...]:
    """Open pull requests that nobody asked GitHub about for `not_since_s` seconds, the longest neglected first.

    Deliveries can be lost (GitHub does not send them again by itself), so that we also ask.
    """
    rows = tx.execute(
        select(outcomes)
        .where(
            outcomes.c.state == PullRequestState.OPEN,
            or_(
                outcomes.c.polled_at.is_(None) & (outcomes.c.opened_at < tx.now - timedelta(seconds=not_since_s)),
                outcomes.c.polled_at < tx.now - timedelta(seconds=not_since_s),
            ),
        )
        .order_by(outcomes.c.polled_at.nulls_first(), outcomes.c.task_id)
        .limit(limit)
    )
    return tuple(_outcome(row) for row in rows)


def mark_polled(tx: Transaction, task_ids: tuple[str, ...]) -> None:
    """GitHub was asked about these tasks' pull requests just now."""
    tx.execute(update(outcomes).where(outcomes.c.task_id.in_(task_ids)).values(polled_at=tx.now, updated_at=tx.now))
