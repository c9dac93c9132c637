"""Spans of traces straight from the ledger: its rows are put into the warehouse's tables in memory, and the view read.

So there is one derivation of spans, the SQL of the view `trace`, for what was published and for what has just happened.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import duckdb
from sqlalchemy import ColumnElement, and_, or_, select

from squire_pipelines.domain.spans import Span
from squire_pipelines.domain.states import EventSubject
from squire_pipelines.errors import WarehouseError
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import (
    attempts,
    base_watches,
    collections,
    deliveries,
    merges,
    model_calls,
    outcomes,
    plans,
    task_events,
    tasks,
)
from squire_pipelines.warehouse import engine, schema
from squire_pipelines.warehouse.answers import in_utc
from squire_pipelines.warehouse.query import open_published

VIEW = "trace"
MAX_ROWS = 20_000
"""Of each table, the first ones: what traces have beyond that is left out."""

MEMORY_LIMIT = 256 * 2**20
COLUMNS = tuple(column.name for column in fields(Span))

_STEPS = (EventSubject.ATTEMPT, EventSubject.FOLLOW)


def spans_of(tx: Transaction, trace_ids: Sequence[str]) -> tuple[Span, ...]:
    """Return the spans of these traces as the ledger has them now, those that run too; none of an unknown trace."""
    with engine.connect(memory_limit=MEMORY_LIMIT, threads=1) as connection:
        for table, condition in _conditions(trace_ids).items():
            schema.create_table(connection, table)
            _fill(tx, connection, table, condition)
        schema.create_view(connection, VIEW)
        return read_spans(connection, trace_ids)


def published_spans(path: Path, trace_ids: Sequence[str]) -> tuple[Span, ...]:
    """Return the spans of these traces as they were published last. Raises WarehouseError."""
    with open_published(path, MEMORY_LIMIT) as connection:
        try:
            return read_spans(connection, trace_ids)
        except duckdb.CatalogException as error:
            hint = "`squire history publish` publishes it anew"
            raise WarehouseError(f"{path} was published by an older Squire, which had no traces", hint=hint) from error


def read_spans(connection: duckdb.DuckDBPyConnection, trace_ids: Sequence[str]) -> tuple[Span, ...]:
    """Return the spans of these traces from the view of an open database, in the order of their times."""
    rows = connection.execute(
        f"SELECT {', '.join(COLUMNS)} FROM {VIEW} WHERE trace_id IN (SELECT unnest(?::VARCHAR[])) "  # noqa: S608 - names of ours
        "ORDER BY started_at, span_id",
        [list(trace_ids)],
    ).fetchall()
    return tuple(Span(*map(in_utc, row)) for row in rows)


def _conditions(trace_ids: Sequence[str]) -> Mapping[str, ColumnElement[bool]]:
    """Return which rows of each table the spans are made of."""
    own_tasks = select(tasks.c.id).where(tasks.c.trace_id.in_(trace_ids)).scalar_subquery()
    read_by = (
        select(collections.c.id)
        .where(
            collections.c.trace_id.in_(trace_ids),
            collections.c.repository == plans.c.repository,
            collections.c.planned_at == plans.c.created_at,
        )
        .exists()
    )
    planned_at = select(collections.c.planned_at).where(collections.c.trace_id.in_(trace_ids))
    return {
        "deliveries": deliveries.c.trace_id.in_(trace_ids),
        "collections": collections.c.trace_id.in_(trace_ids),
        "plans": or_(plans.c.trace_id.in_(trace_ids), and_(plans.c.created_at.in_(planned_at), read_by)),
        "tasks": tasks.c.trace_id.in_(trace_ids),
        "attempts": attempts.c.task_id.in_(own_tasks),
        "task_events": and_(task_events.c.task_id.in_(own_tasks), task_events.c.subject.in_(_STEPS)),
        "outcomes": outcomes.c.task_id.in_(own_tasks),
        "merges": merges.c.task_id.in_(own_tasks),
        "base_watches": base_watches.c.task_id.in_(own_tasks),
        "model_calls": model_calls.c.trace_id.in_(trace_ids),
    }


def _fill(tx: Transaction, connection: duckdb.DuckDBPyConnection, table: str, condition: ColumnElement[bool]) -> None:
    copy = schema.table_copy(connection, table)
    rows: list[Any] = list(tx.execute(copy.query.where(condition).limit(MAX_ROWS)))
    if rows:
        connection.execute(copy.insert_into(table), [list(column) for column in zip(*rows, strict=True)])
