"""What launching an attempt's run takes just now: how many wait for their run, and how long the last ones waited."""

from datetime import timedelta

from sqlalchemy import func, select

from squire_pipelines.domain.tasks import AttemptStatus
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import attempts

RECENT = timedelta(minutes=30)
MAX_RECENT = 20


def count_unclaimed(tx: Transaction) -> int:
    """Return how many attempts no run has claimed yet."""
    query = select(func.count()).where(attempts.c.status == AttemptStatus.QUEUED)
    return int(tx.execute(query).scalar_one())


def recent_launches_s(tx: Transaction) -> tuple[float, ...]:
    """Return the seconds from dispatch to claim of the attempts that were dispatched last and claimed, newest first."""
    rows = tx.execute(
        select(attempts.c.queued_at, attempts.c.claimed_at)
        .where(attempts.c.queued_at >= tx.now - RECENT, attempts.c.claimed_at.is_not(None))
        .order_by(attempts.c.queued_at.desc())
        .limit(MAX_RECENT)
    )
    return tuple(max(0.0, (row.claimed_at - row.queued_at).total_seconds()) for row in rows)
