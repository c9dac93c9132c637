"""Deliveries that could not be used: tried again later, or set aside with the error after the last try."""

from enum import StrEnum

from sqlalchemy import select, update

from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import deliveries

_MAX_ERROR = 500


class Reader(StrEnum):
    """Who reads a delivery, by the column that says when it was."""

    COLLECTION = "collected_at"
    OUTCOME = "applied_at"


def mark_failed(tx: Transaction, row_id: int, error: str, *, max_tries: int, reader: Reader = Reader.OUTCOME) -> bool:
    """Record that a delivery could not be used; return whether it is set aside, since that was its last try."""
    tries: int = tx.execute(select(deliveries.c.apply_tries).where(deliveries.c.id == row_id)).scalar_one() + 1
    if tries >= max_tries:
        set_aside(tx, row_id, error, reader=reader, tries=tries)
        return True
    values = {"apply_tries": tries, "error": error[:_MAX_ERROR], "updated_at": tx.now}
    tx.execute(update(deliveries).where(deliveries.c.id == row_id).values(**values))
    return False


def set_aside(tx: Transaction, row_id: int, error: str, *, reader: Reader = Reader.OUTCOME, tries: int = 1) -> None:
    """Record that a delivery is given up with its error. Somebody may replay it."""
    values = {"apply_tries": tries, "error": error[:_MAX_ERROR], "updated_at": tx.now, "set_aside_at": tx.now}
    tx.execute(update(deliveries).where(deliveries.c.id == row_id).values({**values, reader.value: tx.now}))
