"""Deliveries: what asked us to look at a repository, by webhook or by command. Stored before we answer 2xx.

A delivery is read twice: for the collection that it asks for (`collected_at`), and for the outcome that it may report
(`applied_at`).
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from pydantic import JsonValue
from sqlalchemy import Row, case, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from squire_pipelines.domain.identity import new_id, new_trace_id
from squire_pipelines.domain.looks import ReadReason
from squire_pipelines.ledger.audit import record_audit
from squire_pipelines.ledger.delivery_bodies import pack, unpack
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.ledger.tables import deliveries

COMMAND = "cli"
"""The source of requests by a person's command."""

FRESH = "collect_fresh"
"""The event of a request that wants everything read, whatever a look shows."""

NOT_COLLECTED = "not collected after"
"""How the error of a delivery begins after whose requests nothing was read."""

_NO_TRACES: Mapping[str, str] = MappingProxyType({})
_UNREAD = "no source of the repository could be read"


@dataclass(frozen=True, slots=True)
class RecordedDelivery:
    """A delivery's row; `is_new` is False for a redelivery."""

    id: int
    is_new: bool
    trace_id: str


@dataclass(frozen=True, slots=True)
class PendingDelivery:
    """A delivery that is still to be read for its collection or its outcome."""

    id: int
    source: str
    event: str
    repository: str | None
    trace_id: str
    received_at: datetime
    tries: int
    body: bytes


@dataclass(frozen=True, slots=True)
class ReceivedDelivery:
    """What a check has to know of a delivery that arrived."""

    id: int
    event: str
    received_at: datetime


def record(
    ledger: Ledger,
    *,
    source: str,
    delivery_id: str,
    event: str,
    action: str | None,
    repository: str | None,
    body: bytes,
    relevant: bool = True,
    collects: bool = True,
) -> RecordedDelivery:
    """Store a delivery durably, once.

    The id is not signed, so a redelivery is recognised by id *and* the body's hash
    (https://docs.github.com/en/webhooks/using-webhooks/handling-failed-webhook-deliveries). An irrelevant one is
    stored too, but asks for nothing, and one that does not `collect` for no reading of its repository.
    """
    digest = hashlib.sha256(body).hexdigest()
    same = select(deliveries.c.id, deliveries.c.trace_id).where(
        deliveries.c.source == source, deliveries.c.delivery_id == delivery_id, deliveries.c.body_sha256 == digest
    )
    try:
        with ledger.write() as tx:
            known = tx.execute(same).one_or_none()
            if known is None:
                trace_id = new_trace_id()
                stored, encoding = pack(body)
                query = insert(deliveries).values(
                    source=source,
                    delivery_id=delivery_id,
                    body_sha256=digest,
                    event=event,
                    action=action,
                    repository=repository,
                    body=stored,
                    body_encoding=encoding,
                    trace_id=trace_id,
                    received_at=tx.now,
                    collected_at=None if relevant and collects and repository else tx.now,
                    applied_at=None if relevant else tx.now,
                    updated_at=tx.now,
                )
                row_id = tx.execute(query.returning(deliveries.c.id)).scalar_one()
                detail: dict[str, JsonValue] = {"event": event, "action": action, "repository": repository}
                record_audit(
                    tx,
                    actor=f"webhook:{source}",
                    action="delivery.accepted",
                    subject=delivery_id,
                    trace_id=trace_id,
                    detail=detail,
                )
                return RecordedDelivery(row_id, is_new=True, trace_id=trace_id)
    except IntegrityError:
        # Two receivers stored the same delivery at once: the other one's row is there now.
        with ledger.read() as tx:
            known = tx.execute(same).one_or_none()
        if known is None:
            raise
    return RecordedDelivery(known.id, is_new=False, trace_id=known.trace_id)


def record_refusals(ledger: Ledger, counts: Mapping[tuple[int, str], int], *, since: datetime) -> None:
    """Record in the audit trail how many deliveries were refused since a moment, by status and reason."""
    with ledger.write() as tx:
        for (status, reason), count in sorted(counts.items()):
            detail: dict[str, JsonValue] = {"count": count, "reason": reason, "since": since.isoformat()}
            record_audit(
                tx, actor="webhook", action="delivery.refused", subject=str(status), trace_id=None, detail=detail
            )


def request_collection(
    tx: Transaction, repositories: Sequence[str], *, source: str, trace_id: str, fresh: bool = False
) -> tuple[int, ...]:
    """Request a collection of `repositories`, as a webhook would. Returns the rows' ids.

    `fresh` reads everything; otherwise a look decides what has changed.
    """
    ids = []
    for number, repository in enumerate(repositories):
        # A millisecond apart, so that no two ids of one request are the same.
        request = new_id("r", tx.now + timedelta(milliseconds=number))
        row = tx.execute(
            insert(deliveries)
            .values(
                source=source,
                delivery_id=request,
                body_sha256=hashlib.sha256(b"").hexdigest(),
                event=FRESH if fresh else "collect",
                repository=repository,
                body=b"",
                trace_id=trace_id,
                received_at=tx.now,
                applied_at=tx.now,
                updated_at=tx.now,
            )
            .returning(deliveries.c.id)
        ).scalar_one()
        ids.append(row)
    return tuple(ids)


def take_for_collection(
    tx: Transaction, *, retry_after_s: float, max_tries: int = 5, limit: int = 1000
) -> tuple[PendingDelivery, ...]:
    """Return the deliveries that need a collection now, and mark it as requested.

    When a collection was requested `retry_after_s` ago and not made (its run was killed), its delivery is returned
    again, at most `max_tries` times. After that it is closed with an error: the schedule collects anyway.
    """
    again = tx.now - timedelta(seconds=retry_after_s)
    due = (
        select(deliveries)
        .where(
            deliveries.c.collected_at.is_(None),
            or_(deliveries.c.requested_at.is_(None), deliveries.c.requested_at < again),
        )
        .order_by(deliveries.c.id)
        .limit(limit)
        # Rows that another process has locked are skipped: none is taken twice. SQLite has one writer at a time.
        .with_for_update(skip_locked=True)
    )
    taken: list[Row[*tuple[Any, ...]]] = []
    spent: list[Row[*tuple[Any, ...]]] = []
    for row in tx.execute(due):
        (taken if row.tries < max_tries else spent).append(row)
    if spent:
        tx.execute(
            update(deliveries)
            .where(deliveries.c.id.in_([row.id for row in spent]))
            .values(collected_at=tx.now, error=f"{NOT_COLLECTED} {max_tries} requests", updated_at=tx.now)
        )
    if taken:
        tx.execute(
            update(deliveries)
            .where(deliveries.c.id.in_([row.id for row in taken]))
            .values(requested_at=tx.now, tries=deliveries.c.tries + 1, updated_at=tx.now)
        )
    return tuple(_pending(row) for row in taken)


def among(tx: Transaction, ids: Sequence[int], *, event: str, action: str) -> tuple[PendingDelivery, ...]:
    """Return those of `ids` that are of one event and action and whose collection was not made, as they arrived."""
    rows = tx.execute(
        select(deliveries)
        .where(
            deliveries.c.id.in_(ids),
            deliveries.c.event == event,
            deliveries.c.action == action,
            deliveries.c.source != COMMAND,
            deliveries.c.collected_at.is_(None),
        )
        .order_by(deliveries.c.id)
    )
    return tuple(_pending(row) for row in rows)


def traces(tx: Transaction, ids: Sequence[int]) -> dict[str, str]:
    """Return the trace by which each of these deliveries' repositories is read: that of the first about it."""
    columns = (deliveries.c.repository, deliveries.c.trace_id)
    rows = tx.execute(
        select(*columns)
        .where(deliveries.c.id.in_(ids), deliveries.c.repository.is_not(None))
        .order_by(deliveries.c.id.desc())
    )
    return {row.repository: row.trace_id for row in rows}


def mark_collected(
    tx: Transaction, ids: Sequence[int], *, unread: Collection[str] = (), traces: Mapping[str, str] = _NO_TRACES
) -> None:
    """Record that the collection that these deliveries asked for has been made.

    Args:
        tx: A transaction that writes.
        ids: The deliveries' rows.
        unread: Repositories of which no source could be read. A webhook about one stays open and is taken again, since
            GitHub does not deliver twice. A command's request is closed with an error: whoever waits for it sees it.
        traces: By which the repositories were read.
    """
    if traces:
        about = deliveries.c.id.in_(ids) & deliveries.c.repository.in_(traces)
        of_repository = case(dict(traces), value=deliveries.c.repository)
        tx.execute(update(deliveries).where(about).values(collected_trace_id=of_repository))
    asked = deliveries.c.id.in_(ids) & deliveries.c.collected_at.is_(None)
    about_unread = deliveries.c.repository.in_(unread)
    by_command = deliveries.c.source == COMMAND
    closed = {"collected_at": tx.now, "updated_at": tx.now}
    tx.execute(update(deliveries).where(asked, about_unread, by_command).values(**closed, error=_UNREAD))
    tx.execute(update(deliveries).where(asked, ~about_unread | deliveries.c.repository.is_(None)).values(**closed))


def reasons(tx: Transaction, ids: Sequence[int]) -> dict[str, ReadReason]:
    """Return which repositories these deliveries want to be read whatever a look shows.

    A webhook says that something has happened, which a look may not see; a command asks for a look, or for everything.
    """
    columns = (deliveries.c.repository, deliveries.c.source, deliveries.c.event)
    by_name: dict[str, ReadReason] = {}
    for row in tx.execute(select(*columns).where(deliveries.c.id.in_(ids), deliveries.c.repository.is_not(None))):
        if row.source == COMMAND and row.event == FRESH:
            by_name[row.repository] = ReadReason.FRESH
        elif row.source != COMMAND:
            by_name.setdefault(row.repository, ReadReason.DELIVERY)
    return by_name


def unapplied(tx: Transaction, *, limit: int = 500) -> tuple[PendingDelivery, ...]:
    """Return the deliveries that were not read for an outcome yet, in the order of arrival."""
    rows = tx.execute(
        select(deliveries).where(deliveries.c.applied_at.is_(None)).order_by(deliveries.c.id).limit(limit)
    )
    return tuple(_pending(row) for row in rows)


def mark_applied(tx: Transaction, ids: Sequence[int], *, error: str | None = None) -> None:
    """Record that these deliveries were read for an outcome; `error` says why one could not be."""
    values = {"applied_at": tx.now, "updated_at": tx.now} | ({"error": error} if error else {})
    tx.execute(update(deliveries).where(deliveries.c.id.in_(ids)).values(**values))


def reopen(tx: Transaction, ids: Sequence[int], *, collects: bool, applies: bool) -> None:
    """Have these deliveries read again, as if they had just come.

    What they did already is recorded with them, and is not done twice.

    Args:
        tx: A transaction that writes.
        ids: Their rows.
        collects: Whether their repositories are to be read.
        applies: Whether they are to be read for an outcome.
    """
    fresh = {"error": None, "set_aside_at": None, "tries": 0, "apply_tries": 0, "requested_at": None}
    marks = {"collected_at": None if collects else tx.now, "applied_at": None if applies else tx.now}
    replayed = {"replays": deliveries.c.replays + 1, "replayed_at": tx.now, "updated_at": tx.now}
    tx.execute(update(deliveries).where(deliveries.c.id.in_(ids)).values(**fresh, **marks, **replayed))


def newest(tx: Transaction, *, source: str, event: str | None = None) -> ReceivedDelivery | None:
    """Return the newest delivery of a source, or its newest of one event; None when there is none."""
    columns = (deliveries.c.id, deliveries.c.event, deliveries.c.received_at)
    query = select(*columns).where(deliveries.c.source == source)
    if event is not None:
        query = query.where(deliveries.c.event == event)
    row = tx.execute(query.order_by(deliveries.c.id.desc()).limit(1)).one_or_none()
    return None if row is None else ReceivedDelivery(row.id, row.event, row.received_at)


def still_open(tx: Transaction, ids: Sequence[int]) -> tuple[int, ...]:
    """Return those of `ids` whose collection has not been made yet."""
    rows = tx.execute(select(deliveries.c.id).where(deliveries.c.id.in_(ids), deliveries.c.collected_at.is_(None)))
    return tuple(rows.scalars())


def _pending(row: Row[*tuple[Any, ...]]) -> PendingDelivery:
    values = {name: getattr(row, name) for name in PendingDelivery.__slots__}
    return PendingDelivery(**values | {"body": unpack(row.body, row.body_encoding)})
