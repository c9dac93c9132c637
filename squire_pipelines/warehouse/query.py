"""Questions to the published file, by people: read-only, shut off from the machine, bounded in rows, time and memory.

`read_only` alone would still let SQL read and write other files, see https://duckdb.org/docs/stable/operations_manual/securing_duckdb/overview.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from squire_pipelines.errors import QueryError, WarehouseError
from squire_pipelines.warehouse import files

MEMORY_LIMIT = 512 * 2**20
_NAME = "warehouse"
_MAX_LINES = 6
_HEAL_WAIT_S = 2.0
_AGAIN_S = 0.05
_READING = frozenset({duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN, duckdb.StatementType.MULTI})


@dataclass(frozen=True, slots=True)
class QueryResult:
    """The first rows of an answer; `truncated` when there are more. Times are aware and in UTC, JSON is text."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    truncated: bool


@dataclass(frozen=True, slots=True)
class PublishedState:
    """What the published file is: the newest event in it, when the ledger was read, and the version of its schema."""

    watermark: int
    published_at: datetime
    schema_version: int


def run_query(
    path: Path, sql: str, *, limit: int = 1000, timeout_s: float = 30, memory_limit: int = MEMORY_LIMIT
) -> QueryResult:
    """Answer one question.

    Args:
        path: The warehouse's file.
        sql: One statement that reads: SELECT, FROM, WITH, VALUES, PIVOT, DESCRIBE, SHOW, SUMMARIZE or EXPLAIN.
            Several are refused.
        limit: The most rows that are returned.
        timeout_s: After this many seconds the query is broken off.
        memory_limit: Bytes; what needs more fails, nothing is spilled to the disk.

    Raises:
        QueryError: The statement is wrong, is none that reads, or took too long; with the engine's words.
        WarehouseError: Nothing has been published yet, or the file cannot be read.
    """
    with _opened(path, memory_limit) as connection:
        try:
            statement = _one_statement(connection, sql)
            with _interrupted_after(connection, timeout_s):
                connection.execute(statement)
                found = connection.fetchmany(limit + 1)
        except duckdb.InterruptException as error:
            message = f"the query took longer than {timeout_s:g} s"
            raise QueryError(message, hint="narrow it down, or allow it more time") from error
        except duckdb.Error as error:
            raise QueryError(_first_lines(error), hint=_hint(error)) from error
        columns = tuple(column[0] for column in connection.description or ())
    rows = tuple(tuple(_plain(value) for value in row) for row in found[:limit])
    return QueryResult(columns, rows, truncated=len(found) > limit)


def published_state(path: Path) -> PublishedState | None:
    """What is published at `path`, None when nothing is. Raises WarehouseError when it cannot be read."""
    if not path.exists():
        return None
    result = run_query(path, "SELECT watermark, published_at, schema_version FROM _publication")
    return PublishedState(*result.rows[0])


@contextmanager
def _opened(path: Path, memory_limit: int) -> Iterator[duckdb.DuckDBPyConnection]:
    if not path.is_file():
        message = "nothing has been published yet"
        raise WarehouseError(message, hint="`squire history publish` publishes the ledger", context={"path": str(path)})
    # The file is attached to an instance of its own: DuckDB shares one per path within a process, which would show
    # the old file for as long as another thread has it open.
    with duckdb.connect(
        config={
            "memory_limit": f"{memory_limit}B",
            "temp_directory": "",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
    ) as connection:
        try:
            _attach(connection, path)
        except (duckdb.Error, OSError) as error:
            message = f"the warehouse {path} cannot be read: {_first_lines(error)}"
            hint = "publish it again: `squire history publish`"
            if "lock" in str(error):
                hint = f"another program has it open for writing: close it, or {hint}"
            raise WarehouseError(message, hint=hint) from error
        connection.execute(f"USE {_NAME}")
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        yield connection


def _attach(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    literal = str(path.absolute()).replace("'", "''")
    attach = f"ATTACH '{literal}' AS {_NAME} (READ_ONLY)"
    try:
        connection.execute(attach)
    except duckdb.Error as error:
        if "WAL" not in str(error):
            raise
        # A read-write client that had the file before open has left its log beside this one, which it is not of.
        with files.publication_lock(path, wait_s=_HEAL_WAIT_S):
            files.set_wals_aside(path)
        connection.execute(attach)


def _one_statement(connection: duckdb.DuckDBPyConnection, sql: str) -> duckdb.Statement:
    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        message = "the query is empty" if not statements else f"the query has {len(statements)} statements"
        raise QueryError(message, hint="write one statement")
    statement = statements[0]
    if statement.type not in _READING:
        message = f"a query may only read, this is {statement.type.name}"
        raise QueryError(message, hint="start with SELECT, FROM, DESCRIBE, SHOW, SUMMARIZE or EXPLAIN")
    return statement


@contextmanager
def _interrupted_after(connection: duckdb.DuckDBPyConnection, timeout_s: float) -> Iterator[None]:
    done = threading.Event()

    def watch() -> None:
        # Again and again, since an interruption that comes just before the query begins is forgotten.
        wait_s = timeout_s
        while not done.wait(wait_s):
            connection.interrupt()
            wait_s = _AGAIN_S

    watcher = threading.Thread(target=watch, name="query-timeout", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _first_lines(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return "\n".join(lines[:_MAX_LINES])


def _hint(error: duckdb.Error) -> str:
    if isinstance(error, duckdb.PermissionException):
        return "queries see the warehouse and nothing else of this machine"
    if isinstance(error, duckdb.CatalogException | duckdb.BinderException):
        return "`SHOW TABLES` and `DESCRIBE <table>` tell what there is"
    if isinstance(error, duckdb.OutOfMemoryException):
        return "narrow it down: aggregate, or name fewer columns"
    return ""


def _plain(value: Any) -> Any:
    return value.astimezone(UTC) if isinstance(value, datetime) and value.tzinfo is not None else value
