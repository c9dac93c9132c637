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
    """Yield deliveries with their bodies, newest first, each with its state and the number of its effects.

    Those that come meanwhile are left out, and those that retention takes meanwhile are passed over.
    """
    row = deliveries.c
    with ledger.read() as tx:
        # Once, since the condition may be one of time, whose index is in another order.
        ids = (
            tx.execute(select(row.id).where(*filters.conditions()).order_by(row.id.desc()).limit(most)).scalars().all()
        )
    effects = select(func.count()).where(delivery_effects.c.delivery == row.id).scalar_subquery()
    query = select(*row[SHOWN], effects.label("effects")).order_by(row.id.desc())
    for start in range(0, len(ids), _AT_ONCE):
        with ledger.read() as tx:
            rows = tx.execute(query.where(row.id.in_(ids[start : start + _AT_ONCE]))).mappings().all()
        yield from (with_state(dict(values)) for values in rows)
