"""What the warehouse holds: its tables and views as SQL files, and which rows of the ledger fill them.

`tables/*.sql` create the tables, `metrics/*.sql` the views, `derived/*.sql` put rows together from the other tables
for the tasks in the table `touched` and the weeks in `touched_weeks`; each file's name is the name of what it makes.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType
from typing import Any

import duckdb
from sqlalchemy import JSON, ColumnElement, Select, Text, cast, func, select

from squire_pipelines.ledger.tables import metadata

SCHEMA_VERSION = 2
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
    "budgets",
    "audit",
)
"""The tables that the ledger has too."""

DERIVED = ("task_facts", "attempt_facts")
"""The tables that are put together from the others, a row for each task or attempt; `task_id` names the task."""

ROLLED_UP: Mapping[str, str] = MappingProxyType(
    {
        "success_weeks": "(repository, week) IN (SELECT (repository, week) FROM touched_weeks)",
        "failure_weeks": "(repository, week) IN (SELECT (repository, week) FROM touched_weeks)",
        "stage_weeks": "(repository, week) IN (SELECT (repository, week) FROM touched_weeks)",
        "container_weeks": "(repository, week) IN (SELECT (repository, week) FROM touched_weeks)",
        "model_weeks": "week IN (SELECT week FROM touched_weeks WHERE repository IS NULL)",
    }
)
"""Tables of sums by week, for views that would take too long; each with the condition of the rows to be made anew."""

OWN = ("targets", "held_back", "_archives", "_publication")
"""The tables that say what the file is."""

UNPUBLISHED = frozenset({"archived_tasks", "archives", "task_words"})
"""The ledger's tables about what left it, whose very rows the warehouse has, and its index of words."""

METRICS = (
    "task_overview",
    "success_by_repository",
    "success_rate",
    "failure_causes",
    "time_to_merge",
    "stage_times",
    "container_starts",
    "quota_used",
    "model_use",
    "cost_per_merged_pr",
    "merged_unchanged",
    "sla_attainment",
    "stuck",
    "ci_red_time",
)

APPEND_ONLY: Mapping[str, str] = MappingProxyType({"task_events": "at", "model_calls": "at", "audit": "at"})
"""Tables whose rows never change, with the ledger's name of the time of their writing."""

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
    """How one table is filled: the question to the ledger, and the insertion of one list per column.

    `key` are the names of the primary key's columns, `mark` the warehouse's name of the column by which the newest
    of two rows with one key is told; None where such rows are the same.
    """

    table: str
    query: Select[Any]
    insert: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    mark: str | None

    def insert_into(self, table: str) -> str:
        """The insertion into another table with the same columns."""
        return f"INSERT INTO {table} {self.insert}"


def create_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Create all tables, empty."""
    for table in (*TABLES, *DERIVED, *ROLLED_UP, *OWN):
        create_table(connection, table)


def create_table(connection: duckdb.DuckDBPyConnection, table: str) -> None:
    """Create one of the tables, empty."""
    connection.execute(_sql("tables", table))


def create_metrics(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the views, or put them in the place of earlier ones; the tables are there."""
    for view in METRICS:
        connection.execute(_sql("metrics", view).replace("CREATE VIEW", "CREATE OR REPLACE VIEW", 1))


def derivation(table: str) -> str:
    """The query that puts a table's rows together, for the tasks in `touched` or the weeks in `touched_weeks`."""
    return _sql("derived", table)


def tables_digest() -> str:
    """Changes when a table's definition does, or the way in which derived rows are put together."""
    texts = [_sql("tables", table) for table in (*TABLES, *DERIVED, *ROLLED_UP, *OWN)]
    texts += [derivation(table) for table in (*DERIVED, *ROLLED_UP)]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def copy_of(connection: duckdb.DuckDBPyConnection, table: str) -> Copy:
    """How `table`, which has been created, is filled from the ledger, in the order of its primary key."""
    described = connection.execute(
        "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = ? AND NOT internal "
        "AND database_name = current_database() ORDER BY column_index",
        [table],
    ).fetchall()
    source = metadata.tables[table]
    query = select(*(_source_column(table, name).label(name) for name, _ in described))
    if table in _FROM_TASK:
        tasks = metadata.tables["tasks"]
        query = query.select_from(source.join(tasks, tasks.c.id == source.c.task_id))
    columns = tuple(name for name, _ in described)
    return Copy(
        table,
        query.order_by(*source.primary_key.columns),
        "SELECT " + ", ".join(f"unnest(?::{kind}[])" for _, kind in described),
        columns,
        tuple(column.name for column in source.primary_key.columns),
        "updated_at" if "updated_at" in columns else None,
    )


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
