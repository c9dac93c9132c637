"""What the warehouse holds: its tables and views as SQL files, and which rows of the ledger fill them.

`tables/*.sql` create the tables, `metrics/*.sql` the views; each file's name is the name of what it makes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType
from typing import Any

import duckdb
from sqlalchemy import JSON, ColumnElement, Select, Text, cast, func, select

from squire_pipelines.ledger.tables import metadata

SCHEMA_VERSION = 1
"""Grows when a table or a view changes so that an older reader would stumble."""

TABLES = (
    "tasks",
    "task_dependencies",
    "attempts",
    "task_events",
    "outcomes",
    "signals",
    "collections",
    "plans",
    "model_calls",
    "deliveries",
    "audit",
)
METRICS = ("task_overview", "success_by_repository", "failure_causes", "time_to_merge")

RENAMED: Mapping[str, str] = MappingProxyType({"occurred_at": "at"})
"""The warehouse's name of a column that the ledger calls otherwise: `at` is a reserved word of DuckDB's."""

LEFT_OUT: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        # Bodies are large and say what the other tables say; a token is nobody's business.
        "deliveries": frozenset({"body"}),
        "attempts": frozenset({"lease_token"}),
    }
)
"""The ledger's columns that are not published."""

_FROM_TASK = MappingProxyType({"outcomes": frozenset({"trace_id"})})


@dataclass(frozen=True, slots=True)
class Copy:
    """How one table is filled: the question to the ledger, and the insertion of one list per column."""

    table: str
    query: Select[Any]
    insert: str


def create_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the tables, empty, and the table `_publication`."""
    for table in TABLES:
        connection.execute(_sql("tables", table))
    connection.execute(_sql("tables", "_publication"))


def create_metrics(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the views; the tables are there."""
    for view in METRICS:
        connection.execute(_sql("metrics", view))


def copy_of(connection: duckdb.DuckDBPyConnection, table: str) -> Copy:
    """How `table`, which has been created, is filled from the ledger, in the order of its primary key."""
    described = connection.execute(
        "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = ? ORDER BY column_index", [table]
    ).fetchall()
    source = metadata.tables[table]
    query = select(*(_source_column(table, name).label(name) for name, _ in described))
    if table in _FROM_TASK:
        tasks = metadata.tables["tasks"]
        query = query.select_from(source.join(tasks, tasks.c.id == source.c.task_id))
    lists = ", ".join(f"unnest(?::{kind}[])" for _, kind in described)
    return Copy(table, query.order_by(*source.primary_key.columns), f"INSERT INTO {table} SELECT {lists}")


def _source_column(table: str, name: str) -> ColumnElement[Any]:
    if name in _FROM_TASK.get(table, ()):
        return metadata.tables["tasks"].c[name]
    column = metadata.tables[table].c[RENAMED.get(name, name)]
    if isinstance(column.type, JSON):
        # As text, so that nobody decodes and encodes it on the way; JSON's null is SQL's.
        return func.nullif(cast(column, Text), "null")
    return column


def _sql(folder: str, name: str) -> str:
    return resources.files(__package__).joinpath(folder, f"{name}.sql").read_text(encoding="utf-8")
