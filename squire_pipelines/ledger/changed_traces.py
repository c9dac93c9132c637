"""Which traces something has happened in since a moment, a bounded number at a time: for whoever sends them on."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Select, Table, select

from squire_pipelines.ledger.operator_changes import SETTLED_AFTER
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
    tasks,
)

_OWN: tuple[tuple[Table, str], ...] = (
    (deliveries, "updated_at"),
    (collections, "updated_at"),
    (plans, "updated_at"),
    (tasks, "updated_at"),
    (attempts, "updated_at"),
    (model_calls, "at"),
)
_OF_TASKS = (outcomes, merges, base_watches)
"""Tables whose rows have the trace of their task."""


@dataclass(frozen=True, slots=True)
class ChangedTraces:
    """The traces in which rows changed after a moment and up to `until`; `is_cut` when some were left out."""

    trace_ids: tuple[str, ...]
    until: datetime
    is_cut: bool


def read_changed_traces(tx: Transaction, after: datetime, *, rows: int, most: int) -> ChangedTraces:
    """Return the traces that changed, oldest changes first.

    The newest changes are left for later, since a transaction ends after the moment that its rows have.

    Args:
        tx: Reads.
        after: The `until` of the time before.
        rows: About how many changed rows of a table to look at; those of one moment come together.
        most: How many traces to return; more of one moment are left out.
    """
    until = tx.now - SETTLED_AFTER
    for query, moment in _queries():
        newer = query.with_only_columns(moment).where(moment > after, moment <= until)
        bound = tx.execute(newer.order_by(moment).offset(rows - 1).limit(1)).scalar_one_or_none()
        until = until if bound is None else min(until, bound)
    trace_ids: dict[str, None] = {}
    for query, moment in _queries():
        changed = query.where(moment > after, moment <= until).distinct().limit(most + 1)
        trace_ids.update(dict.fromkeys(tx.execute(changed).scalars()))
    return ChangedTraces(tuple(trace_ids)[:most], max(until, after), len(trace_ids) > most)


def _queries() -> Iterator[tuple[Select[Any], Column[Any]]]:
    """Yield the query for the traces of each table's rows, and the column with the moment of their last change."""
    for table, moment in _OWN:
        yield select(table.c.trace_id), table.c[moment]
    for table in _OF_TASKS:
        yield select(tasks.c.trace_id).join(table, table.c.task_id == tasks.c.id), table.c.updated_at
