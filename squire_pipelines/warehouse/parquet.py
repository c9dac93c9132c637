"""An answer as one Parquet file. The rows leave the shut-off engine through us, and a second one writes them.

The query itself never gets near the file: the engine that writes it knows the rows and nothing of the query.
"""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from squire_pipelines.errors import WarehouseError
from squire_pipelines.files import put_in_place
from squire_pipelines.warehouse.query import MEMORY_LIMIT, Answer

FORMAT = "FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 20480"
"""How all our files are written. A group is held in memory while it is written, so that it must not be large."""

SPILL_FACTOR = 64
"""How many times the memory limit the rows may take on the disk while the file is written."""

# Parquet has no integers of 128 bits: DuckDB would make them floats, and the sum of integers is one.
_WRITTEN_AS = {"HUGEINT": "DECIMAL(38,0)", "UHUGEINT": "VARCHAR", '"NULL"': "VARCHAR"}


def write_parquet(
    answer: Answer,
    columns: tuple[str, ...],
    target: Path,
    *,
    limit: int | None = None,
    memory_limit: int = MEMORY_LIMIT,
) -> int:
    """Write the rows of `answer` to `target`, which appears whole or not at all, and return how many they are.

    Args:
        answer: Read to its end, or to `limit`.
        columns: What the columns are called in the file; no two alike, whatever the case of their letters.
        target: Replaced if it is there.
        limit: The most rows.
        memory_limit: Bytes for the engine that writes; rows beyond lie in a file beside `target` meanwhile.

    Raises:
        QueryError: The query failed on the way.
        WarehouseError: The file cannot be written.
    """
    try:
        with _room(target) as room:
            built = room / "answer.parquet"
            with duckdb.connect(str(room / "rows.duckdb"), config=_config(room, memory_limit)) as connection:
                # Names and types are the query's own words: this engine may write one file and no other.
                connection.execute("SET enable_progress_bar = false")
                connection.execute(f"SET allowed_paths = [{_literal(built)}]")
                connection.execute("SET enable_external_access = false")
                connection.execute("SET lock_configuration = true")
                types = [_WRITTEN_AS.get(kind, kind) for kind in answer.types]
                named = ", ".join(f"{_quoted(name)} {kind}" for name, kind in zip(columns, types, strict=True))
                connection.execute(f"CREATE TABLE answer ({named})")
                insert = "INSERT INTO answer SELECT " + ", ".join(f"unnest(?::{kind}[])" for kind in types)
                count = 0
                for rows in answer.batches(limit):
                    connection.execute(insert, [list(column) for column in zip(*rows, strict=True)])
                    count += len(rows)
                connection.execute(f"COPY answer TO {_literal(built)} ({FORMAT})")
            put_in_place(built, target)
    except (duckdb.Error, OSError) as error:
        raise cannot_write(target, error) from error
    return count


def cannot_write(target: Path | str, error: Exception) -> WarehouseError:
    """The error that says so."""
    reason = str(getattr(error, "strerror", None) or error).strip().partition("\n")[0]
    hint = "check that its folder is there, that you may write to it, and that the disk has room"
    if isinstance(error, duckdb.OutOfMemoryException):
        hint = "name fewer columns, or take long texts apart"
    return WarehouseError(f"{target} cannot be written: {reason}", hint=hint)


@contextmanager
def _room(target: Path) -> Iterator[Path]:
    """A folder beside `target` for what is built; gone in the end."""
    if target.is_dir():
        raise IsADirectoryError(None, "it is a folder")
    room = target.absolute().with_name(f".{target.name}.{secrets.token_hex(4)}.building")
    room.mkdir(mode=0o700)
    try:
        yield room
    finally:
        shutil.rmtree(room)


def _config(room: Path, memory_limit: int) -> dict[str, str | bool | int | float | list[str]]:
    return {
        "memory_limit": f"{memory_limit}B",
        "threads": 1,
        "temp_directory": str(room / "spill"),
        "max_temp_directory_size": f"{memory_limit * SPILL_FACTOR}B",
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "python_enable_replacements": False,
    }


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
