"""Outcomes: what became of the pull requests that tasks opened, in the order that GitHub gives them."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, insert, or_, select, update

from squire_pipelines.domain.outcomes import PullRequestReport, PullRequestState, report_applies
from squire_pipelines.ledger.changes import record_event
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import outcomes, tasks


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


def record_opened(
    tx: Transaction, *, task_id: str, repository: str, pr_number: int, pr_url: str, head_sha: str
) -> None:
    """A task's pull request is there. Idempotent; a later attempt's push renews the head.

    When a later attempt had to open another one, since somebody closed the first, the outcome follows the new one.
    """
    known = tx.execute(select(outcomes.c.pr_number).where(outcomes.c.task_id == task_id)).scalar_one_or_none()
    if known is not None and known != pr_number:
        tx.execute(delete(outcomes).where(outcomes.c.task_id == task_id))
    elif known is not None:
        tx.execute(update(outcomes).where(outcomes.c.task_id == task_id).values(head_sha=head_sha, updated_at=tx.now))
        return
    tx.execute(
        insert(outcomes).values(
            task_id=task_id,
            repository=repository,
            pr_number=pr_number,
            pr_url=pr_url,
            head_sha=head_sha,
            state=PullRequestState.OPEN,
            opened_at=tx.now,
            # GitHub's clock, not ours, orders reports: any report of GitHub's is later than this.
            forge_updated_at=tx.now - timedelta(days=1),
            updated_at=tx.now,
        )
    )


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
    tx.execute(
        update(outcomes)
        .where(outcomes.c.task_id == row.task_id)
        .values(
            state=report.state,
            head_sha=report.head_sha,
            # The checks belong to a commit: those of an earlier head say nothing of this one.
            checks=report.checks or (row.checks if row.head_sha == report.head_sha else None),
            merged_at=report.merged_at or row.merged_at,
            closed_at=report.closed_at,
            forge_updated_at=report.updated_at,
            updated_at=tx.now,
        )
    )
    if report.state is not before:
        record_event(
            tx,
            task_id=row.task_id,
            subject="outcome",
            before=before,
            after=report.state,
            actor=actor,
            reason=f"pull request #{report.number}",
            trace_id=row.trace_id,
        )
    return str(row.task_id)


def get(tx: Transaction, task_id: str) -> Outcome | None:
    """A task's outcome, None when it has no pull request."""
    row = tx.execute(select(outcomes).where(outcomes.c.task_id == task_id)).one_or_none()
    if row is None:
        return None
    values = {name: getattr(row, name) for name in Outcome.__slots__}
    return Outcome(**values | {"state": PullRequestState(row.state)})


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
    found = []
    for row in rows:
        values = {name: getattr(row, name) for name in Outcome.__slots__}
        found.append(Outcome(**values | {"state": PullRequestState(row.state)}))
    return tuple(found)


def mark_polled(tx: Transaction, task_ids: tuple[str, ...]) -> None:
    """GitHub was asked about these tasks' pull requests just now."""
    tx.execute(update(outcomes).where(outcomes.c.task_id.in_(task_ids)).values(polled_at=tx.now))
