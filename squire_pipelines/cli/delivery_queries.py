"""Questions about deliveries that only people ask: pages of them, one with all that is recorded of it. Read only."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, and_, case, func, literal, or_, select

from squire_pipelines.domain.deliveries import REQUEST_SOURCES, DeliveryMarks, DeliveryState
from squire_pipelines.ledger.list_pages import Rows, page_of
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import deliveries

_ROW_DIGITS = 18
_MARKS = tuple(DeliveryMarks.__slots__)
LISTED = (
    "id",
    "source",
    "delivery_id",
    "event",
    "action",
    "repository",
    "sender",
    "received_at",
    "requested_at",
    "tries",
    "apply_tries",
    "collected_at",
    "applied_at",
    "set_aside_at",
    "filtered_by",
    "error",
    "replays",
    "replayed_at",
    "trace_id",
)
"""The columns of a list: all but the body, what it is verified by, and what only one delivery's page shows."""

SHOWN = (*LISTED, "hook_id", "body_sha256", "body_encoding", "signature", "collected_trace_id", "updated_at", "body")


def state_is(state: DeliveryState) -> ColumnElement[bool]:
    """Return the condition of the deliveries in a state, as `DeliveryMarks.state` has it."""
    row = deliveries.c
    is_open = or_(row.collected_at.is_(None), row.applied_at.is_(None))
    unfiltered = row.filtered_by.is_(None)
    kept = and_(unfiltered, row.set_aside_at.is_(None))
    conditions: dict[DeliveryState, ColumnElement[bool]] = {
        DeliveryState.FILTERED: row.filtered_by.is_not(None),
        DeliveryState.WAITING: and_(kept, is_open),
        DeliveryState.DONE: and_(kept, ~is_open, row.error.is_(None)),
        DeliveryState.FAILED: and_(
            unfiltered, or_(row.set_aside_at.is_not(None), and_(~is_open, row.error.is_not(None)))
        ),
    }
    return conditions[state]


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries are meant; None lets all pass.

    `pending` are those whose collection has not been made; `sent` are those of senders, and no requests.
    """

    repository: str | None = None
    source: str | None = None
    event: str | None = None
    action: str | None = None
    sender: str | None = None
    state: DeliveryState | None = None
    filtered_by: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    pending: bool = False
    sent: bool = False

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        """Yield what the rows have to fulfil."""
        row = deliveries.c
        if self.repository is not None:
            yield func.lower(row.repository) == self.repository.lower()
        for name in ("source", "event", "action", "filtered_by"):
            if (value := getattr(self, name)) is not None:
                yield row[name] == value
        if self.sender is not None:
            login = self.sender.lower()
            yield func.lower(row.sender).in_((login, f"{login}[bot]"))
        if self.state is not None:
            yield state_is(self.state)
        if self.since is not None:
            yield row.received_at >= self.since
        if self.until is not None:
            yield row.received_at < self.until
        if self.pending:
            yield row.collected_at.is_(None)
        if self.sent:
            yield row.source.not_in(REQUEST_SOURCES)


def delivery_page(tx: Transaction, filters: DeliveryFilter, *, limit: int, after: int | None = None) -> Rows:
    """Return deliveries without their bodies, newest first, each with its state. Raises NotFoundError."""
    row = deliveries.c
    query = select(*row[LISTED]).where(*filters.conditions())
    return [with_state(values) for values in page_of(tx, query, after, row.id, limit=limit)]


def newer_deliveries(tx: Transaction, filters: DeliveryFilter, *, newer_than: int, limit: int) -> Rows:
    """Return the deliveries that came after one, in the order of arrival, each with its state."""
    row = deliveries.c
    query = select(*row[LISTED]).where(row.id > newer_than, *filters.conditions()).order_by(row.id).limit(limit)
    return [with_state(dict(values)) for values in tx.execute(query).mappings()]


def newest_id(tx: Transaction) -> int:
    """Return the newest delivery's number; 0 where there is none."""
    return tx.execute(select(func.max(deliveries.c.id))).scalar_one() or 0


def find_rows(tx: Transaction, name: str) -> Rows:
    """Return the deliveries that `name` means, newest first: a row's number, or the id that the sender gave.

    The same id may have come with several bodies, since it is not signed. A sender may number its deliveries too: the
    row of that number is the first.
    """
    row = deliveries.c
    # By the sender's id there is no index of its own: that begins with the source.
    sources = select(row.source).distinct().scalar_subquery()
    condition = and_(row.source.in_(sources), row.delivery_id == name)
    order: list[ColumnElement[Any]] = [row.id.desc()]
    if name.isascii() and name.isdecimal() and len(name) <= _ROW_DIGITS:
        # Postgres refuses a number that is none of the column's type, rather than not to find it.
        is_number = row.id == literal(int(name), BigInteger)
        condition, order = or_(condition, is_number), [case((is_number, 0), else_=1), *order]
    query = select(*row[SHOWN]).where(condition).order_by(*order).limit(10)
    return [with_state(dict(values)) for values in tx.execute(query).mappings()]


def with_state(values: dict[str, Any]) -> dict[str, Any]:
    """Return a row with its state, which follows from its marks."""
    marks = DeliveryMarks(**{name: values[name] for name in _MARKS})
    return values | {"state": marks.state.value}
