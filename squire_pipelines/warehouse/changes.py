"""Copies rows into the tables of a file that is being built: from the ledger, from the archive, and derived ones.

Rows are identified by their primary key, so that copying a row twice does no harm. `publish` says what is copied when.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb
from sqlalchemy import Select, or_, select

from squire_pipelines.errors import WarehouseError
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import metadata
from squire_pipelines.warehouse import engine, schema
from squire_pipelines.warehouse.schema import TableCopy

BATCH = 1000
"""Rows that are in our own memory at once."""

_CALL_WEEK = "date_trunc('week', make_timestamp(epoch_us(occurred_at)))::DATE"
LATE_ROWS = 2000
"""How many rows others may add to a table on Postgres before a transaction with a lower number is committed."""

_TASK_COLUMN = {
    "tasks": "id",
    "task_dependencies": "task_id",
    "attempts": "task_id",
    "task_events": "task_id",
    "outcomes": "task_id",
    "model_calls": "task_id",
}
"""The column with the task whose derived rows must be derived again when a row changes."""


@dataclass(frozen=True, slots=True)
class ChangeWindow:
    """What to look for: the last publication was at `published_at`, and may lack rows with times from `from_at` on."""

    published_at: datetime
    from_at: datetime


@dataclass(frozen=True, slots=True)
class StagedRows:
    """Rows of the ledger that may have changed, in a temporary table; `staged_in` is None where there are none."""

    copy: TableCopy
    staged_in: str | None


def create_touched_tables(connection: duckdb.DuckDBPyConnection, *, everything: bool = False) -> None:
    """Create the tables of what must be derived again: everything, or what `add_changes` and `add_archive` will add."""
    if everything:
        tasks = "SELECT id AS task_id FROM tasks"
        weeks = f"SELECT DISTINCT NULL::VARCHAR AS repository, {_CALL_WEEK} AS week FROM model_calls"  # noqa: S608 - names of our own
    else:
        tasks = "SELECT NULL::VARCHAR AS task_id LIMIT 0"
        weeks = "SELECT NULL::VARCHAR AS repository, NULL::DATE AS week LIMIT 0"
    connection.execute(f"CREATE OR REPLACE TEMP TABLE touched AS {tasks}")
    connection.execute(f"CREATE OR REPLACE TEMP TABLE touched_weeks AS {weeks}")


def copy_table(tx: Transaction, connection: duckdb.DuckDBPyConnection, table: str) -> int:
    """Copy a whole table of the ledger into an empty one, and return the number of rows."""
    copy = schema.table_copy(connection, table)
    connection.begin()
    count = copy_rows(tx, connection, copy, copy.query, table)
    connection.commit()
    return count


def stage_changes(
    tx: Transaction, connection: duckdb.DuckDBPyConnection, table: str, window: ChangeWindow
) -> StagedRows:
    """Read what may have changed in one table of the ledger since the current database was published."""
    copy, staged = schema.table_copy(connection, table), f"staged_{table}"
    _create_staged(connection, staged, table)
    count = copy_rows(tx, connection, copy, _changed_rows(tx, connection, copy, window), staged)
    return StagedRows(copy, staged if count else None)


def add_staged(connection: duckdb.DuckDBPyConnection, rows: StagedRows, window: ChangeWindow) -> int:
    """Add what `stage_changes` read, in the current transaction, and return how many rows changed."""
    if rows.staged_in is None:
        return 0
    # A row of the moment of the last publication, or later, may have changed again with the same version.
    same = f"staged.{rows.copy.version} < ?"
    return _merge(connection, rows.copy, rows.staged_in, older="FALSE", same=same, parameters=[window.published_at])


def archives_added(connection: duckdb.DuckDBPyConnection) -> frozenset[tuple[str, str]]:
    """Return the archive files whose rows are in this file, each as its table and its name."""
    return frozenset(connection.execute("SELECT table_name, name FROM _archives").fetchall())


def add_archive(
    connection: duckdb.DuckDBPyConnection, archive: Path, table: str, added: frozenset[tuple[str, str]]
) -> int:
    """Add the rows of the archive files of a table that were not `added` yet, and return how many rows changed.

    Raises:
        WarehouseError: A file of the archive cannot be read.
    """
    known = {name for of_table, name in added if of_table == table}
    names = {path.name for path in (archive / table).glob("*.parquet") if not path.name.startswith(".")}
    if not names - known:
        return 0
    copy = schema.table_copy(connection, table)
    _create_staged(connection, "staged", table)
    for name in sorted(names - known):
        _read_archive(connection, archive / table / name, copy)
        connection.execute("INSERT INTO _archives VALUES (?, ?)", [table, name])
    # Rows with the same key and the same version are equal, so that any of them will do.
    order = f" ORDER BY {copy.version} DESC" if copy.version else ""
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE staged AS FROM staged "
        f"QUALIFY row_number() OVER (PARTITION BY {', '.join(copy.key)}{order}) = 1"
    )
    # The archive has a row's last state. It has the version of the state before it where both are of one moment.
    older = f"staged.{copy.version} < {table}.{copy.version}" if copy.version else "TRUE"
    return _merge(connection, copy, "staged", older=older, same=f"staged IS NOT DISTINCT FROM {table}", parameters=[])


def derive(connection: duckdb.DuckDBPyConnection) -> None:
    """Derive again the rows of the tasks and weeks that were touched."""
    connection.execute("CREATE OR REPLACE TEMP TABLE touched AS SELECT DISTINCT task_id FROM touched")
    if _count(connection, "touched"):
        _touch_weeks(connection)  # the weeks in which the tasks were counted before
        for table in schema.DERIVED:
            connection.execute(f"DELETE FROM {table} WHERE task_id IN (SELECT task_id FROM touched)")  # noqa: S608 - names of our own
            connection.execute(f"INSERT INTO {table} {schema.derivation(table)}")
        _touch_weeks(connection)
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE touched_weeks AS SELECT DISTINCT repository, week FROM touched_weeks"
    )
    if _count(connection, "touched_weeks"):
        for table, condition in schema.ROLLED_UP.items():
            connection.execute(f"DELETE FROM {table} WHERE {condition}")  # noqa: S608 - names of our own
            connection.execute(f"INSERT INTO {table} {schema.derivation(table)}")


def _touch_weeks(connection: duckdb.DuckDBPyConnection) -> None:
    for table in schema.DERIVED:
        connection.execute(
            f"INSERT INTO touched_weeks SELECT DISTINCT repository, week FROM {table} "  # noqa: S608 - names of our own
            "WHERE week IS NOT NULL AND task_id IN (SELECT task_id FROM touched)"
        )


def _create_staged(connection: duckdb.DuckDBPyConnection, name: str, table: str) -> None:
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS FROM {table} LIMIT 0")


def copy_rows(
    tx: Transaction,
    connection: duckdb.DuckDBPyConnection,
    copy: TableCopy,
    query: Select[tuple[object, ...]],
    target: str,
) -> int:
    """Copy the rows of a query to the ledger in batches, and return how many there are.

    One list per column and batch: a row at a time is fifty times slower.
    """
    count = 0
    insert = copy.insert_into(target)
    for batch in tx.execute(query.execution_options(yield_per=BATCH)).partitions():
        connection.execute(insert, [list(column) for column in zip(*batch, strict=True)])
        count += len(batch)
    return count


def _changed_rows(
    tx: Transaction, connection: duckdb.DuckDBPyConnection, copy: TableCopy, window: ChangeWindow
) -> Select[tuple[object, ...]]:
    """Select the rows that may have changed: by their time, and by a number that is new."""
    source = metadata.tables[copy.table]
    rows = copy.query.order_by(None)  # in the order of its key, SQLite would walk through the whole table
    if copy.table == "task_dependencies":
        tasks = metadata.tables["tasks"]
        recent = select(tasks.c.id).where(tasks.c.updated_at >= window.from_at)
        return rows.where(source.c.task_id.in_(recent))
    recent_rows = source.c[schema.APPEND_ONLY.get(copy.table, "updated_at")] >= window.from_at
    if copy.table not in schema.APPEND_ONLY:
        return rows.where(recent_rows)
    # On Postgres a row may be committed after one with a higher number, and have the time of a call long before.
    late = 0 if tx.connection.dialect.name == "sqlite" else LATE_ROWS
    newest = connection.execute(f"SELECT coalesce(max(id), 0) FROM {copy.table}").fetchall()[0][0]  # noqa: S608 - names of our own
    return rows.where(or_(recent_rows, source.c.id > newest - late))


def _merge(
    connection: duckdb.DuckDBPyConnection,
    copy: TableCopy,
    source: str,
    *,
    older: str,
    same: str,
    parameters: Sequence[object],
) -> int:
    """Replace rows by those staged in `source` with the same key, and return how many rows are new or different.

    A staged row is skipped where the condition `older` holds of it and the existing row, and where both have the same
    version while `same` holds: writing a row that has not changed would only make the file grow.
    """
    table, keys = copy.table, " AND ".join(f"{copy.table}.{name} = staged.{name}" for name in copy.key)
    # The bounds exclude most of the file: rows of one time have keys that lie together.
    first = copy.key[0]
    low, high = connection.execute(f"SELECT min({first}), max({first}) FROM {source}").fetchall()[0]  # noqa: S608 - names of our own
    within = f"{table}.{first} BETWEEN ? AND ?"
    version = copy.version
    skipped = f"({older}) OR (staged.{version} = {table}.{version} AND ({same}))" if version else "TRUE"
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE fresh AS FROM {source} AS staged WHERE NOT EXISTS ("  # noqa: S608 - names of our own
        f"SELECT 1 FROM {table} WHERE {keys} AND {within} AND ({skipped}))",
        [low, high, *(parameters if version else ())],
    )
    if version:
        connection.execute(
            f"DELETE FROM {table} WHERE {within} AND {first} IN (SELECT {first} FROM fresh)",  # noqa: S608 - names of our own
            [low, high],
        )
    connection.execute(f"INSERT INTO {table} FROM fresh")
    if (task_id := _TASK_COLUMN.get(table)) is not None:
        connection.execute(f"INSERT INTO touched SELECT {task_id} FROM fresh WHERE {task_id} IS NOT NULL")  # noqa: S608 - names of our own
    if table == "model_calls":
        connection.execute(f"INSERT INTO touched_weeks SELECT DISTINCT NULL, {_CALL_WEEK} FROM fresh")  # noqa: S608 - names of our own
    return _count(connection, "fresh")


def _read_archive(connection: duckdb.DuckDBPyConnection, path: Path, copy: TableCopy) -> None:
    source = f"read_parquet({engine.literal(path)})"
    try:
        present = {row[0] for row in connection.execute(f"DESCRIBE FROM {source}").fetchall()}
        columns = ", ".join(name for name in copy.columns if name in present)
        connection.execute(f"INSERT INTO staged BY NAME SELECT {columns} FROM {source}")  # noqa: S608 - names of our own
    except duckdb.Error as error:
        raise WarehouseError(
            f"the archive file {path} cannot be read: {engine.reason(error)}",
            hint="restore it from a backup, or move it away to publish without its rows",
        ) from error


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])  # noqa: S608 - names of our own
