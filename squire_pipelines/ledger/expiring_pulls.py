"""Open pull requests of ours on which nothing happens, and those that Squire closed for that."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update

from squire_pipelines.domain.outcomes import PullRequestState
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import outcomes

_TOLD_FOR = timedelta(days=7)
TRIED_AGAIN_AFTER = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class ExpiredPull:
    """A pull request that Squire closed and has not said why; `reason` is in words."""

    task_id: str
    repository: str
    number: int
    reason: str


def idle_since(tx: Transaction, task_ids: Collection[str]) -> Mapping[str, datetime]:
    """Return since when nothing has happened on the open pull requests of these tasks.

    What GitHub counts as a change counts, such as a comment, a push or a label, and so does each step of ours.
    """
    row = outcomes.c
    rows = tx.execute(
        select(row.task_id, row.opened_at, row.forge_updated_at, row.follow_since).where(
            row.task_id.in_(task_ids), row.state == PullRequestState.OPEN
        )
    )
    return {one.task_id: max(one.opened_at, one.forge_updated_at, one.follow_since or one.opened_at) for one in rows}


def begin_expiry(tx: Transaction, task_id: str, reason: str) -> bool:
    """Record that Squire sets about closing a pull request, before it does; return False where it is not open."""
    return _set_open(tx, [task_id], {"expired_at": tx.now, "expired_reason": reason})


def forget_expiry(tx: Transaction, task_ids: Collection[str]) -> None:
    """Record that Squire does not close these after all, since something has happened on them."""
    _set_open(tx, task_ids, {"expired_at": None, "expired_reason": None})


def begun(tx: Transaction, *, lately: bool = False) -> frozenset[str]:
    """Return the tasks whose open pull requests Squire had set about closing; with `lately`, within an hour."""
    since = outcomes.c.expired_at > tx.now - TRIED_AGAIN_AFTER if lately else outcomes.c.expired_at.is_not(None)
    query = select(outcomes.c.task_id).where(outcomes.c.state == PullRequestState.OPEN, since)
    return frozenset(tx.execute(query).scalars())


def untold(tx: Transaction) -> tuple[ExpiredPull, ...]:
    """Return the pull requests closed by Squire within a week on which it has not said why, and may try by now."""
    row = outcomes.c
    rows = tx.execute(
        select(row.task_id, row.repository, row.pr_number, row.expired_reason, row.tell_again_at)
        .where(
            row.state == PullRequestState.CLOSED,
            row.expired_at > tx.now - _TOLD_FOR,
            row.announced_reason.is_distinct_from(row.expired_reason),
        )
        .order_by(row.expired_at, row.task_id)
    )
    return tuple(
        ExpiredPull(one.task_id, one.repository, one.pr_number, one.expired_reason)
        for one in rows
        if one.tell_again_at is None or one.tell_again_at <= tx.now
    )


def _set_open(tx: Transaction, task_ids: Collection[str], columns: Mapping[str, Any]) -> bool:
    changed = tx.execute(
        update(outcomes)
        .where(outcomes.c.task_id.in_(task_ids), outcomes.c.state == PullRequestState.OPEN)
        .values(**columns, updated_at=tx.now)
    )
    return changed.rowcount > 0
