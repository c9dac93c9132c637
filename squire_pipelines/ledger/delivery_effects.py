"""What deliveries did: recorded in the transaction that did it, each effect once for each delivery."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, func, insert, literal, select

from squire_pipelines.domain.deliveries import Effect
from squire_pipelines.ledger.columns import UtcDateTime
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import deliveries, delivery_effects

MAX_DETAIL = 500


@dataclass(frozen=True, slots=True)
class RecordedEffect:
    """One thing that a delivery did: to what, and in which trace."""

    delivery: int
    effect: str
    subject: str
    detail: str | None
    trace_id: str
    at: datetime


def record_effect(
    tx: Transaction, delivery: int, effect: Effect, subject: str, *, trace_id: str, detail: str | None = None
) -> bool:
    """Record that a delivery did something; False where that is recorded already.

    The caller does the effect in the same transaction, under a lock or a compare-and-set that no other passes.

    Args:
        tx: A transaction that writes.
        delivery: Its row.
        effect: Its kind.
        subject: To what: a repository, a pull request, a task.
        trace_id: In which it was done.
        detail: More about it, at most 500 characters of which are kept.
    """
    if has_effect(tx, delivery, effect, subject):
        return False
    values = {"delivery": delivery, "effect": effect.value, "subject": subject, "trace_id": trace_id, "at": tx.now}
    tx.execute(insert(delivery_effects).values(**values, detail=detail[:MAX_DETAIL] if detail else None))
    return True


def has_effect(tx: Transaction, delivery: int, effect: Effect, subject: str) -> bool:
    """Return whether it is recorded that a delivery did something to a subject."""
    row = delivery_effects.c
    known = select(row.id).where(row.delivery == delivery, row.effect == effect.value, row.subject == subject)
    return tx.execute(known).scalar_one_or_none() is not None


def record_collected(tx: Transaction, deliveries_read: ColumnElement[bool]) -> None:
    """Record of the deliveries for which this holds that their repositories were read, by the trace of the reading."""
    row = deliveries.c
    known = select(delivery_effects.c.id).where(
        delivery_effects.c.delivery == row.id,
        delivery_effects.c.effect == Effect.COLLECTED.value,
        delivery_effects.c.subject == row.repository,
    )
    values = (
        row.id,
        literal(Effect.COLLECTED.value),
        row.repository,
        func.coalesce(row.collected_trace_id, row.trace_id),
        literal(tx.now, UtcDateTime),
    )
    is_new = deliveries_read & row.repository.is_not(None) & ~known.exists()
    rows = select(*values).where(is_new).order_by(row.id)
    columns = ["delivery", "effect", "subject", "trace_id", "at"]
    tx.execute(insert(delivery_effects).from_select(columns, rows))


def effects_of(tx: Transaction, ids: Sequence[int]) -> tuple[RecordedEffect, ...]:
    """Return what these deliveries did, in the order in which it was done."""
    row = delivery_effects.c
    query = select(*(row[name] for name in RecordedEffect.__slots__)).where(row.delivery.in_(ids)).order_by(row.id)
    return tuple(RecordedEffect(*values) for values in tx.execute(query))
