"""Bringing rows into the tables of a file that is being built: from the ledger, from the archive, and derived ones.

Everything here is idempotent by primary key, so that rows may be brought twice. When to do what is `publish`'s.
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
from squire_pipelines.warehouse import schema
from squire_pipelines.warehouse.schema import Copy

BATCH = 1000
"""Rows that are in our own memory at once."""

_CALL_WEEK = "date_trunc('week', make_timestamp(epoch_us(occurred_at)))::DATE"
LATE_ROWS = 2000
"""How many rows others may add to a table on Postgres before a transaction that has its number is committed."""

_TASK_OF = {
    "tasks": "id",
    "task_dependencies": "task_id",
    "attempts": "task_id",
    "task_events": "task_id",
    "outcomes": "task_id",
    "model_calls": "task_id",
}
"""The column by which a row touches a task, so that what is derived of the task is put together anew."""


@dataclass(frozen=True, slots=True)
class Since:
    """What was brought before: everything up to `published_at`, but for transactions that were late by `overlap_s`."""

    published_at: datetime
    from_at: datetime


def create_touched(connection: duckdb.DuckDBPyConnection, *, everything: bool = False) -> None:
    """The tables of what is to be put together anew: all there is, or what `add_changes` and `add_archive` add."""
    if everything:
        tasks = "SELECT id AS task_id FROM tasks"
        weeks = f"SELECT DISTINCT NULL::VARCHAR AS repository, {_CALL_WEEK} AS week FROM model_calls"  # noqa: S608 - names of our own
    else:
        tasks = "SELECT NULL::VARCHAR AS task_id LIMIT 0"
        weeks = "SELECT NULL::VARCHAR AS repository, NULL::DATE AS week LIMIT 0"
    connection.execute(f"CREATE OR REPLACE TEMP TABLE touched AS {tasks}")
    connection.execute(f"CREATE OR REPLACE TEMP TABLE touched_weeks AS {weeks}")


def fill(tx: Transaction, connection: duckdb.DuckDBPyConnection, table: str) -> int:
    """Copy the whole of one table of the ledger into an empty one; how many rows."""
    copy = schema.copy_of(connection, table)
    connection.begin()
    count = _bring(tx, connection, copy, copy.query, table)
    connection.commit()
    return count


def add_changes(tx: Transaction, connection: duckdb.DuckDBPyConnection, table: str, since: Since) -> int:
    """Add what changed in one table of the ledger, in the transaction under way; how many rows are new or other."""
    copy = schema.copy_of(connection, table)
    _create_staged(connection, table)
    if not _bring(tx, connection, copy, _changed(tx, connection, copy, since), "staged"):
        return 0
    # A row of the moment of the last publication, or later, may have changed again with the same mark.
    return _merge(connection, copy, older="FALSE", same=f"staged.{copy.mark} < ?", parameters=[since.published_at])


def archive_files(archive: Path, table: str) -> tuple[str, ...]:
    """The names of the archive's files of one table, oldest first."""
    return tuple(sorted(path.name for path in (archive / table).glob("*.parquet") if not path.name.startswith(".")))


def add_archive(connection: duckdb.DuckDBPyConnection, archive: Path, table: str) -> int:
    """Add the rows of archive files that are not in this file yet; how many are new or newer than what was here.

    Raises:
        WarehouseError: A file of the archive cannot be read.
    """
    known = {
        row[0] for row in connection.execute("SELECT name FROM _archives WHERE table_name = ?", [table]).fetchall()
    }
    fresh = [name for name in archive_files(archive, table) if name not in known]
    if not fresh:
        return 0
    copy = schema.copy_of(connection, table)
    _create_staged(connection, table)
    for name in fresh:
        _read_archive(connection, archive / table / name, copy)
        connection.execute("INSERT INTO _archives VALUES (?, ?)", [table, name])
    if copy.mark:
        keys = ", ".join(copy.key)
        # Of rows with one key and one mark, any: they are the same.
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE staged AS FROM staged "
            f"QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY {copy.mark} DESC) = 1"
        )
    else:
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE staged AS SELECT DISTINCT ON ({', '.join(copy.key)}) * FROM staged"  # noqa: S608 - names of our own
        )
    # What the ledger said is never older than what was archived of the same row.
    older = f"staged.{copy.mark} <= {table}.{copy.mark}" if copy.mark else "TRUE"
    return _merge(connection, copy, older=older, same="TRUE", parameters=[])


def derive(connection: duckdb.DuckDBPyConnection) -> int:
    """Put together anew what was touched; how many tasks that are."""
    connection.execute("CREATE OR REPLACE TEMP TABLE touched AS SELECT DISTINCT task_id FROM touched")
    touched = _count(connection, "touched")
    if touched:
        _touch_weeks(connection)  # those that a task leaves
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
    return touched


def _touch_weeks(connection: duckdb.DuckDBPyConnection) -> None:
    for table in schema.DERIVED:
        connection.execute(
            f"INSERT INTO touched_weeks SELECT DISTINCT repository, week FROM {table} "  # noqa: S608 - names of our own
            "WHERE week IS NOT NULL AND task_id IN (SELECT task_id FROM touched)"
        )


def _create_staged(connection: duckdb.DuckDBPyConnection, table: str) -> None:
    connection.execute(f"CREATE OR REPLACE TEMP TABLE staged AS FROM {table} LIMIT 0")


def _bring(
    tx: Transaction, connection: duckdb.DuckDBPyConnection, copy: Copy, query: Select[tuple[object, ...]], into: str
) -> int:
    """Copy rows in batches. One list per column and batch: a row at a time is fifty times slower."""
    count = 0
    insert = copy.insert_into(into)
    for batch in tx.execute(query.execution_options(yield_per=BATCH)).partitions():
        connection.execute(insert, [list(column) for column in zip(*batch, strict=True)])
        count += len(batch)
    return count


def _changed(
    tx: Transaction, connection: duckdb.DuckDBPyConnection, copy: Copy, since: Since
) -> Select[tuple[object, ...]]:
    """The rows that may have changed: by the time that they bear, and by a number that is new."""
    source = metadata.tables[copy.table]
    rows = copy.query.order_by(None)  # or SQLite would walk through the whole table in the order of its key
    if copy.table == "task_dependencies":
        tasks = metadata.tables["tasks"]
        recent = select(tasks.c.id).where(tasks.c.updated_at >= since.from_at)
        return rows.where(source.c.task_id.in_(recent))
    recent_rows = source.c[schema.APPEND_ONLY.get(copy.table, "updated_at")] >= since.from_at
    if copy.table not in schema.APPEND_ONLY:
        return rows.where(recent_rows)
    # On Postgres a row may be committed after one with a higher number, and bear the time of a call long before.
    late = 0 if tx.connection.dialect.name == "sqlite" else LATE_ROWS
    newest = connection.execute(f"SELECT coalesce(max(id), 0) FROM {copy.table}").fetchall()[0][0]  # noqa: S608 - names of our own
    return rows.where(or_(recent_rows, source.c.id > newest - late))


def _merge(
    connection: duckdb.DuckDBPyConnection, copy: Copy, *, older: str, same: str, parameters: Sequence[object]
) -> int:
    """Put the staged rows in the place of those with the same key; how many are new or other.

    A staged row is left out where the condition `older` holds of it and the row that is here, and where both have
    one mark while `same` holds: to write a row anew that has not changed would only make the file grow.
    """
    table, keys = copy.table, " AND ".join(f"{copy.table}.{name} = staged.{name}" for name in copy.key)
    # The bounds spare us most of the file: rows of one time have keys that lie together.
    first = copy.key[0]
    low, high = connection.execute(f"SELECT min({first}), max({first}) FROM staged").fetchall()[0]  # noqa: S608 - names of our own
    within = f"{table}.{first} BETWEEN ? AND ?"
    left_out = f"({older}) OR (staged.{copy.mark} = {table}.{copy.mark} AND ({same}))" if copy.mark else "TRUE"
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE fresh AS FROM staged WHERE NOT EXISTS ("  # noqa: S608 - names of our own
        f"SELECT 1 FROM {table} WHERE {keys} AND {within} AND ({left_out}))",
        [low, high, *(parameters if copy.mark else ())],
    )
    if copy.mark:
        connection.execute(
            f"DELETE FROM {table} WHERE {within} AND {first} IN (SELECT {first} FROM fresh)",  # noqa: S608 - names of our own
            [low, high],
        )
    connection.execute(f"INSERT INTO {table} FROM fresh")
    if (task_id := _TASK_OF.get(table)) is not None:
        connection.execute(f"INSERT INTO touched SELECT {task_id} FROM fresh WHERE {task_id} IS NOT NULL")  # noqa: S608 - names of our own
    if table == "model_calls":
        connection.execute(f"INSERT INTO touched_weeks SELECT DISTINCT NULL, {_CALL_WEEK} FROM fresh")  # noqa: S608 - names of our own
    return _count(connection, "fresh")


def _read_archive(connection: duckdb.DuckDBPyConnection, path: Path, copy: Copy) -> None:
    literal = "'" + str(path.absolute()).replace("'", "''") + "'"
    try:
        there = {row[0] for row in connection.execute(f"DESCRIBE FROM read_parquet({literal})").fetchall()}
        columns = ", ".join(name for name in copy.columns if name in there)
        connection.execute(f"INSERT INTO staged BY NAME SELECT {columns} FROM read_parquet({literal})")  # noqa: S608 - names of our own
    except duckdb.Error as error:
        reason = str(error).strip().partition("\n")[0]
        raise WarehouseError(
            f"{path}, a file of the archive, cannot be read: {reason}",
            hint="restore it from a backup, or move it away to publish without what it holds",
        ) from error


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])  # noqa: S608 - names of our own
