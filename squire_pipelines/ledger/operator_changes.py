"""What happened in the ledger since a position, a bounded number of rows at a time: for counters that only grow.

Each kind of row is read once, in the order of its ids, by a reader that keeps its own position. On Postgres an id may
become visible after a greater one, since transactions end in another order than they began: there the newest rows are
left for later.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Column, Row, Table, func, select

from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import attempts, deliveries, delivery_checks, model_calls, task_events, tasks

SETTLED_AFTER = timedelta(seconds=10)
"""So old a row has to be, where order is by moments or by ids of Postgres: what a transaction may take to its end."""

Rows = Sequence[Row[*tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class Position:
    """Up to which rows were read: the last ids, and the moment up to which collected deliveries were."""

    event: int = 0
    model_call: int = 0
    delivery: int = 0
    check: int = 0
    collected: datetime | None = None


def newest_position(tx: Transaction) -> Position:
    """Return the position after all rows that are there."""

    def last(table: Table) -> int:
        return int(tx.execute(select(func.coalesce(func.max(table.c.id), 0))).scalar_one())

    return Position(last(task_events), last(model_calls), last(deliveries), last(delivery_checks), tx.now)


def read_events(tx: Transaction, after: int, limit: int) -> Rows:
    """Return changes of state with what is known of their task and attempt, oldest first."""
    query = (
        select(
            task_events.c.id,
            task_events.c.subject,
            task_events.c.before,
            task_events.c.after,
            task_events.c.at,
            tasks.c.repository,
            tasks.c.kind,
            tasks.c.cause.label("task_cause"),
            tasks.c.created_at,
            *(
                attempts.c[name]
                for name in (
                    "cause", "runner", "timings", "startable_at", "queued_at", "claimed_at", "agent_started_at",
                    "agent_ended_at", "ended_at",
                )
            ),
        )
        .join_from(task_events, tasks, tasks.c.id == task_events.c.task_id, isouter=True)
        .join(attempts, attempts.c.id == task_events.c.attempt_id, isouter=True)
    )  # fmt: skip
    return _read(tx, query, (task_events.c.id, task_events.c.at), after, limit)


def read_model_calls(tx: Transaction, after: int, limit: int) -> Rows:
    """Return calls of models, oldest first."""
    names = (
        "id", "purpose", "model", "ok", "input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens",
        "cost_usd", "latency_s",
    )  # fmt: skip
    query = select(*(model_calls.c[name] for name in names))
    return _read(tx, query, (model_calls.c.id, model_calls.c.at), after, limit)


def read_deliveries(tx: Transaction, after: int, limit: int) -> Rows:
    """Return deliveries as they arrived, oldest first; `is_filtered` ones asked for no reading."""
    is_filtered = (deliveries.c.collected_at == deliveries.c.received_at).label("is_filtered")
    query = select(deliveries.c.id, deliveries.c.event, is_filtered)
    return _read(tx, query, (deliveries.c.id, deliveries.c.received_at), after, limit)


def read_checks(tx: Transaction, after: int, limit: int) -> Rows:
    """Return comparisons of deliveries with GitHub's, oldest first."""
    query = select(delivery_checks.c.id, delivery_checks.c.redelivered)
    return _read(tx, query, (delivery_checks.c.id, delivery_checks.c.at), after, limit)


def read_collected(tx: Transaction, after: datetime | None, limit: int) -> tuple[Rows, datetime]:
    """Return deliveries whose reading was made after a moment, and up to which moment that was looked for.

    The newest are left for later, since a transaction ends after the moment that its rows have. Those of one moment
    come together, however many there are: one reading settles all that asked for it.
    """
    moment = deliveries.c.collected_at
    until = tx.now - SETTLED_AFTER
    newer = [moment <= until, moment > deliveries.c.received_at]
    if after is not None:
        newer.append(moment > after)
    bound = tx.execute(select(moment).where(*newer).order_by(moment).offset(limit - 1).limit(1)).scalar_one_or_none()
    query = select(moment, deliveries.c.received_at).where(*newer).order_by(moment)
    rows = tx.execute(query if bound is None else query.where(moment <= bound)).all()
    return rows, until if bound is None else bound


def _read(tx: Transaction, query: Any, order: tuple[Column[int], Column[datetime]], after: int, limit: int) -> Rows:
    key, moment = order
    rows = query.where(key > after).order_by(key).limit(limit)
    if tx.connection.dialect.name != "sqlite":
        # Up to the first row that is too young: one behind it may be older, and would be passed over.
        young = select(func.min(key)).where(key > after, moment > tx.now - SETTLED_AFTER).scalar_subquery()
        rows = rows.where(key < func.coalesce(young, 2**62))
    return list(tx.execute(rows).all())
