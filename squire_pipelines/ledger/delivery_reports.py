"""Deliveries that are done with and had an effect, in the order in which they were, to be reported."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import and_, case, exists, func, select, text

from squire_pipelines.domain.deliveries import REQUEST_SOURCES
from squire_pipelines.ledger.delivery_effects import RecordedEffect, effects_of
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import deliveries, delivery_effects

_COLUMNS = (
    *("id", "source", "delivery_id", "event", "action", "repository", "sender"),
    *("trace_id", "collected_trace_id", "received_at", "updated_at"),
)
_SETTLED_FOR = timedelta(seconds=2)
"""A transaction that began before another may end after it: what is as young as this is reported a little later."""

_LONGEST_WRITE = timedelta(minutes=10)
_OLDEST_WRITE = text(
    "SELECT min(xact_start) FROM pg_stat_activity"
    " WHERE datname = current_database() AND backend_xid IS NOT NULL AND pid <> pg_backend_pid()"
)


@dataclass(frozen=True, slots=True)
class ReportedDelivery:
    """A delivery with what it did. `trace_id` is the one by which its repository was read, or else its own."""

    id: int
    source: str
    delivery_id: str
    event: str
    action: str | None
    repository: str | None
    sender: str | None
    trace_id: str
    received_at: datetime
    updated_at: datetime
    effects: tuple[RecordedEffect, ...]

    @property
    def seconds_to_effect(self) -> float:
        """How long after it was received its first effect was done."""
        return (min(effect.at for effect in self.effects) - self.received_at).total_seconds()

    @property
    def subjects(self) -> tuple[str, ...]:
        """What it had an effect on, each once: repositories, and pull requests and issues as `owner/name#number`."""
        return tuple(dict.fromkeys(effect.subject for effect in self.effects))


def _settled_until(tx: Transaction) -> datetime:
    """Return the time before which no transaction writes any more, so that nothing appears behind a place passed.

    SQLite has one writer at a time. On Postgres one may write for long, and what it did bears the time of its
    beginning; one that has written for ten minutes is not waited for any more.
    """
    until = tx.now - _SETTLED_FOR
    if tx.connection.dialect.name != "postgresql":
        return until
    oldest: datetime | None = tx.execute(_OLDEST_WRITE).scalar_one()
    return until if oldest is None else min(until, max(oldest.astimezone(UTC), tx.now - _LONGEST_WRITE))


def settled_since(tx: Transaction, after: tuple[datetime, int] | None, *, limit: int) -> tuple[ReportedDelivery, ...]:
    """Return deliveries that had an effect and have been done with since, the longest ago first.

    Args:
        tx: A transaction.
        after: The time of the last change, and the row, of the delivery that was reported last; None for none.
        limit: How many.
    """
    column = deliveries.c
    # Neither is NULL here, and both stores have a function of their own for the later of two.
    settled_at = case((column.applied_at > column.collected_at, column.applied_at), else_=column.collected_at)
    begun_at = func.coalesce(column.replayed_at, column.received_at, type_=column.received_at.type)
    has_effect = exists().where(delivery_effects.c.delivery == column.id, delivery_effects.c.at >= begun_at)
    query = select(*(column[name] for name in _COLUMNS)).where(
        column.source.not_in(REQUEST_SOURCES),
        column.applied_at.is_not(None),
        column.collected_at.is_not(None),
        column.updated_at <= _settled_until(tx),
        has_effect,
    )
    if after is not None:
        moment, number = after
        is_reported = and_(column.updated_at == moment, column.id <= number)
        query = query.where(column.updated_at >= moment, ~is_reported, settled_at >= moment)
    rows = tx.execute(query.order_by(column.updated_at, column.id).limit(limit)).all()
    by_delivery: dict[int, list[RecordedEffect]] = defaultdict(list)
    for effect in effects_of(tx, [row.id for row in rows]):
        by_delivery[effect.delivery].append(effect)
    return tuple(
        ReportedDelivery(
            id=row.id,
            source=row.source,
            delivery_id=row.delivery_id,
            event=row.event,
            action=row.action,
            repository=row.repository,
            sender=row.sender,
            trace_id=row.collected_trace_id or row.trace_id,
            received_at=row.received_at,
            updated_at=row.updated_at,
            effects=tuple(by_delivery[row.id]),
        )
        for row in rows
    )
