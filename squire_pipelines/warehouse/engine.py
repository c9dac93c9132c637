"""Opens DuckDB with our limits, and translates paths and errors. The SQL belongs to the other modules."""

from pathlib import Path
from typing import Any

import duckdb


def connect(
    database: Path | None = None,
    *,
    memory_limit: int,
    spill: Path | None = None,
    spill_limit: int | None = None,
    threads: int | None = None,
) -> duckdb.DuckDBPyConnection:
    """Open a database, or an empty one in memory.

    Args:
        database: The file; created if needed.
        memory_limit: Bytes.
        spill: Where the engine may write what does not fit into memory; without it, such a statement fails.
        spill_limit: The most bytes that it may write there.
        threads: How many threads may work; by default one for each processor.
    """
    config: dict[str, Any] = {
        "memory_limit": f"{memory_limit}B",
        "temp_directory": "" if spill is None else str(spill),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "python_enable_replacements": False,  # a name in a query is never one of our variables
    }
    if spill_limit is not None:
        config["max_temp_directory_size"] = f"{spill_limit}B"
    if threads is not None:
        config["threads"] = threads
    return duckdb.connect(":memory:" if database is None else str(database), config=config)


def literal(path: Path) -> str:
    """Return the path as a string in SQL."""
    return "'" + str(path.absolute()).replace("'", "''") + "'"


def reason(error: Exception) -> str:
    """Return why something failed, in one line: the system's or the engine's words, or else the error's name."""
    text = str(getattr(error, "strerror", None) or error).strip()
    return text.partition("\n")[0] or type(error).__name__
