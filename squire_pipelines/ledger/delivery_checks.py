"""Comparisons of what GitHub has sent with what is here: what is known, and how each hook's newest one ended."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, insert, select

from squire_pipelines.domain.delivery_gaps import LastCheck
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import deliveries, delivery_checks

COUNTS_FOR = timedelta(days=1)
"""A comparison this old says nothing of the present: its webhook is gone, or nobody compares any more."""

_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class NewCheck:
    """One comparison of a hook's deliveries: the names are those of the columns."""

    hook: str
    since: datetime
    listed: int
    missing: int
    failed: int
    redelivered: int
    error: str | None


@dataclass(frozen=True, slots=True)
class HookCheck:
    """How a hook's newest comparison ended."""

    hook: str
    at: datetime
    missing: int
    error: str | None


def known_deliveries(tx: Transaction, source: str, guids: Collection[str]) -> frozenset[str]:
    """Return those of these deliveries that are here."""
    known: set[str] = set()
    ordered = sorted(guids)
    for first in range(0, len(ordered), _AT_ONCE):
        some = ordered[first : first + _AT_ONCE]
        query = select(deliveries.c.delivery_id).where(
            deliveries.c.source == source, deliveries.c.delivery_id.in_(some)
        )
        known.update(tx.execute(query).scalars())
    return frozenset(known)


def last_check(tx: Transaction, hook: str) -> LastCheck | None:
    """Return a hook's newest comparison, None before the first."""
    row = delivery_checks.c
    query = select(row.since, row.at, row.error).where(row.hook == hook)
    check = tx.execute(query.order_by(row.id.desc()).limit(1)).one_or_none()
    return None if check is None else LastCheck(*check)


def record_check(tx: Transaction, check: NewCheck, *, trace_id: str) -> None:
    """Record a comparison."""
    values = {name: getattr(check, name) for name in NewCheck.__slots__}
    tx.execute(insert(delivery_checks).values(**values, trace_id=trace_id, at=tx.now))


def newest_checks(tx: Transaction) -> Iterator[HookCheck]:
    """Yield how each hook's newest comparison of the last day ended."""
    row = delivery_checks.c
    newest = select(func.max(row.id)).where(row.at >= tx.now - COUNTS_FOR).group_by(row.hook)
    query = select(row.hook, row.at, row.missing, row.error).where(row.id.in_(newest)).order_by(row.hook)
    for values in tx.execute(query):
        yield HookCheck(*values)
