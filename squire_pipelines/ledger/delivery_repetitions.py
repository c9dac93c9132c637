"""Knows a delivery that is another one once more: the same body of the same event, under another id.

GitHub does not sign the id, so that whoever has got hold of a signed body can send it again as a new delivery. GitHub
itself sends no body twice but by the id of the first.
"""

from sqlalchemy import func, select, update

from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import deliveries

REPEATED_RULE = "squire:repeated"
"""The rule by which a repetition is filtered; no rule of the settings may have such a name."""


def first_of_repeated(tx: Transaction, row_id: int) -> int | None:
    """Return the row of the earlier delivery that a delivery repeats; None where it repeats none.

    An earlier one that was itself filtered or given up is repeated by nothing, since it did nothing.
    """
    row = deliveries.c
    columns = row["source", "event", "repository", "body_sha256", "delivery_id"]
    one = tx.execute(select(*columns).where(row.id == row_id)).one()
    about = row.repository.is_(None) if one.repository is None else row.repository == one.repository
    earlier = select(row.id).where(
        about,  # first, since it has an index
        row.id < row_id,
        row.body_sha256 == one.body_sha256,
        row.source == one.source,
        row.event == one.event,
        row.delivery_id != one.delivery_id,
        row.filtered_by.is_(None),
        row.set_aside_at.is_(None),
    )
    first: int | None = tx.execute(earlier.order_by(row.id).limit(1)).scalar_one_or_none()
    return first


def close_repeated(tx: Transaction, row_id: int) -> bool:
    """Close a delivery as filtered where it repeats another one; return whether it does.

    Args:
        tx: A transaction that writes.
        row_id: The delivery's.
    """
    if first_of_repeated(tx, row_id) is None:
        return False
    row = deliveries.c
    closed = {name: func.coalesce(row[name], tx.now, type_=row[name].type) for name in ("collected_at", "applied_at")}
    values = {**closed, "filtered_by": REPEATED_RULE, "updated_at": tx.now}
    tx.execute(update(deliveries).where(row.id == row_id).values(**values))
    return True
