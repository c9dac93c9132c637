"""Questions to the published file, by people: read-only, shut off from the machine, bounded in rows, time and memory.

`read_only` alone would still let SQL read and write other files, see https://duckdb.org/docs/stable/operations_manual/securing_duckdb/overview.
What an answer is written to is `parquet`'s and the command's.
"""

import concurrent.futures
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TypeVar

import duckdb

from squire_pipelines.errors import QueryError, WarehouseError
from squire_pipelines.warehouse import files

MEMORY_LIMIT = 512 * 2**20
TIMEOUT_S = 30.0
BATCH = 1000
"""Rows of an answer that are in our own memory at once."""

_NAME = "warehouse"
_MAX_LINES = 6
_HEAL_WAIT_S = 2.0
_AGAIN_S = 0.05
_OPEN_TRIES = 5
_READING = frozenset({duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN, duckdb.StatementType.MULTI})
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class QueryResult:
    """The first rows of an answer; `truncated` when there are more. Times are aware and in UTC, JSON is text."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    truncated: bool


class Answer:
    """An answer that is read bit by bit. `types` are DuckDB's names of the columns' types."""

    def __init__(self, session: "Session", timeout_s: float) -> None:
        self._session = session
        self._left_s = timeout_s
        self._timeout_s = timeout_s
        self.columns: tuple[str, ...] = ()
        self.types: tuple[str, ...] = ()

    def start(self, statement: duckdb.Statement) -> None:
        """Run the statement up to its first rows. Raises QueryError."""
        connection = self._session.connection
        self._in_time(lambda: connection.execute(statement))
        described = connection.description or []
        self.columns = tuple(column[0] for column in described)
        self.types = tuple(str(column[1]) for column in described)

    def fetch(self, count: int) -> list[tuple[Any, ...]]:
        """The next rows, at most `count`; none at the end. Raises QueryError."""
        connection = self._session.connection
        found = self._in_time(lambda: connection.fetchmany(count))
        return [tuple(_plain(value) for value in row) for row in found]

    def batches(self, limit: int | None = None) -> Iterator[list[tuple[Any, ...]]]:
        """All rows, or the first `limit` of them, `BATCH` at a time. Raises QueryError."""
        left = limit
        while left is None or left > 0:
            rows = self.fetch(BATCH if left is None else min(BATCH, left))
            if not rows:
                return
            yield rows
            left = None if left is None else left - len(rows)

    def _in_time(self, call: Callable[[], _Result]) -> _Result:
        # Only the engine's own time counts: a person who reads page by page is not too slow.
        started = time.monotonic()
        try:
            return self._session.watched(call, self._left_s)
        except duckdb.InterruptException as error:
            raise QueryError(
                f"the query took longer than {self._timeout_s:g} s", hint="narrow it down, or allow it more time"
            ) from error
        except duckdb.Error as error:
            raise _query_error(error) from error
        finally:
            self._left_s -= time.monotonic() - started


class Session:
    """The published file, opened once, for one question after the other. Not for several threads at once.

    Raises:
        WarehouseError: Nothing has been published yet, or the file cannot be read.
    """

    def __init__(self, path: Path, *, memory_limit: int = MEMORY_LIMIT) -> None:
        self.path = path
        self.connection = _open(path, memory_limit)
        # Questions run in a thread of their own, so that the caller's may break them off, by time or by Ctrl-C.
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
        """The statements of `sql`. Raises QueryError when it cannot be read."""
        try:
            return self.connection.extract_statements(sql)
        except duckdb.Error as error:
            raise _query_error(error) from error

    def ask(self, question: str | duckdb.Statement, *, timeout_s: float = TIMEOUT_S) -> Answer:
        """Answer one question; the answer before ends with it.

        Args:
            question: One statement that reads: SELECT, FROM, WITH, VALUES, PIVOT, DESCRIBE, SHOW, SUMMARIZE or
                EXPLAIN. Several are refused.
            timeout_s: After this many seconds of work the query is broken off.

        Raises:
            QueryError: The statement is wrong, is none that reads, or took too long; with the engine's words.
        """
        statement = self._one_statement(question) if isinstance(question, str) else question
        kind = _kind(statement)
        if kind not in _READING:
            raise QueryError(
                f"a query may only read, this is {'of another kind' if kind is None else kind.name}",
                hint="start with SELECT, FROM, DESCRIBE, SHOW, SUMMARIZE or EXPLAIN",
            )
        answer = Answer(self, timeout_s)
        answer.start(statement)
        return answer

    def watched(self, call: Callable[[], _Result], within_s: float) -> _Result:
        """What `call` on the connection returns; it is broken off after `within_s` seconds, or by Ctrl-C.

        Raises:
            duckdb.InterruptException: The time was over.
        """
        under_way = self._engine.submit(call)
        try:
            return under_way.result(timeout=max(0.0, within_s))
        except concurrent.futures.TimeoutError:
            self._break_off(under_way)
            return under_way.result()
        except KeyboardInterrupt:
            self._break_off(under_way)
            raise

    def _break_off(self, under_way: "concurrent.futures.Future[Any]") -> None:
        # Again and again, since an interruption that comes just before the query begins is forgotten.
        while not under_way.done():
            self.connection.interrupt()
            concurrent.futures.wait([under_way], timeout=_AGAIN_S)

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
    """Answer one question with at most `limit` rows; see `Session.ask`.

    Args:
        path: The warehouse's file.
        sql: One statement that reads.
        limit: The most rows that are returned.
        timeout_s: After this many seconds the query is broken off.
        memory_limit: Bytes; what needs more fails, nothing is spilled to the disk.

    Raises:
        QueryError: The statement is wrong, is none that reads, or took too long; with the engine's words.
        WarehouseError: Nothing has been published yet, or the file cannot be read.
    """
    with Session(path, memory_limit=memory_limit) as session:
        answer = session.ask(sql, timeout_s=timeout_s)
        found = answer.fetch(limit + 1)
        return QueryResult(answer.columns, tuple(found[:limit]), truncated=len(found) > limit)


def _open(path: Path, memory_limit: int) -> duckdb.DuckDBPyConnection:
    with ExitStack() as stack:
        connection = stack.enter_context(closing(attached(path, memory_limit)))
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        stack.pop_all()  # nothing failed: the caller closes it
    return connection


def attached(path: Path, memory_limit: int, *, spill: Path | None = None) -> duckdb.DuckDBPyConnection:
    """A connection that reads the published file and is not shut off from the machine: for SQL of our own alone.

    Args:
        path: The warehouse's file.
        memory_limit: Bytes.
        spill: Where the engine may write what does not fit; without it, what does not fit fails.

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
    connection = duckdb.connect(
        config={
            "memory_limit": f"{memory_limit}B",
            "temp_directory": "" if spill is None else str(spill),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "python_enable_replacements": False,  # a name in a query is never one of our variables
        }
    )
    with ExitStack() as stack:
        stack.callback(connection.close)
        try:
            _attach_one_state(connection, path)
            connection.execute(f"USE {_NAME}")
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("SET enable_progress_bar = false")  # it would be written into the answer
        except (duckdb.Error, OSError) as error:
            message = f"the warehouse {path} cannot be read: {_first_lines(error)}"
            hint = "publish it again: `squire history publish`"
            if "lock" in str(error):
                hint = f"another program has it open for writing: close it, or {hint}"
            raise WarehouseError(message, hint=hint) from error
        stack.pop_all()  # nothing failed: the caller closes it
    return connection


def _attach_one_state(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Attach the file as it was from the first of DuckDB's openings of it to the last, see `files.pad_to_size`."""
    for tries_left in reversed(range(_OPEN_TRIES)):
        mark = files.mark_of(path)
        try:
            _attach(connection, path)
        except duckdb.Error:
            if not tries_left or files.mark_of(path) == mark:
                raise
        else:
            if not tries_left or files.mark_of(path) == mark:
                return
            connection.execute(f"DETACH {_NAME}")


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
            files.quarantine_wals(path)
        connection.execute(attach)


def _kind(statement: duckdb.Statement) -> duckdb.StatementType | None:
    try:
        return statement.type
    except ValueError:  # one that the engine knows and its Python does not, such as UPDATE EXTENSIONS
        return None


def _query_error(error: duckdb.Error) -> QueryError:
    words, found, place = str(error).partition("\nLINE ")
    lines = [line for line in words.splitlines() if line.strip()]
    message = "\n".join(lines[:_MAX_LINES]) or type(error).__name__
    # The line at fault and the marks below it.
    return QueryError(message, hint=_hint(error), place="\n".join(f"LINE {place}".splitlines()[:2]) if found else "")


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
