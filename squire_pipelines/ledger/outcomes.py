"""Outcomes: what became of the pull requests that tasks opened, in the order that GitHub gives them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from sqlalchemy import Row, Select, and_, delete, exists, func, insert, or_, select, update

from squire_pipelines.domain.following import JUST_OPENED
from squire_pipelines.domain.outcomes import (
    ChecksState,
    Mergeability,
    PullRequestReport,
    PullRequestState,
    ReviewState,
    report_applies,
    review_after,
)
from squire_pipelines.domain.states import EventSubject
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import attempts, merges, outcomes, tasks
from squire_pipelines.ledger.transitions import EventContext, record_event

_REOPENED_WITHIN, _REOPENED_EVERY = timedelta(days=14), timedelta(hours=1)
_HEAD_KNOWN_AFTER = timedelta(minutes=2)
"""So long after our push, a report may still have the head before: another of GitHub's servers gave it."""
UNKNOWN = "unknown"
"""How an event says that nothing is known of a head's checks."""

_SUBJECTS = {
    "state": EventSubject.OUTCOME,
    "checks": EventSubject.CHECKS,
    "review_state": EventSubject.REVIEW,
}
"""The columns whose changes are part of the task's history."""


_OF_ENDING = "landed ending ending_reason ended_by ended_by_pr people_commits people_added people_removed judged_at"
_OPENED_AGAIN: Mapping[str, None] = MappingProxyType(
    dict.fromkeys(("expired_at", "expired_reason", "announced_reason", "reviewed_at", "reviews"))
)
"""What is no longer true of one that was opened again; how long nothing happens on it counts from then."""
_NOT_ENDED: Mapping[str, None] = MappingProxyType(dict.fromkeys(_OF_ENDING.split()))
"""What is no longer true of a pull request that was closed and opened again."""


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
    follow_state: str | None = None
    follow_reason: str | None = None
    checks_since: datetime | None = None
    mergeability: str | None = None
    review_decision: str | None = None
    draft: bool | None = None
    polled_at: datetime | None = None
    landed: bool | None = None
    handed_over: str | None = None
    announced_reason: str | None = None
    answered_task_id: str | None = None
    taken_up_at: datetime | None = None
    taken_up_head: str | None = None
    tell_tries: int | None = None
    tell_again_at: datetime | None = None
    tell_error: str | None = None
    ending: str | None = None
    ending_reason: str | None = None
    forge_updated_at: datetime | None = None
    base_ref: str | None = None
    base_sha: str | None = None


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
    """Record a task's pull request. Idempotent; after a later attempt's push, its new head and review state.

    When a later attempt had to open another one, since somebody closed the first, the outcome follows the new one.
    """
    known = tx.execute(select(outcomes).where(outcomes.c.task_id == task_id)).one_or_none()
    if known is not None and known.pr_number != pr_number:
        tx.execute(delete(outcomes).where(outcomes.c.task_id == task_id))
        tx.execute(delete(merges).where(merges.c.task_id == task_id))
    elif known is not None:
        renew_head(tx, task_id=task_id, head_sha=head_sha, review=review)
        return
    columns = {"state": PullRequestState.OPEN, "checks": None, "review_state": review}
    tx.execute(
        insert(outcomes).values(
            task_id=task_id,
            repository=repository,
            pr_number=pr_number,
            pr_url=pr_url,
            head_sha=head_sha,
            opened_at=tx.now,
            follow_state=JUST_OPENED.state,
            follow_reason=JUST_OPENED.reason,
            follow_since=tx.now,
            # GitHub's clock, not ours, orders reports: any report of GitHub's is later than this.
            forge_updated_at=tx.now - timedelta(days=1),
            updated_at=tx.now,
            **columns,
        )
    )
    reason = f"pull request #{pr_number} opened"
    _record_changes(tx, task_id, known, columns, actor="publisher", reason=reason)


def renew_head(tx: Transaction, *, task_id: str, head_sha: str, review: ReviewState) -> None:
    """Record that a later attempt, or a follow-up of another task, pushed to a task's pull request.

    What was approved before was another head: a push that needs approval needs it whatever was approved. One that the
    policy allows leaves the review state as it is.
    """
    row = tx.execute(select(outcomes).where(outcomes.c.task_id == task_id)).one_or_none()
    if row is None:
        return
    columns: dict[str, Any] = {"review_state": review} if review is not ReviewState.NONE else {}
    if row.head_sha != head_sha:
        # What was known belongs to the earlier head.
        columns |= {"checks": None, "checks_since": tx.now, "mergeability": None, "review_decision": None}
    change_outcome(tx, row, actor="publisher", reason="a new head", head_sha=head_sha, **columns)


def record_review(tx: Transaction, task_id: str, review: ReviewState, *, actor: str, reason: str) -> bool:
    """Record an approval. Returns False, and changes nothing, when the pull request waits for none (any more)."""
    row = tx.execute(
        select(outcomes).where(outcomes.c.task_id == task_id, outcomes.c.review_state == ReviewState.NEEDS_APPROVAL)
    ).one_or_none()
    if row is None or review is ReviewState.NEEDS_APPROVAL:
        return False
    change_outcome(tx, row, actor=actor, reason=reason, review_state=review)
    return True


def apply_report(tx: Transaction, report: PullRequestReport, *, actor: str) -> str | None:
    """Record what GitHub said of a pull request. Returns the task's id, or None when it is none of ours.

    A report that is older than what is known changes nothing.
    """
    row = _of_number(tx, report.repository, report.number)
    if row is None:
        return None
    applies = report_applies(PullRequestState(row.state), row.forge_updated_at, report.state, report.updated_at)
    if applies and not _is_from_before_push(tx, row, report):
        change_outcome(
            tx,
            row,
            actor=actor,
            reason=f"pull request #{report.number}",
            state=report.state,
            review_state=review_after(review_of(row), report.state),
            head_sha=report.head_sha,
            **_facts_of_head(row, report, tx.now),
            merged_at=report.merged_at or row.merged_at,
            closed_at=report.closed_at,
            **(_NOT_ENDED if report.state != row.state else {}),
            **(_OPENED_AGAIN if report.state != row.state and report.state is PullRequestState.OPEN else {}),
            forge_updated_at=report.updated_at,
        )
    return str(row.task_id)


def _is_from_before_push(tx: Transaction, row: Row[Any], report: PullRequestReport) -> bool:
    """Return whether a report has an earlier head of ours, and its checks, since it does not know our push yet."""
    is_open = report.state == row.state == PullRequestState.OPEN
    if not is_open or report.head_sha == row.head_sha or row.checks is not None or row.checks_since is None:
        return False
    if tx.now > row.checks_since + _HEAD_KNOWN_AFTER:
        return False
    is_ours = select(attempts.c.id).where(attempts.c.head_sha == report.head_sha).limit(1)
    return tx.execute(is_ours).one_or_none() is not None


def _facts_of_head(row: Row[Any], report: PullRequestReport, now: datetime) -> dict[str, Any]:
    """Return the columns that belong to a commit: those of an earlier head say nothing of this one."""
    same_head = row.head_sha == report.head_sha
    checks = report.checks or (row.checks if same_head else None)
    kept = {name: getattr(row, name) if same_head else None for name in ("mergeability", "review_decision")}
    return {
        "checks": checks,
        "checks_since": row.checks_since if same_head and checks == row.checks and row.checks_since else now,
        "mergeability": report.mergeability or kept["mergeability"],
        "review_decision": report.review_decision or kept["review_decision"],
        "draft": row.draft if report.draft is None else report.draft,
        **({"base_ref": report.base_ref, "base_sha": report.base_sha} if report.base_ref is not None else {}),
    }


def record_failed_checks(
    tx: Transaction, repository: str, head_sha: str, *, at: datetime, actor: str
) -> tuple[Outcome, ...]:
    """Record that a check of a commit has failed, and that this came to be known `at`; return the outcomes of the head.

    One failed check holds for the commit as a whole until GitHub is asked about it again.
    """
    rows = tx.execute(_of_head(repository, head_sha)).all()
    for row in rows:
        if row.checks != ChecksState.FAILED:
            change_outcome(tx, row, actor=actor, reason="a check failed", checks=ChecksState.FAILED, checks_since=at)
    return tuple(outcome_of(row) for row in rows)


def of_head(tx: Transaction, repository: str, head_sha: str) -> tuple[Outcome, ...]:
    """Return the outcomes of open pull requests whose head is this commit."""
    return tuple(outcome_of(row) for row in tx.execute(_of_head(repository, head_sha)))


def of_base(tx: Transaction, repository: str, branch: str, *, limit: int = 100) -> tuple[Outcome, ...]:
    """Return the outcomes of open pull requests that go into a branch, the longest ago asked about first."""
    query = (
        select(outcomes)
        .join(tasks, tasks.c.id == outcomes.c.task_id)
        .where(
            outcomes.c.repository == repository,
            outcomes.c.state == PullRequestState.OPEN,
            func.coalesce(outcomes.c.base_ref, tasks.c.base_branch) == branch,
        )
        .order_by(outcomes.c.polled_at.nulls_first(), outcomes.c.task_id)
    )
    return tuple(outcome_of(row) for row in tx.execute(query.limit(limit)))


def of_unknown_merge(tx: Transaction, task_ids: Collection[str]) -> tuple[str, ...]:
    """Return those of the tasks of whose open pull requests GitHub has not said whether they can be merged."""
    unknown = or_(outcomes.c.mergeability.is_(None), outcomes.c.mergeability == Mergeability.UNKNOWN)
    query = select(outcomes.c.task_id).where(
        outcomes.c.task_id.in_(task_ids), outcomes.c.state == PullRequestState.OPEN, unknown
    )
    return tuple(tx.execute(query).scalars())


def postpone_failures(tx: Transaction, task_ids: Collection[str]) -> None:
    """Count the failed checks of these tasks from now on, since GitHub did not answer when it was asked about them.

    A delivery that said so may be an old one: nothing follows from it before GitHub has had its say.
    """
    failed = outcomes.c.checks == ChecksState.FAILED
    query = update(outcomes).where(outcomes.c.task_id.in_(task_ids), failed)
    tx.execute(query.values(checks_since=tx.now, updated_at=tx.now))


def _of_head(repository: str, head_sha: str) -> Select[Any]:
    return select(outcomes).where(
        outcomes.c.repository == repository,
        outcomes.c.head_sha == head_sha,
        outcomes.c.state == PullRequestState.OPEN,
    )


def _of_number(tx: Transaction, repository: str, number: int) -> Row[Any] | None:
    query = select(outcomes).where(outcomes.c.repository == repository, outcomes.c.pr_number == number)
    return tx.execute(query).one_or_none()


def task_of_number(tx: Transaction, repository: str, number: int) -> str | None:
    """Return the task whose pull request has this number; None when it is none of ours."""
    row = _of_number(tx, repository, number)
    return None if row is None else str(row.task_id)


def is_ours(tx: Transaction, repository: str, numbers: Collection[int]) -> bool:
    """Return whether one of these pull requests is a task's."""
    query = select(outcomes.c.task_id).where(outcomes.c.repository == repository, outcomes.c.pr_number.in_(numbers))
    return tx.execute(query.limit(1)).first() is not None


def change_outcome(tx: Transaction, row: Row[Any], *, actor: str, reason: str, **columns: Any) -> None:
    """Set columns of an outcome, with an event for each of `_SUBJECTS` that changes."""
    tx.execute(update(outcomes).where(outcomes.c.task_id == row.task_id).values(**columns, updated_at=tx.now))
    _record_changes(tx, row.task_id, row, columns, actor=actor, reason=reason)


def _record_changes(
    tx: Transaction, task_id: str, row: Row[Any] | None, columns: Mapping[str, Any], *, actor: str, reason: str
) -> None:
    """Write an event for each of `_SUBJECTS` among `columns` that differs from the row as it was."""
    before = {name: getattr(row, name, None) for name in _SUBJECTS} | {"review_state": review_of(row)}
    changed = [name for name in _SUBJECTS if name in columns and columns[name] != before[name]]
    if not changed:
        return
    trace_id = tx.execute(select(tasks.c.trace_id).where(tasks.c.id == task_id)).scalar_one()
    event = EventContext(task_id=task_id, actor=actor, reason=reason, trace_id=trace_id)
    for name in changed:
        record_event(tx, _SUBJECTS[name], before[name], columns[name] or UNKNOWN, event)


def review_of(row: Row[Any] | None) -> ReviewState:
    """Return the review state of an outcome's row; of one that has none, that nobody has to approve it."""
    return ReviewState((row.review_state if row else None) or ReviewState.NONE)


def get(tx: Transaction, task_id: str) -> Outcome | None:
    """Return a task's outcome, None when it has no pull request."""
    row = tx.execute(select(outcomes).where(outcomes.c.task_id == task_id)).one_or_none()
    return None if row is None else outcome_of(row)


def of_branch(tx: Transaction, repository: str, branch: str) -> Outcome | None:
    """Return the outcome of the task whose branch it is, while its pull request is open; None when there is none."""
    outcome = of_own_branch(tx, repository, branch)
    return outcome if outcome is not None and outcome.state is PullRequestState.OPEN else None


def of_own_branch(tx: Transaction, repository: str, branch: str) -> Outcome | None:
    """Return the outcome of the task whose branch it is, however its pull request ended; None where it has none."""
    row = tx.execute(
        select(outcomes)
        .join(tasks, tasks.c.id == outcomes.c.task_id)
        .where(tasks.c.repository == repository, tasks.c.branch == branch)
    ).one_or_none()
    return None if row is None else outcome_of(row)


def awaiting_approval(tx: Transaction, task_ids: Collection[str]) -> tuple[Outcome, ...]:
    """Return those of the tasks' pull requests that are open and wait for a person's approval."""
    rows = tx.execute(
        select(outcomes)
        .where(
            outcomes.c.task_id.in_(task_ids),
            outcomes.c.state == PullRequestState.OPEN,
            outcomes.c.review_state == ReviewState.NEEDS_APPROVAL,
        )
        .order_by(outcomes.c.task_id)
    )
    return tuple(outcome_of(row) for row in rows)


def to_poll(tx: Transaction, *, not_since_s: float, limit: int = 100) -> tuple[Outcome, ...]:
    """Return pull requests that GitHub was not asked about for `not_since_s` seconds, the longest ago first.

    Deliveries can be lost (GitHub does not send them again by itself), so that we also ask. And work on one that has
    ended since may have met with what we do not know: somebody's push, or an end. It is asked about before the next.
    One that was closed may be opened again: of these, GitHub is asked once an hour, for two weeks.
    """
    before = tx.now - timedelta(seconds=not_since_s)
    own, work = tasks.alias(), tasks.alias()
    asked_at = func.coalesce(outcomes.c.polled_at, outcomes.c.opened_at)
    has_ended_since = exists().where(
        work.c.repository == outcomes.c.repository,
        work.c.created_at > outcomes.c.opened_at,
        work.c.base_branch == own.c.branch,
        work.c.ended_at > asked_at,
    )
    rows = tx.execute(
        select(outcomes)
        .join(own, own.c.id == outcomes.c.task_id)
        .where(
            or_(
                and_(outcomes.c.state == PullRequestState.OPEN, or_(asked_at < before, has_ended_since)),
                and_(
                    outcomes.c.state == PullRequestState.CLOSED,
                    outcomes.c.closed_at > tx.now - _REOPENED_WITHIN,
                    asked_at < tx.now - _REOPENED_EVERY,
                ),
            )
        )
        .order_by(outcomes.c.polled_at.nulls_first(), outcomes.c.task_id)
        .limit(limit)
    )
    return tuple(outcome_of(row) for row in rows)


def mark_polled(tx: Transaction, task_ids: tuple[str, ...], *, at: datetime) -> None:
    """Record that GitHub was asked about these tasks' pull requests at that time."""
    tx.execute(update(outcomes).where(outcomes.c.task_id.in_(task_ids)).values(polled_at=at, updated_at=tx.now))


def outcome_of(row: Row[Any]) -> Outcome:
    """Return an outcome of a row that has all its columns."""
    values = {name: getattr(row, name) for name in Outcome.__slots__}
    return Outcome(**values | {"state": PullRequestState(row.state), "review_state": review_of(row)})
