"""Copies all rows of a ledger into an empty one, in one transaction on each side, whichever databases the two are in.

Both have the newest schema. The counters by which a database numbers its rows go along, so that the number of a row
that was deleted is not given out again.
"""

from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import Table, func, insert, select, text

from squire_pipelines.errors import LedgerError, RefusedError
from squire_pipelines.ledger import HEAD_REVISION
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.ledger.tables import metadata

ROWS_AT_ONCE = 1000
Progress = Callable[[int, int], None]
"""Called after some rows: rows done, rows in all."""


def copy_rows(source: Ledger, target: Ledger, *, progress: Progress | None = None) -> int:
    """Copy every row as one moment has it, and return how many there are.

    Args:
        source: It may be in use.
        target: Has the schema and no rows.
        progress: See `Progress`.

    Raises:
        LedgerError: The source has another schema, or one of the two does not answer.
        RefusedError: The target has rows.
    """
    done = 0
    with source.read() as origin:
        revision = origin.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
        if revision != HEAD_REVISION:
            raise LedgerError(
                f"the ledger {source.describe()} has schema {revision}, this Squire needs {HEAD_REVISION}",
                hint="use the Squire that wrote it, or start this one once, which upgrades the ledger",
            )
        total = sum(count_rows(origin, table) for table in metadata.sorted_tables)

        def count(_table: Table, rows: list[dict[str, Any]]) -> None:
            nonlocal done
            done += len(rows)
            if progress is not None:
                progress(done, total)

        with target.rebuild() as tx:
            refuse_filled(tx, target)
            copy_tables(origin, tx, prepare=count)
    return done


def copy_tables(
    origin: Transaction, tx: Transaction, *, prepare: Callable[[Table, list[dict[str, Any]]], None]
) -> None:
    """Copy the rows of all tables into empty ones, and the counters by which their rows are numbered.

    Args:
        origin: Of the ledger that has them.
        tx: Of the other one; references may be to rows that come later.
        prepare: Called with some rows of a table before they are written; it may change them.
    """
    for table in metadata.sorted_tables:
        for rows in read_rows(origin, table):
            prepare(table, rows)
            tx.execute(insert(table), rows)
    for table in metadata.sorted_tables:
        _hand_on_counter(origin, tx, table)


def refuse_filled(tx: Transaction, target: Ledger) -> None:
    """Raise RefusedError when any table has a row."""
    for table in metadata.sorted_tables:
        if tx.execute(select(1).select_from(table).limit(1)).first() is not None:
            raise RefusedError(
                f"the ledger {target.describe()} has rows in {table.name}",
                hint="name an empty database in ledger_url; nothing was changed",
            )


def count_rows(tx: Transaction, table: Table) -> int:
    """Return how many rows a table has."""
    return int(tx.execute(select(func.count()).select_from(table)).scalar_one())


def read_rows(tx: Transaction, table: Table) -> Iterator[list[dict[str, Any]]]:
    """Return the table's rows, some at a time, for which the server keeps a cursor."""
    query = select(table).order_by(*table.primary_key.columns)
    result = tx.connection.execute(query, execution_options={"yield_per": ROWS_AT_ONCE})
    return ([dict(row) for row in rows] for rows in result.mappings().partitions())


def _numbered_by(table: Table) -> str | None:
    """Return the column that the database numbers; None where there is none."""
    column = table.autoincrement_column
    return None if column is None else column.name


def _hand_on_counter(origin: Transaction, tx: Transaction, table: Table) -> None:
    """Set the counter of the target's table to the highest number that the source's ever gave out."""
    column = _numbered_by(table)
    if column is None:
        return
    last = _last_number(origin, table, column)
    if not last:
        return
    if tx.connection.dialect.name == "sqlite":
        if table.dialect_options["sqlite"]["autoincrement"]:
            tx.execute(text("DELETE FROM sqlite_sequence WHERE name = :name"), {"name": table.name})
            values = {"name": table.name, "last": last}
            tx.execute(text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :last)"), values)
        return
    sequence = _sequence(tx, table, column)
    if sequence is not None:
        tx.execute(text("SELECT setval(:sequence, :last)"), {"sequence": sequence, "last": last})


def _last_number(tx: Transaction, table: Table, column: str) -> int:
    highest = int(tx.execute(select(func.coalesce(func.max(table.c[column]), 0))).scalar_one())
    if tx.connection.dialect.name == "sqlite":
        query = text("SELECT seq FROM sqlite_sequence WHERE name = :name")
        return max(highest, int(tx.execute(query, {"name": table.name}).scalar() or 0))
    sequence = _sequence(tx, table, column)
    if sequence is None:
        return highest
    last, is_used = tx.execute(text(f"SELECT last_value, is_called FROM {sequence}")).one()  # noqa: S608 - the server's name
    return max(highest, int(last) if is_used else 0)


def _sequence(tx: Transaction, table: Table, column: str) -> str | None:
    names = {"table": table.name, "column": column}
    name = tx.execute(text("SELECT pg_get_serial_sequence(:table, :column)"), names).scalar_one()
    return None if name is None else str(name)
