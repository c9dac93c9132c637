"""Writes the rows of a query to one Parquet file. We read them from one engine, and a second engine writes them.

The query has no access to the file: the engine that writes it gets the rows and knows nothing of the query.
"""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from squire_pipelines.errors import WarehouseError
from squire_pipelines.files import put_in_place
from squire_pipelines.warehouse import engine
from squire_pipelines.warehouse.answers import MEMORY_LIMIT, Answer

FORMAT = "FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 20480"
"""The format of all our files. A row group is held in memory while it is written, so that it must not be large."""

SPILL_FACTOR = 64
"""How many times the memory limit the rows may occupy on the disk while the file is written."""

# Parquet has no integers of 128 bits: DuckDB would make them floats, and the sum of integers is one.
_WRITTEN_AS = {"HUGEINT": "DECIMAL(38,0)", "UHUGEINT": "VARCHAR", '"NULL"': "VARCHAR"}


def write_parquet(
    cursor: Answer,
    columns: tuple[str, ...],
    target: Path,
    *,
    limit: int | None = None,
    memory_limit: int = MEMORY_LIMIT,
) -> int:
    """Write the rows of `cursor` to `target`, which appears whole or not at all, and return how many there are.

    Args:
        cursor: Read to its end, or to `limit`.
        columns: The names of the columns in the file; they must differ in more than upper and lower case.
        target: Replaced if it is there.
        limit: The most rows.
        memory_limit: Bytes for the engine that writes; what does not fit is in a file beside `target` meanwhile.

    Raises:
        QueryError: The query failed on the way.
        WarehouseError: The file cannot be written.
    """
    try:
        with _work_folder(target) as folder:
            built = folder / "rows.parquet"
            with engine.connect(
                folder / "rows.duckdb",
                memory_limit=memory_limit,
                spill=folder / "spill",
                spill_limit=memory_limit * SPILL_FACTOR,
                threads=1,
            ) as connection:
                # Names and types come from the query, so that this engine may write one file and no other.
                connection.execute("SET enable_progress_bar = false")
                connection.execute(f"SET allowed_paths = [{engine.literal(built)}]")
                connection.execute("SET enable_external_access = false")
                connection.execute("SET lock_configuration = true")
                types = [_WRITTEN_AS.get(kind, kind) for kind in cursor.types]
                named = ", ".join(f"{_quoted(name)} {kind}" for name, kind in zip(columns, types, strict=True))
                connection.execute(f"CREATE TABLE result ({named})")
                insert = "INSERT INTO result SELECT " + ", ".join(f"unnest(?::{kind}[])" for kind in types)
                count = 0
                for rows in cursor.batches(limit):
                    connection.execute(insert, [list(column) for column in zip(*rows, strict=True)])
                    count += len(rows)
                connection.execute(f"COPY result TO {engine.literal(built)} ({FORMAT})")
            put_in_place(built, target)
    except (duckdb.Error, OSError) as error:
        raise cannot_write(target, error) from error
    return count


def cannot_write(target: Path | str, error: Exception) -> WarehouseError:
    """Return the error that says that `target` cannot be written, and what to do."""
    hint = "check that its folder is there, that you may write to it, and that the disk has room"
    if isinstance(error, duckdb.OutOfMemoryException):
        hint = "name fewer columns, or shorten long texts"
    return WarehouseError(f"{target} cannot be written: {engine.reason(error)}", hint=hint)


@contextmanager
def _work_folder(target: Path) -> Iterator[Path]:
    """Yield a folder beside `target`, which is removed in the end."""
    if target.is_dir():
        raise IsADirectoryError(None, "it is a folder")
    folder = target.absolute().with_name(f".{target.name}.{secrets.token_hex(4)}.building")
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
