"""Deliveries of other senders than GitHub: read once with the collection that they ask for, and what they told."""

import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, update

from squire_pipelines.domain.deliveries import DeliverySource, Effect
from squire_pipelines.domain.signals import HOOKS_SOURCE, FurtherSource, SignalKind
from squire_pipelines.ledger.delivery_bodies import PORTION_BYTES, portion_ids, unpack
from squire_pipelines.ledger.delivery_effects import record_effect
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import deliveries, delivery_effects, signals

AT_ONCE = 50
"""How many deliveries are read and recorded together."""


@dataclass(frozen=True, slots=True)
class HookDelivery:
    """A delivery whose body is still to be read; `body` is None where what is stored of it cannot be used."""

    id: int
    hook: str
    event: str
    trace_id: str
    received_at: datetime
    body: bytes | None


def pending(
    tx: Transaction, ids: Sequence[int], hooks: Collection[str], *, after: int = 0, most_bytes: int = PORTION_BYTES
) -> tuple[HookDelivery, ...]:
    """Return the first of `ids` that other senders delivered and that were not read, as they arrived.

    Args:
        tx: Reads.
        ids: The deliveries' rows.
        hooks: The senders of the settings. What one delivered that is not there any more is returned too.
        after: Only rows behind this one.
        most_bytes: The most of their bodies together, as they were signed; one that is larger comes alone.
    """
    row = deliveries.c
    is_gone = row.repository.is_(None) & row.source.not_in(tuple(DeliverySource))
    columns = (row.id, row.source, row.event, row.trace_id, row.received_at, row.body, row.body_encoding)
    is_next = row.id.in_(ids), row.id > after, row.collected_at.is_(None), row.source.in_(hooks) | is_gone
    first = portion_ids(tx, *is_next, limit=AT_ONCE, most_bytes=most_bytes)
    deliveries_read: list[HookDelivery] = []
    size = 0
    for one in tx.execute(select(*columns).where(row.id.in_(first)).order_by(row.id)):
        body = _body(one.body, one.body_encoding)
        size += len(body or b"")
        if deliveries_read and size > most_bytes:
            break
        deliveries_read.append(HookDelivery(one.id, one.source, one.event, one.trace_id, one.received_at, body))
    return tuple(deliveries_read)


def _body(stored: bytes, encoding: str | None) -> bytes | None:
    try:
        return unpack(stored, encoding)
    except (ValueError, zlib.error):
        return None


def record_told(tx: Transaction, delivery: int, subject: str, *, trace_id: str, detail: str) -> bool:
    """Record that a delivery told something of a fact; False where it did before, or a later one has.

    Args:
        tx: A transaction that writes.
        delivery: Its row.
        subject: The repository and the fact.
        trace_id: In which it is recorded.
        detail: What it told.
    """
    row = delivery_effects.c
    later = select(row.id).where(row.delivery > delivery, row.effect == Effect.SIGNAL.value, row.subject == subject)
    if tx.execute(later.limit(1)).first() is not None:
        return False
    return record_effect(tx, delivery, Effect.SIGNAL, subject, trace_id=trace_id, detail=detail)


def mark_read(tx: Transaction, delivery: int, *, repository: str | None, trace_id: str) -> None:
    """Record that a delivery was read.

    Args:
        tx: A transaction that writes.
        delivery: Its row.
        repository: What it was about, None for several or none.
        trace_id: In which its facts were recorded.
    """
    values = {"collected_at": tx.now, "collected_trace_id": trace_id, "error": None, "updated_at": tx.now}
    if repository is not None:
        values["repository"] = repository
    tx.execute(update(deliveries).where(deliveries.c.id == delivery).values(values))


def open_facts(tx: Transaction, hook: str) -> int:
    """Return how many facts of a sender are open, in all repositories."""
    row = signals.c
    prefix = f"{FurtherSource(HOOKS_SOURCE).key_prefix}{hook}/"
    is_open = row.key.startswith(prefix, autoescape=True) & row.gone_at.is_(None)
    query = select(func.count()).where(row.kind == SignalKind.PLUGIN_FACT, is_open)
    return int(tx.execute(query).scalar_one())
