"""Deliveries: what asked us to look at a repository, by webhook (`inbox` stores those) or by command.

A delivery is read twice: for the collection that it asks for (`collected_at`), and for the outcome that it may report
(`applied_at`).
"""

import hashlib
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, case, insert, literal, or_, select, true, update

from squire_pipelines.domain.deliveries import REQUEST_SOURCES, DeliverySource
from squire_pipelines.domain.identity import new_id
from squire_pipelines.domain.looks import ReadReason
from squire_pipelines.errors import DeliveryError
from squire_pipelines.ledger.columns import UtcDateTime
from squire_pipelines.ledger.delivery_bodies import PORTION_BYTES, portion_ids, unpack
from squire_pipelines.ledger.delivery_effects import record_collected
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.ledger.tables import deliveries

FRESH = "collect_fresh"
"""The event of a request that wants everything read, whatever a look shows."""

NOT_COLLECTED = "not collected after"
"""How the error of a delivery begins after whose requests nothing was read."""

_NO_TRACES: Mapping[str, str] = MappingProxyType({})
_UNREAD = "no source of the repository could be read"
_MAX_OPEN = 500
_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class DueDelivery:
    """A delivery whose repository is to be read now. Its body, which may be large, is not needed for that."""

    id: int
    source: str
    event: str
    repository: str | None
    trace_id: str
    tries: int
    replays: int


@dataclass(frozen=True, slots=True)
class PendingDelivery:
    """A delivery that is still to be read for its collection or its outcome."""

    id: int
    source: str
    event: str
    repository: str | None
    trace_id: str
    received_at: datetime
    updated_at: datetime
    tries: int
    apply_tries: int
    replays: int
    stored_body: bytes
    body_encoding: str | None

    @property
    def body(self) -> bytes:
        """The body as it was signed. Raises DeliveryError where what is stored of it cannot be used."""
        try:
            return unpack(self.stored_body, self.body_encoding)
        except (ValueError, zlib.error) as error:
            raise DeliveryError(f"its stored body cannot be unpacked: {error}") from error

    def without_body(self) -> "PendingDelivery":
        """Return the delivery for who needs no body any more: many of them may be kept at once."""
        return replace(self, stored_body=b"", body_encoding=None)


@dataclass(frozen=True, slots=True)
class ReceivedDelivery:
    """What a check has to know of a delivery that arrived."""

    id: int
    event: str
    received_at: datetime


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


@dataclass(frozen=True, slots=True)
class RequestRule:
    """When a collection is requested for a delivery.

    Args:
        retry_after_s: After what time it is requested again where it was not made, twice that at each further time.
        max_tries: How often in all.
        names_unknown: Whether the settings name no repository: then what another sender delivered, which names none,
            waits until they do, and no request is spent on it.
    """

    retry_after_s: float
    max_tries: int
    names_unknown: bool = False


def _due(tx: Transaction, rule: RequestRule) -> ColumnElement[bool]:
    """Return the condition of the rows that need a collection now."""
    column = deliveries.c
    waits = {tries: rule.retry_after_s * 2 ** (tries - 1) for tries in range(1, rule.max_tries + 1)}
    before = {tries: literal(tx.now - timedelta(seconds=wait), UtcDateTime) for tries, wait in waits.items()}
    is_again = column.requested_at < case(before, value=column.tries, else_=literal(tx.now, UtcDateTime))
    can_be_read = column.repository.is_not(None) if rule.names_unknown else true()
    return and_(column.collected_at.is_(None), or_(column.requested_at.is_(None), is_again), can_be_read)


def has_due(tx: Transaction, rule: RequestRule) -> bool:
    """Return whether `take_for_collection` would return a delivery, or set one aside."""
    return tx.execute(select(deliveries.c.id).where(_due(tx, rule)).limit(1)).first() is not None


def take_for_collection(tx: Transaction, rule: RequestRule, *, limit: int = 1000) -> tuple[DueDelivery, ...]:
    """Return the deliveries that need a collection now, and mark it as requested.

    When a collection was requested `retry_after_s` ago and not made (its run was killed, or GitHub did not answer), its
    delivery is returned again, at most `max_tries` times, each time after twice the wait. After that it is set aside
    with an error: the schedule collects anyway.
    """
    due = (
        select(*deliveries.c[DueDelivery.__slots__])
        .where(_due(tx, rule))
        .order_by(deliveries.c.id)
        .limit(limit)
        # Rows that another process has locked are skipped: none is taken twice. SQLite has one writer at a time.
        .with_for_update(skip_locked=True)
    )
    taken: list[Row[*tuple[Any, ...]]] = []
    spent: list[Row[*tuple[Any, ...]]] = []
    for row in tx.execute(due):
        (taken if row.tries < rule.max_tries else spent).append(row)
    if spent:
        tx.execute(
            update(deliveries)
            .where(deliveries.c.id.in_([row.id for row in spent]))
            .values(
                collected_at=tx.now,
                set_aside_at=tx.now,
                error=f"{NOT_COLLECTED} {rule.max_tries} requests",
                updated_at=tx.now,
            )
        )
    if taken:
        tx.execute(
            update(deliveries)
            .where(deliveries.c.id.in_([row.id for row in taken]))
            .values(requested_at=tx.now, tries=deliveries.c.tries + 1, updated_at=tx.now)
        )
    return tuple(DueDelivery(*row) for row in taken)


def among(
    ledger: Ledger, ids: Sequence[int], *, event: str, action: str, most_bytes: int = PORTION_BYTES
) -> Iterator[PendingDelivery]:
    """Yield those of `ids` that are of one event and action and whose collection was not made, as they arrived.

    Bodies are read a portion of `most_bytes` at a time, each in a transaction of its own.
    """
    row, after = deliveries.c, 0
    while True:
        with ledger.read() as tx:
            portion = _portion(
                tx,
                row.id.in_(ids),
                row.id > after,
                row.event == event,
                row.action == action,
                row.source != DeliverySource.COMMAND,
                row.collected_at.is_(None),
                limit=_AT_ONCE,
                most_bytes=most_bytes,
            )
        if not portion:
            return
        yield from portion
        after = portion[-1].id


def open_rows(tx: Transaction, repositories: Collection[str], *, event: str, action: str) -> tuple[int, ...]:
    """Return the rows about these repositories, of one event and action, whose collection was not made, in order."""
    row = deliveries.c
    query = select(row.id).where(
        row.repository.in_(repositories), row.collected_at.is_(None), row.event == event, row.action == action
    )
    return tuple(tx.execute(query.order_by(row.id).limit(_MAX_OPEN)).scalars())


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
    tx: Transaction,
    ids: Sequence[int],
    *,
    unread: Collection[str] = (),
    unheard: Collection[int] = (),
    traces: Mapping[str, str] = _NO_TRACES,
) -> None:
    """Record that the collection that these deliveries asked for has been made, and with each webhook that it was.

    Args:
        tx: A transaction that writes.
        ids: The deliveries' rows.
        unread: Repositories of which no source could be read. A webhook about one stays open and is taken again, since
            GitHub does not deliver twice. A command's request is closed with an error: whoever waits for it sees it.
        unheard: Those of `ids` whose comments could not be obeyed yet. They stay open too.
        traces: By which the repositories were read.
    """
    if traces:
        # What another sender delivered was recorded already, by a trace of its own.
        is_open = deliveries.c.collected_at.is_(None)
        about = deliveries.c.id.in_(ids) & deliveries.c.repository.in_(traces) & is_open
        of_repository = case(dict(traces), value=deliveries.c.repository)
        tx.execute(update(deliveries).where(about).values(collected_trace_id=of_repository))
    asked = deliveries.c.id.in_(ids) & deliveries.c.collected_at.is_(None)
    about_unread = deliveries.c.repository.in_(unread)
    by_command = deliveries.c.source == DeliverySource.COMMAND
    closed = {"collected_at": tx.now, "updated_at": tx.now}
    tx.execute(update(deliveries).where(asked, about_unread, by_command).values(**closed, error=_UNREAD))
    is_read = asked & (~about_unread | deliveries.c.repository.is_(None)) & deliveries.c.id.not_in(unheard)
    record_collected(tx, is_read & deliveries.c.source.not_in(REQUEST_SOURCES))
    tx.execute(update(deliveries).where(is_read).values(**closed))


def reasons(tx: Transaction, ids: Sequence[int]) -> dict[str, ReadReason]:
    """Return which repositories these deliveries want to be read whatever a look shows.

    A webhook says that something has happened, which a look may not see; a command asks for a look, or for everything.
    """
    columns = (deliveries.c.repository, deliveries.c.source, deliveries.c.event)
    by_name: dict[str, ReadReason] = {}
    for row in tx.execute(select(*columns).where(deliveries.c.id.in_(ids), deliveries.c.repository.is_not(None))):
        if row.source == DeliverySource.COMMAND and row.event == FRESH:
            by_name[row.repository] = ReadReason.FRESH
        elif row.source != DeliverySource.COMMAND:
            by_name.setdefault(row.repository, ReadReason.DELIVERY)
    return by_name


def unapplied(
    tx: Transaction, *, after: int = 0, limit: int = _AT_ONCE, most_bytes: int = PORTION_BYTES
) -> tuple[PendingDelivery, ...]:
    """Return the deliveries behind the row `after` that were not read for an outcome yet, in the order of arrival.

    There are fewer than `limit` where their bodies, as stored, have `most_bytes` together: the next call has the rest.
    """
    is_next = deliveries.c.applied_at.is_(None), deliveries.c.id > after
    return _portion(tx, *is_next, limit=limit, most_bytes=most_bytes)


def _portion(
    tx: Transaction, *conditions: ColumnElement[bool], limit: int, most_bytes: int
) -> tuple[PendingDelivery, ...]:
    """Return the first rows of a condition whose bodies together have no more than so many bytes, one at the least."""
    ids = portion_ids(tx, *conditions, limit=limit, most_bytes=most_bytes)
    rows = tx.execute(select(deliveries).where(deliveries.c.id.in_(ids)).order_by(deliveries.c.id)) if ids else ()
    return tuple(_pending(row) for row in rows)


def has_unapplied(tx: Transaction, *, after: int = 0) -> bool:
    """Return whether there is a delivery that `unapplied` would return."""
    query = select(deliveries.c.id).where(deliveries.c.applied_at.is_(None), deliveries.c.id > after)
    return tx.execute(query.limit(1)).first() is not None


def is_unapplied(tx: Transaction, row_id: int) -> bool:
    """Return whether one delivery was not read for an outcome yet."""
    query = select(deliveries.c.id).where(deliveries.c.id == row_id, deliveries.c.applied_at.is_(None))
    return tx.execute(query).first() is not None


def mark_applied(tx: Transaction, ids: Sequence[int]) -> None:
    """Record that these deliveries were read for an outcome. An error of an earlier try is over."""
    row = deliveries.c
    error = case((and_(row.apply_tries > 0, row.set_aside_at.is_(None)), None), else_=row.error)
    closed = {"applied_at": tx.now, "updated_at": tx.now, "error": error}
    tx.execute(update(deliveries).where(row.id.in_(ids), row.applied_at.is_(None)).values(**closed))


def reopen(
    tx: Transaction, ids: Sequence[int], *, collects: bool, applies: bool, repository: str | None = None
) -> None:
    """Have these deliveries read again, as if they had just come; those that a rule filtered, too.

    What they did already is recorded with them, and is not done twice.

    Args:
        tx: A transaction that writes.
        ids: Their rows.
        collects: Whether their repositories are to be read.
        applies: Whether they are to be read for an outcome.
        repository: What they are about in the settings' spelling, where that may be another than when they came.
    """
    fresh: dict[str, Any] = {
        "error": None,
        "filtered_by": None,
        "set_aside_at": None,
        "requested_at": None,
        "tries": 0,
        "apply_tries": 0,
    }
    if repository is not None:
        fresh["repository"] = repository
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
    """Return those of `ids` whose collection has not been made yet, by their numbers."""
    row = deliveries.c
    query = select(row.id).where(row.id.in_(ids), row.collected_at.is_(None)).order_by(row.id)
    return tuple(tx.execute(query).scalars())


def _pending(row: Row[*tuple[Any, ...]]) -> PendingDelivery:
    values = {name: getattr(row, name) for name in PendingDelivery.__slots__ if name != "stored_body"}
    return PendingDelivery(**values, stored_body=row.body)
