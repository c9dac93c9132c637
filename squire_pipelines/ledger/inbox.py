"""Storing what senders deliver: many deliveries in one transaction, each once; and how many requests were refused.

What becomes of a stored delivery is `deliveries`'s; threads, queues and answers are the receiver's.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import JsonValue
from sqlalchemy import bindparam, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from squire_pipelines.domain.deliveries import DeliveryMarks, DeliveryState
from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.ledger import deliveries as inbox_rows
from squire_pipelines.ledger.audit import AuditEntry, record_audits
from squire_pipelines.ledger.delivery_bodies import pack
from squire_pipelines.ledger.prepared_write import PreparedWrite
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.ledger.tables import deliveries, delivery_refusals

MAX_BATCH = 64
"""The most deliveries of one transaction."""

_KEY = ("source", "delivery_id", "body_sha256")
_MARKS = tuple(deliveries.c[name] for name in DeliveryMarks.__slots__)
_COLUMNS = (
    *_KEY,
    *("event", "action", "repository", "body", "body_encoding", "sender", "hook_id", "signature", "filtered_by"),
    *("trace_id", "received_at", "collected_at", "applied_at", "updated_at"),
)
_VALUES = {name: bindparam(name, type_=deliveries.c[name].type) for name in _COLUMNS}
# Two receivers may store the same delivery at the same time: the second finds the row of the first.
_INSERT = {
    name: PreparedWrite(
        dialect.insert(deliveries)
        .values(_VALUES)
        .on_conflict_do_nothing(index_elements=_KEY)
        .returning(deliveries.c.trace_id, deliveries.c.id)
    )
    for name, dialect in (("sqlite", sqlite), ("postgresql", postgresql))
}


@dataclass(frozen=True, slots=True)
class IncomingDelivery:
    """A delivery that is to be stored.

    Args:
        source: Whose delivery it is: `github`, or another sender's name.
        delivery_id: The sender's id of it. It may not be signed, so that it counts together with the body's hash
            (https://docs.github.com/en/webhooks/using-webhooks/handling-failed-webhook-deliveries).
        event: Its kind, in the sender's words.
        action: What happened, where the sender says it apart.
        repository: What it is about.
        body: Raw, as it was signed.
        relevant: Whether it asks for anything; one that does not is stored too.
        collects: Whether it asks for a reading of its repository.
        reads_body: Whether its body is read with the collection alone, and says what it is about only then.
        sender: Who caused it.
        hook_id: By which of the sender's webhooks it came.
        signature: The header that it was verified by.
        filtered_by: The rule of the settings by which it asks for nothing.
        trace_id: Of all that it causes.
    """

    source: str
    delivery_id: str
    event: str
    action: str | None
    repository: str | None
    body: bytes
    relevant: bool = True
    collects: bool = True
    reads_body: bool = False
    sender: str | None = None
    hook_id: str | None = None
    signature: str | None = None
    filtered_by: str | None = None
    trace_id: str = field(default_factory=new_trace_id)

    @property
    def applies(self) -> bool:
        """Whether it is to be read for an outcome."""
        return self.relevant and self.filtered_by is None and not self.reads_body

    @property
    def asks_for_reading(self) -> bool:
        """Whether a collection is to be made for it."""
        if self.reads_body:
            return self.filtered_by is None
        return self.applies and self.collects and bool(self.repository)


@dataclass(frozen=True, slots=True)
class RecordedDelivery:
    """A delivery's row: a new one, one that is opened `again`, or one that was there and is left as it is."""

    id: int
    is_new: bool
    trace_id: str
    again: bool = False


@dataclass(frozen=True, slots=True)
class PackedDelivery:
    """A delivery with its hash and its body as it is stored: what takes time, before a transaction begins."""

    incoming: IncomingDelivery
    body_sha256: str
    stored: bytes
    encoding: str | None

    @classmethod
    def of(cls, incoming: IncomingDelivery) -> "PackedDelivery":
        """Return a delivery packed."""
        return cls(incoming, hashlib.sha256(incoming.body).hexdigest(), *pack(incoming.body))


def store(ledger: Ledger, packed: Sequence[PackedDelivery]) -> tuple[RecordedDelivery, ...]:
    """Store deliveries durably in one transaction, each once, and return their rows in the same order.

    A redelivery of what is done, or still waits, changes nothing. One of what failed is read again.

    Args:
        ledger: Where to.
        packed: At most `MAX_BATCH`.

    Raises:
        LedgerError: Nothing was stored.
        IntegrityError: Likewise: one of them breaks a rule of the ledger.
    """
    with ledger.write() as tx:
        rows = [_row(tx, one) for one in packed]
        new: dict[str, int] = dict(_INSERT[tx.connection.dialect.name].run_all(tx.connection, rows))
        record_audits(tx, [_accepted(one.incoming) for one in packed if one.incoming.trace_id in new])
        return tuple(
            RecordedDelivery(new[one.incoming.trace_id], is_new=True, trace_id=one.incoming.trace_id)
            if one.incoming.trace_id in new
            else _redelivered(tx, one)
            for one in packed
        )


def _row(tx: Transaction, packed: PackedDelivery) -> dict[str, Any]:
    incoming = packed.incoming
    return {
        "source": incoming.source,
        "delivery_id": incoming.delivery_id,
        "body_sha256": packed.body_sha256,
        "event": incoming.event,
        "action": incoming.action,
        "repository": incoming.repository,
        "body": packed.stored,
        "body_encoding": packed.encoding,
        "sender": incoming.sender,
        "hook_id": incoming.hook_id,
        "signature": incoming.signature,
        "filtered_by": incoming.filtered_by,
        "trace_id": incoming.trace_id,
        "received_at": tx.now,
        "collected_at": None if incoming.asks_for_reading else tx.now,
        "applied_at": None if incoming.applies else tx.now,
        "updated_at": tx.now,
    }


def _redelivered(tx: Transaction, packed: PackedDelivery) -> RecordedDelivery:
    incoming = packed.incoming
    row = tx.execute(
        select(deliveries.c.id, deliveries.c.trace_id, *_MARKS).where(
            deliveries.c.source == incoming.source,
            deliveries.c.delivery_id == incoming.delivery_id,
            deliveries.c.body_sha256 == packed.body_sha256,
        )
    ).one()
    marks = DeliveryMarks(**{name: getattr(row, name) for name in DeliveryMarks.__slots__})
    again = marks.state is DeliveryState.FAILED and (incoming.applies or incoming.asks_for_reading)
    if again:
        inbox_rows.reopen(tx, [row.id], collects=incoming.asks_for_reading, applies=incoming.applies)
        body = {"body": packed.stored, "body_encoding": packed.encoding}  # it may have been removed
        tx.execute(update(deliveries).where(deliveries.c.id == row.id).values(**body))
        record_audits(tx, [_accepted(incoming, trace_id=row.trace_id, again=True)])
    return RecordedDelivery(row.id, is_new=False, trace_id=row.trace_id, again=again)


def _accepted(incoming: IncomingDelivery, *, trace_id: str | None = None, again: bool = False) -> AuditEntry:
    detail: dict[str, JsonValue] = {
        "event": incoming.event,
        "action": incoming.action,
        "repository": incoming.repository,
        **({"again": True} if again else {}),
        **({"filtered_by": incoming.filtered_by} if incoming.filtered_by else {}),
    }
    return AuditEntry(
        actor=f"webhook:{incoming.source}",
        action="delivery.accepted",
        subject=incoming.delivery_id,
        trace_id=trace_id or incoming.trace_id,
        detail=detail,
    )


def waiting_bytes(tx: Transaction) -> int:
    """Return how much room the bodies of the deliveries take that are still to be read."""
    size = select(func.coalesce(func.sum(func.length(deliveries.c.body)), 0))
    unread = deliveries.c.collected_at.is_(None)
    unapplied = deliveries.c.applied_at.is_(None) & deliveries.c.collected_at.is_not(None)
    return sum(int(tx.execute(size.where(condition)).scalar_one()) for condition in (unread, unapplied))


@dataclass(frozen=True, slots=True)
class CountedRefusal:
    """Why requests were refused in a minute: the words are the receiver's own, and few."""

    minute: datetime
    source: str
    status: int
    reason: str


def record_refusals(ledger: Ledger, counts: Mapping[CountedRefusal, int]) -> None:
    """Record how many requests were refused, by minute, source, status and reason, beside those recorded before.

    The audit trail has a row for each source, status and reason. Raises LedgerError.
    """
    totals: dict[tuple[str, int, str], int] = {}
    since: dict[tuple[str, int, str], datetime] = {}
    with ledger.write() as tx:
        dialect = postgresql if tx.connection.dialect.name == "postgresql" else sqlite
        for refusal, count in sorted(counts.items(), key=lambda item: item[0].minute):
            key = (refusal.source, refusal.status, refusal.reason)
            totals[key] = totals.get(key, 0) + count
            since.setdefault(key, refusal.minute)
            row = {"source": refusal.source, "status": refusal.status, "reason": refusal.reason}
            known = dialect.insert(delivery_refusals).values(
                **row, minute=refusal.minute, count=count, updated_at=tx.now
            )
            total = delivery_refusals.c.count + known.excluded.count
            unique = ("minute", "source", "status", "reason")
            tx.execute(known.on_conflict_do_update(index_elements=unique, set_={"count": total, "updated_at": tx.now}))
        record_audits(
            tx,
            [
                AuditEntry(
                    actor=f"webhook:{source}",
                    action="delivery.refused",
                    subject=str(status),
                    trace_id=None,
                    detail={"count": count, "reason": reason, "since": since[source, status, reason].isoformat()},
                )
                for (source, status, reason), count in totals.items()
            ],
        )
