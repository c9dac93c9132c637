"""Makes JSON objects of tasks with all that belongs to them, for an import to read. In bounded memory, oldest first."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import select

from squire_pipelines.domain.moments import moment_text
from squire_pipelines.ledger.list_sql import read_ids
from squire_pipelines.ledger.retention import rows_of_tasks
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import metadata
from squire_pipelines.ledger.task_query import SortOrder, TaskQuery

FORMAT = 1
"""Grows when a line changes in a way that an older import would not understand."""

PARTS = MappingProxyType(
    {"attempts": "attempts", "events": "task_events", "outcomes": "outcomes", "model_calls": "model_calls"}
)
"""The lists of a line, and the table that each is of."""

# The importing ledger gives numbers and splits titles itself; a token lets its holder write.
LEFT_OUT = {"tasks": {"title_words"}, "task_events": {"id"}, "model_calls": {"id"}, "attempts": {"lease_token"}}
_AT_ONCE = 500
_ORDER = {"attempts": "number", "task_events": "id", "model_calls": "id", "task_dependencies": "depends_on"}


def export_tasks(tx: Transaction, query: TaskQuery) -> Iterator[dict[str, Any]]:
    """Yield every task of the query as `{"squire_task", "task", "attempts", "events", "outcomes", …}`, oldest first.

    All of them are as the transaction sees them. `limit`, `after` and `order` of the query do not matter.
    """
    page = replace(query, order=SortOrder.OLDEST, limit=_AT_ONCE, after=None)
    while True:
        ids, after = read_ids(tx.query_runner(), page)
        yield from _lines(tx, ids)
        if after is None:
            return
        page = replace(page, after=after)


def export_task(tx: Transaction, task_id: str) -> dict[str, Any]:
    """Return one task as `export_tasks` yields it. Raises KeyError where it is not there."""
    return next(_lines(tx, (task_id,)))


def _lines(tx: Transaction, ids: Sequence[str]) -> Iterator[dict[str, Any]]:
    parts: dict[str, dict[str, list[dict[str, Any]]]] = {part: {} for part in PARTS}
    for part, table in PARTS.items():
        for row in _rows(tx, table, ids):
            parts[part].setdefault(row["task_id"], []).append(row)
    dependencies: dict[str, list[str]] = {}
    for row in _rows(tx, "task_dependencies", ids):
        dependencies.setdefault(row["task_id"], []).append(row["depends_on"])
    task_rows = {row["id"]: row for row in _rows(tx, "tasks", ids)}
    for task_id in ids:
        yield {
            "squire_task": FORMAT,
            "task": task_rows[task_id],
            "depends_on": dependencies.get(task_id, []),
            **{part: rows.get(task_id, []) for part, rows in parts.items()},
        }


def _rows(tx: Transaction, table: str, ids: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield rows as JSON has them, without what is left out or not known."""
    columns = metadata.tables[table].columns
    exported = [column for column in columns if column.name not in LEFT_OUT.get(table, ())]
    query = select(*exported).where(rows_of_tasks(table, ids))
    for row in tx.execute(query.order_by(columns[_ORDER[table]]) if table in _ORDER else query).mappings():
        yield {
            name: moment_text(value) if isinstance(value, datetime) else value
            for name, value in row.items()
            if value is not None
        }
