"""Reads stored deliveries with their bodies one part after another, so that few bodies are in memory at once."""

import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import func, select

from squire_pipelines.cli.delivery_queries import SHOWN, DeliveryFilter, with_state
from squire_pipelines.errors import DeliveryError
from squire_pipelines.ledger.delivery_bodies import unpack
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import deliveries, delivery_effects

_AT_ONCE = 20


def body_of(row: Mapping[str, Any]) -> bytes:
    """Return a delivery's body as it was signed. Raises DeliveryError where what is stored cannot be used."""
    try:
        return unpack(row["body"], row["body_encoding"])
    except (ValueError, zlib.error) as error:
        raise DeliveryError(f"the stored body of delivery {row['id']} cannot be unpacked: {error}") from error


def newest_deliveries(ledger: Ledger, filters: DeliveryFilter, *, most: int) -> Iterator[dict[str, Any]]:
    """Yield deliveries with their bodies, newest first, each with its state and the number of its effects."""
    row = deliveries.c
    effects = select(func.count()).where(delivery_effects.c.delivery == row.id).scalar_subquery()
    before: int | None = None
    left = most
    while left > 0:
        query = select(*row[SHOWN], effects.label("effects")).where(*filters.conditions())
        if before is not None:
            query = query.where(row.id < before)
        with ledger.read() as tx:
            rows = tx.execute(query.order_by(row.id.desc()).limit(min(_AT_ONCE, left))).mappings().all()
        for values in rows:
            yield with_state(dict(values))
        if not rows:
            return
        before, left = rows[-1]["id"], left - len(rows)
