"""Tasks with all their facts, one JSON object for each: what an import reads back. In bounded memory, oldest first."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import select

from squire_pipelines.ledger.list_sql import read_ids
from squire_pipelines.ledger.retention import rows_of_tasks
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import metadata, task_dependencies, tasks
from squire_pipelines.ledger.task_query import SortOrder, TaskQuery

FORMAT = 1
"""Grows when a line changes so that an older import would stumble."""

PARTS = MappingProxyType(
    {"attempts": "attempts", "events": "task_events", "outcomes": "outcomes", "model_calls": "model_calls"}
)
"""The lists of a line, and the table that each is of."""

AT_ONCE = 500
_ORDERED = {"attempts": "number", "task_events": "id", "model_calls": "id"}
# Numbers that the importing ledger gives anew, and a token that lets its holder write.
_LEFT_OUT = {"tasks": {"title_words"}, "task_events": {"id"}, "model_calls": {"id"}, "attempts": {"lease_token"}}


def export_tasks(tx: Transaction, query: TaskQuery) -> Iterator[dict[str, Any]]:
    """Every task of the query as `{"squire_task", "task", "attempts", "events", "outcomes", …}`, oldest first.

    All of them are of one moment, the transaction's. `limit`, `after` and `order` of the query do not matter.
    """
    page = replace(query, order=SortOrder.OLDEST, limit=AT_ONCE, after=None)
    while True:
        ids, after = read_ids(tx.query_runner(), page)
        yield from _lines(tx, ids)
        if after is None:
            return
        page = replace(page, after=after)


def _lines(tx: Transaction, ids: Sequence[str]) -> Iterator[dict[str, Any]]:
    found = {row["id"]: dict(row) for row in tx.execute(select(tasks).where(tasks.c.id.in_(ids))).mappings()}
    parts: dict[str, dict[str, list[dict[str, Any]]]] = {part: {} for part in PARTS}
    for part, name in PARTS.items():
        table = metadata.tables[name]
        query = select(*(column for column in table.c if column.name not in _LEFT_OUT.get(name, ())))
        query = query.where(rows_of_tasks(name, ids))
        for row in tx.execute(query.order_by(table.c[_ORDERED[name]]) if name in _ORDERED else query).mappings():
            parts[part].setdefault(row["task_id"], []).append(_plain(dict(row)))
    waits: dict[str, list[str]] = {}
    of_these = select(task_dependencies).where(task_dependencies.c.task_id.in_(ids))
    for pair in tx.execute(of_these.order_by(task_dependencies.c.depends_on)):
        waits.setdefault(pair.task_id, []).append(pair.depends_on)
    for task_id in ids:
        if task_id in found:
            yield {
                "squire_task": FORMAT,
                "task": _plain(found[task_id]),
                "depends_on": waits.get(task_id, []),
                **{part: rows.get(task_id, []) for part, rows in parts.items()},
            }


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}" if isinstance(value, datetime) else value
        for name, value in row.items()
        if value is not None
    }
