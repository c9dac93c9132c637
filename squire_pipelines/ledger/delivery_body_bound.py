"""Keeps the bodies of deliveries that are done with below a bound: the oldest lose theirs.

Such a delivery stays, with its id, its body's hash and what it did: its redelivery is known, and a comparison with
GitHub's list misses nothing. It can be neither replayed nor verified again.
"""

from sqlalchemy import ColumnElement, and_, func, or_, select, update

from squire_pipelines.ledger.delivery_bodies import REMOVED
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.ledger.tables import deliveries

_AT_ONCE = 500


def kept_bytes(tx: Transaction) -> int:
    """Return how much room the bodies take, as they are stored, of deliveries that are done with."""
    size = select(func.coalesce(func.sum(func.length(deliveries.c.body)), 0))
    return int(tx.execute(size.where(_has_body())).scalar_one())


def count_excess(tx: Transaction, most_bytes: int) -> int:
    """Return how many bodies `remove_oldest` would remove."""
    excess, count = kept_bytes(tx) - most_bytes, 0
    if excess > 0:
        lengths = select(func.length(deliveries.c.body)).where(_has_body()).order_by(deliveries.c.id)
        for (length,) in tx.execute(lengths):
            if excess <= 0:
                break
            excess -= length
            count += 1
    return count


def remove_oldest(ledger: Ledger, most_bytes: int) -> int:
    """Remove bodies, the oldest first, until the others have no more than `most_bytes`; return how many.

    A few hundred go in a transaction, so that nobody waits for long who stores deliveries.
    """
    with ledger.read() as tx:
        excess = kept_bytes(tx) - most_bytes
    row, removed = deliveries.c, 0
    while excess > 0:
        with ledger.write() as tx:
            oldest = select(row.id, func.length(row.body)).where(_has_body()).order_by(row.id).limit(_AT_ONCE)
            ids = []
            for row_id, length in tx.execute(oldest):
                if excess <= 0:
                    break
                ids.append(row_id)
                excess -= length
            if not ids:  # somebody else has removed them meanwhile
                break
            # `updated_at` stays: nothing changed that is published.
            tx.execute(update(deliveries).where(row.id.in_(ids)).values(body=b"", body_encoding=REMOVED))
            removed += len(ids)
    return removed


def _has_body() -> ColumnElement[bool]:
    row = deliveries.c
    return and_(
        row.collected_at.is_not(None),
        row.applied_at.is_not(None),
        or_(row.body_encoding.is_(None), row.body_encoding != REMOVED),
        func.length(row.body) > 0,
    )
