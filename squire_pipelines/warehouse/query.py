"""Runs queries on the published file: read-only, shut off from the machine, limited in time and memory.

The limits are the engine's own, which keeps them for what it expects. People's queries run in a child of the process,
see `query_process`; this is what the child does, and what runs queries of our own.

`read_only` alone would still let SQL read and write other files, see https://duckdb.org/docs/stable/operations_manual/securing_duckdb/overview.
Where the rows are written is for `parquet` and the commands.
"""

import concurrent.futures
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import duckdb

from squire_pipelines.errors import QueryError, WarehouseError
from squire_pipelines.warehouse import engine, files
from squire_pipelines.warehouse.answers import MEMORY_LIMIT, TIMEOUT_S, Answer, in_utc, too_slow

_NAME = "warehouse"
_MAX_LINES = 6
_LOCK_WAIT_S = 2.0
_INTERRUPT_EVERY_S = 0.05
_OPEN_TRIES = 5
_READING = frozenset({duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN, duckdb.StatementType.MULTI})
_Result = TypeVar("_Result")
Attach = Callable[[duckdb.DuckDBPyConnection, Path], None]


@dataclass(frozen=True, slots=True)
class QueryResult:
    """The first rows of a result; `truncated` when there are more. Times are aware and in UTC, JSON is text."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    truncated: bool


class QueryCursor(Answer):
    """A result that is read in parts."""

    def __init__(self, session: "QuerySession", statement: duckdb.Statement, timeout_s: float) -> None:
        self._session = session
        self._remaining_s = timeout_s
        self._timeout_s = timeout_s
        self._run(lambda: session.connection.execute(statement))
        description = session.connection.description or []
        self.columns = tuple(str(column[0]) for column in description)
        self.types = tuple(str(column[1]) for column in description)

    def fetch(self, count: int) -> list[tuple[Any, ...]]:
        """Return the next rows, at most `count`; none at the end. Raises QueryError."""
        rows = self._run(lambda: self._session.connection.fetchmany(count))
        return [tuple(in_utc(value) for value in row) for row in rows]

    def _run(self, call: Callable[[], _Result]) -> _Result:
        # Only the engine's own time counts: a person who reads page by page is not too slow.
        started = time.monotonic()
        try:
            return self._session.run_for(self._remaining_s, call)
        except duckdb.InterruptException as error:
            raise too_slow(self._timeout_s) from error
        except duckdb.Error as error:
            raise _query_error(error) from error
        finally:
            self._remaining_s -= time.monotonic() - started


class QuerySession:
    """The published file, opened once for several queries, one after the other. Not for several threads at once.

    Args:
        path: The warehouse's file.
        memory_limit: Bytes; a query that needs more fails, nothing is spilled to the disk.
        attach: Attaches the file to the engine, see `attach_file`.

    Raises:
        WarehouseError: Nothing has been published yet, or the file cannot be read.
    """

    def __init__(self, path: Path, *, memory_limit: int = MEMORY_LIMIT, attach: Attach | None = None) -> None:
        self.path = path
        self.connection = open_published(path, memory_limit, attach=attach)
        # These cannot fail, so that nothing has to be closed here.
        self.connection.execute("SET enable_external_access = false")
        self.connection.execute("SET lock_configuration = true")
        # Queries run in a thread of their own, so that the caller's can interrupt them, by time or by Ctrl-C.
        self._engine = concurrent.futures.ThreadPoolExecutor(max_workers=1, thread_name_prefix="warehouse-query")

    def close(self) -> None:
        """Close the file."""
        self._engine.shutdown()
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def statements(self, sql: str) -> list[duckdb.Statement]:
        """Return the statements of `sql`. Raises QueryError when it cannot be parsed."""
        try:
            return self.connection.extract_statements(sql)
        except duckdb.Error as error:
            raise _query_error(error) from error

    def execute(self, query: str | duckdb.Statement, *, timeout_s: float = TIMEOUT_S) -> QueryCursor:
        """Run one query; the result of the one before ends with it.

        Args:
            query: One statement that reads: SELECT, FROM, WITH, VALUES, PIVOT, DESCRIBE, SHOW, SUMMARIZE or EXPLAIN.
                Several statements are refused.
            timeout_s: After this many seconds of work the query is interrupted.

        Raises:
            QueryError: The statement is wrong, does not read, or took too long; with the engine's words.
        """
        statement = self._one_statement(query) if isinstance(query, str) else query
        kind = _kind(statement)
        if kind not in _READING:
            raise QueryError(
                f"a query may only read, this is {'of another kind' if kind is None else kind.name}",
                hint="start with SELECT, FROM, DESCRIBE, SHOW, SUMMARIZE or EXPLAIN",
            )
        return QueryCursor(self, statement, timeout_s)

    def run_for(self, seconds: float, call: Callable[[], _Result]) -> _Result:
        """Return what `call` on the connection returns; it is interrupted after so many seconds, or by Ctrl-C.

        Raises:
            duckdb.InterruptException: The time was over.
        """
        future = self._engine.submit(call)
        try:
            return future.result(timeout=max(0.0, seconds))
        except concurrent.futures.TimeoutError:
            self._interrupt(future)
            return future.result()
        except KeyboardInterrupt:
            self._interrupt(future)
            raise

    def _interrupt(self, future: "concurrent.futures.Future[Any]") -> None:
        # Repeatedly, since an interruption just before the query begins is lost.
        while not future.done():
            self.connection.interrupt()
            concurrent.futures.wait([future], timeout=_INTERRUPT_EVERY_S)

    def _one_statement(self, sql: str) -> duckdb.Statement:
        statements = self.statements(sql)
        if len(statements) != 1:
            raise QueryError(
                "the query is empty" if not statements else f"the query has {len(statements)} statements",
                hint="write one statement",
            )
        return statements[0]


def run_query(
    path: Path, sql: str, *, limit: int = 1000, timeout_s: float = TIMEOUT_S, memory_limit: int = MEMORY_LIMIT
) -> QueryResult:
    """Run one query and return at most `limit` rows; see `QuerySession` and its `execute`."""
    with QuerySession(path, memory_limit=memory_limit) as session:
        cursor = session.execute(sql, timeout_s=timeout_s)
        rows = cursor.fetch(limit + 1)
        return QueryResult(cursor.columns, tuple(rows[:limit]), truncated=len(rows) > limit)


def open_published(
    path: Path, memory_limit: int, *, spill: Path | None = None, attach: Attach | None = None
) -> duckdb.DuckDBPyConnection:
    """Return a connection that reads the published file and has access to the machine: for SQL of our own alone.

    Args:
        path: The warehouse's file.
        memory_limit: Bytes.
        spill: Where the engine may write what does not fit into memory; without it, such a query fails.
        attach: Attaches the file to the engine; `attach_file` by default.

    Raises:
        WarehouseError: Nothing has been published yet, or the file cannot be read.
    """
    if not path.is_file():
        raise WarehouseError(
            "nothing has been published yet",
            hint="`squire history publish` publishes the ledger",
            context={"path": str(path)},
        )
    # The file is attached to an instance of its own: DuckDB shares one per path within a process, which would show
    # the old file for as long as another thread has it open.
    connection = engine.connect(memory_limit=memory_limit, spill=spill)
    with ExitStack() as stack:
        stack.callback(connection.close)
        try:
            _attach_consistently(connection, path, attach or attach_file)
            connection.execute(f"USE {_NAME}")
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("SET enable_progress_bar = false")  # it would be written into the output
        except (duckdb.Error, OSError) as error:
            hint = "publish it again: `squire history publish`"
            if "lock" in str(error):
                hint = f"another program has it open for writing: close it, or {hint}"
            raise WarehouseError(
                f"the warehouse {path} cannot be read: {_first_lines(str(error))}", hint=hint
            ) from error
        stack.pop_all()  # nothing failed: the caller closes it
    return connection


def _attach_consistently(connection: duckdb.DuckDBPyConnection, path: Path, attach: Attach) -> None:
    """Attach the file; again if it was replaced between DuckDB's two openings of it, see `files.pad_to_size`."""
    for tries_left in reversed(range(_OPEN_TRIES)):
        identity = files.identity(path)
        try:
            attach(connection, path)
        except duckdb.Error:
            if not tries_left or files.identity(path) == identity:
                raise
        else:
            if not tries_left or files.identity(path) == identity:
                return
            connection.execute(f"DETACH {_NAME}")


def attach_file(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Attach the file read-only. A write-ahead log that a read-write client left beside it is moved away."""
    attach = f"ATTACH {engine.literal(path)} AS {_NAME} (READ_ONLY)"
    try:
        connection.execute(attach)
    except duckdb.Error as error:
        if "WAL" not in str(error):
            raise
        # The log is not this file's: the client had the previous one open.
        with files.publication_lock(path, wait_s=_LOCK_WAIT_S):
            files.quarantine_wals(path)
        connection.execute(attach)


def _kind(statement: duckdb.Statement) -> duckdb.StatementType | None:
    try:
        return statement.type
    except ValueError:  # one that the engine knows and its Python does not, such as UPDATE EXTENSIONS
        return None


def _query_error(error: duckdb.Error) -> QueryError:
    words, line, place = str(error).partition("\nLINE ")
    # The wrong line and the marks below it.
    place = "\n".join(f"LINE {place}".splitlines()[:2]) if line else ""
    return QueryError(_first_lines(words) or type(error).__name__, hint=_hint(error), place=place)


def _first_lines(text: str) -> str:
    return "\n".join([line for line in text.splitlines() if line.strip()][:_MAX_LINES])


def _hint(error: duckdb.Error) -> str:
    if isinstance(error, duckdb.PermissionException):
        return "queries can read the warehouse and nothing else on this machine"
    if isinstance(error, duckdb.CatalogException | duckdb.BinderException):
        return "`SHOW TABLES` and `DESCRIBE <table>` list what there is"
    if isinstance(error, duckdb.OutOfMemoryException):
        return "narrow it down: aggregate, or name fewer columns"
    return ""
