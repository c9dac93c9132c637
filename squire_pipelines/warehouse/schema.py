"""The warehouse's tables and views, which are SQL files, and how the ledger's rows are copied into them.

`tables/*.sql` create the tables, `metrics/*.sql` the views, and `derived/*.sql` are the queries that fill the derived
tables for the tasks in `touched` and the weeks in `touched_weeks`. A file has the name of its table or view.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

import duckdb
from sqlalchemy import JSON, ColumnElement, Select, Text, cast, func, select

from squire_pipelines.ledger.tables import metadata

SCHEMA_VERSION = 6
"""Increased when a change of a table or a view would break an older reader."""

TABLES = (
    "tasks",
    "task_dependencies",
    "attempts",
    "task_events",
    "outcomes",
    "merges",
    "base_watches",
    "signals",
    "signal_episodes",
    "signal_events",
    "check_reruns",
    "collections",
    "plans",
    "model_calls",
    "deliveries",
    "delivery_effects",
    "delivery_refusals",
    "delivery_checks",
    "budgets",
    "alerts",
    "audit",
)
"""The tables that are copied from the ledger."""

DERIVED = ("task_facts", "attempt_facts")
"""The tables that are derived from the others, with a row for each task or attempt; `task_id` names the task."""

ROLLED_UP: Mapping[str, str] = MappingProxyType(
    {
        "success_weeks": "(repository, week) IN (SELECT (repository, week) FROM touched_weeks)",
        "failure_weeks": "(repository, week) IN (SELECT (repository, week) FROM touched_weeks)",
        "stage_weeks": "(repository, week) IN (SELECT (repository, week) FROM touched_weeks)",
        "container_weeks": "(repository, week) IN (SELECT (repository, week) FROM touched_weeks)",
        "model_weeks": "week IN (SELECT week FROM touched_weeks WHERE repository IS NULL)",
    }
)
"""Tables of weekly sums, for views that would be too slow without; each with the condition of the rows to derive."""

OWN = ("targets", "repository_targets", "held_back", "repositories", "repository_tenants", "_archives", "_publication")
"""The tables about the file itself."""

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
    "agent_use",
    "cost_per_merged_pr",
    "merged_unchanged",
    "sla_attainment",
    "stuck",
    "ci_red_time",
    "episode_times",
    "waited_for",
    "agent_runs_saved",
    "pull_request_lives",
    "merged_pull_requests",
    "trace",
    "alert_history",
    "target_burn_rates",
    "deliveries_by_hour",
    "delivery_effect_times",
    "refused_deliveries",
    "filtered_deliveries",
)

APPEND_ONLY: Mapping[str, str] = MappingProxyType(
    {
        "task_events": "at",
        "signal_events": "at",
        "model_calls": "at",
        "delivery_effects": "at",
        "delivery_checks": "at",
        "audit": "at",
    }
)
"""Tables whose rows never change, with the ledger's name of the column with the time of writing."""

RENAMED: Mapping[str, str] = MappingProxyType({"occurred_at": "at"})
"""The ledger's names of columns that are renamed here: `at` is a reserved word in DuckDB."""

LEFT_OUT: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        # Bodies are large and repeat the other tables, and a signature is of no use without them; a token is a secret.
        "deliveries": frozenset({"body", "body_encoding", "signature"}),
        "attempts": frozenset({"lease_token"}),
        # What is reserved at providers at the moment; what was spent there is in model_calls.
        "budgets": frozenset({"provider_usd"}),
        # What the ledger's index of titles is made of.
        # A person's word about the queue is in task_events.
        "tasks": frozenset({"title_words", "start_requested_at"}),
        # How far what is said on GitHub has come, and from where it is followed; task_events has the steps.
        # The base as GitHub said last, which is another one soon.
        "outcomes": frozenset(
            {
                "base_ref",
                "base_sha",
                "checks_since",
                "draft",
                "landed",
                "handed_over",
                "announced_reason",
                "answered_task_id",
                "taken_up_at",
                "taken_up_head",
                "tell_tries",
                "tell_again_at",
                "tell_error",
                "judged_at",
            }
        ),
        # When the next look is, and how far what is said on GitHub has come.
        "merges": frozenset(
            {"judged_facts", "look_at", "announced_reason", "tell_tries", "tell_again_at", "tell_error"}
        ),
        "base_watches": frozenset(
            {"look_at", "revert_tries", "announced_reason", "tell_tries", "tell_again_at", "tell_error"}
        ),
        # What the ledger's hash chain is made of; it comes after the row was published.
        "audit": frozenset({"batch"}),
    }
)
"""The ledger's columns that are not published: a declaration, which a test holds against all columns that there are."""

_FROM_TASK = MappingProxyType(dict.fromkeys(("outcomes", "merges", "base_watches"), frozenset({"trace_id"})))


@dataclass(frozen=True, slots=True)
class TableCopy:
    """How one table is filled: the query to the ledger, and the INSERT that takes one list per column.

    `key` are the primary key's columns. `version` is the column that is greater in the newer of two rows with the
    same key; None where such rows are equal.
    """

    table: str
    query: Select[Any]
    insert: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    version: str | None

    def insert_into(self, table: str) -> str:
        """Return the INSERT into a table with the same columns."""
        return f"INSERT INTO {table} {self.insert}"


def create_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Create all tables, empty."""
    for table in (*TABLES, *DERIVED, *ROLLED_UP, *OWN):
        create_table(connection, table)


def create_table(connection: duckdb.DuckDBPyConnection, table: str) -> None:
    """Create one of the tables, empty."""
    connection.execute(_sql("tables", table))


def column_schema(table: str) -> list[tuple[str, str, str]]:
    """Return the name, the type and the description of each column of a table or view, from the comments in its SQL."""
    return list(_columns(with_views=table in METRICS)[table])


@cache
def _columns(*, with_views: bool) -> Mapping[str, list[tuple[str, str, str]]]:
    """Return the columns of all tables at once: a database for each of them would take eight times as long."""
    columns: dict[str, list[tuple[str, str, str]]] = {}
    with duckdb.connect() as connection:
        create_tables(connection)
        if with_views:
            create_metrics(connection)
        for name, *column in connection.execute(
            "SELECT table_name, column_name, replace(data_type, 'TIMESTAMP WITH TIME ZONE', 'TIMESTAMPTZ'), comment "
            "FROM duckdb_columns() WHERE NOT internal ORDER BY table_name, column_index"
        ).fetchall():
            columns.setdefault(name, []).append(tuple(column))
    return columns


def create_metrics(connection: duckdb.DuckDBPyConnection) -> None:
    """Create or replace the views; the tables must exist."""
    for view in METRICS:
        create_view(connection, view)


def create_view(connection: duckdb.DuckDBPyConnection, view: str) -> None:
    """Create or replace one of the views; the tables that it reads must exist."""
    connection.execute(_sql("metrics", view).replace("CREATE VIEW", "CREATE OR REPLACE VIEW", 1))


def derivation(table: str) -> str:
    """Return the query for a derived table's rows, for the tasks in `touched` or the weeks in `touched_weeks`."""
    return _sql("derived", table)


def tables_digest() -> str:
    """Return a digest of the definitions of all tables and of the queries that fill the derived ones."""
    texts = [_sql("tables", table) for table in (*TABLES, *DERIVED, *ROLLED_UP, *OWN)]
    texts += [derivation(table) for table in (*DERIVED, *ROLLED_UP)]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def table_copy(connection: duckdb.DuckDBPyConnection, table: str) -> TableCopy:
    """Return how `table`, which must exist, is filled from the ledger in the order of its primary key."""
    column_types = connection.execute(
        "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = ? AND NOT internal "
        "AND database_name = current_database() ORDER BY column_index",
        [table],
    ).fetchall()
    source = metadata.tables[table]
    query = select(*(_source_column(table, name).label(name) for name, _ in column_types))
    if table in _FROM_TASK:
        tasks = metadata.tables["tasks"]
        query = query.select_from(source.join(tasks, tasks.c.id == source.c.task_id))
    columns = tuple(name for name, _ in column_types)
    return TableCopy(
        table,
        query.order_by(*source.primary_key.columns),
        "SELECT " + ", ".join(f"unnest(?::{kind}[])" for _, kind in column_types),
        columns,
        tuple(column.name for column in source.primary_key.columns),
        "updated_at" if "updated_at" in columns else None,
    )


def _source_column(table: str, name: str) -> ColumnElement[Any]:
    if name in _FROM_TASK.get(table, ()):
        return metadata.tables["tasks"].c[name]
    column = metadata.tables[table].c[RENAMED.get(name, name)]
    if isinstance(column.type, JSON):
        # As text, which spares decoding and encoding it; JSON's null becomes SQL's.
        return func.nullif(cast(column, Text), "null")
    return column


def _sql(folder: str, name: str) -> str:
    return resources.files(__package__).joinpath(folder, f"{name}.sql").read_text(encoding="utf-8")
