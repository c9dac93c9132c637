"""Sets up the connections to an SQLite ledger, and lets transactions that write begin with a fair chance for each.

SQLite's own busy handler waits longer the longer it has waited, so that a newcomer always wins: with four processes
that write without pause one of them waited 4.7 s. Here a process that waits tries again after a short random pause, so
that all have the same chance each time.
"""

import random
import sqlite3
import time
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DisconnectionError

from squire_pipelines.errors import RefusedError
from squire_pipelines.home import why_not_writable
from squire_pipelines.metrics import counting as metrics
from squire_pipelines.metrics import families

WRITE = "squire_write"
"""Execution option: the transaction writes, and takes the lock when it begins."""

REBUILD = "squire_rebuild"
"""Execution option: the transaction copies tables, which references to them must not notice."""

ALONE = "squire_alone"
"""Execution option: the transaction begins only where no other connection is open, and keeps out all until it ends."""

MAX_WAL_BYTES = 64 * 2**20
_ALONE_MS = 1000
_PAUSE_S = (0.0003, 0.003)


def prepare(engine: Engine, *, busy_timeout_s: float, may_be_ours: Callable[[Collection[str]], bool]) -> None:
    """Make all connections of `engine` durable, checked and fair. A file that is not ours is left as it is."""
    path = engine.url.database or ""

    def connecting(_dialect: object, record: Any, arguments: list[object], options: dict[str, object]) -> None:
        record.info["file"] = _identity(path)
        _read_at_rest(Path(path), arguments, options)

    def connected(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # we begin transactions ourselves
        cursor = connection.cursor()
        pragmas = ("synchronous=FULL", "foreign_keys=ON", "temp_store=MEMORY", f"journal_size_limit={MAX_WAL_BYTES}")
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        # WAL mode is a property of the file, and we do not change a file that is not ours.
        if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            names = [row[0] for row in cursor.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            if may_be_ours(names):
                _write_ahead(cursor, busy_timeout_s)
        cursor.close()
        if record.info["file"] not in {None, _identity(path)}:  # the open file is the one that was replaced
            connection.close()
            raise sqlite3.OperationalError("database is locked: a backup was put in its place just now")
        record.info["file"] = _identity(path)

    event.listen(engine, "do_connect", connecting)
    event.listen(engine, "connect", connected)
    event.listen(engine, "checkout", partial(_check_file, path))
    event.listen(engine, "begin", partial(_begin, path, busy_timeout_s))


def _begin(path: str, busy_timeout_s: float, connection: Connection) -> None:
    """Begin a transaction of the kind that its options say."""
    options = connection.get_execution_options()
    driver: Any = connection.connection.dbapi_connection
    if options.get(REBUILD, False):
        driver.execute("PRAGMA foreign_keys=OFF")  # which has no effect within a transaction
    if options.get(ALONE, False):
        _begin_alone(driver, path)
    elif options.get(WRITE, False):
        _begin_in_turn(driver, busy_timeout_s)
    else:
        driver.execute("BEGIN")


def _read_at_rest(path: Path, arguments: list[object], options: dict[str, object]) -> None:
    """Have the file read as it lies there, where nothing can be written to its folder.

    In WAL mode even a reader makes files beside it, unless it is told that the file does not change. With a log beside
    it, another process writes to it by another way, and SQLite reads what is there.
    """
    has_log = path.with_name(f"{path.name}-wal").exists()
    if path.is_file() and not has_log and why_not_writable(path.parent) is not None:
        arguments[:] = [f"{path.absolute().as_uri()}?mode=ro&immutable=1"]
        options["uri"] = True


def _identity(path: str) -> tuple[int, int] | None:
    """Return what distinguishes a file from another of the same name."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _check_file(path: str, _connection: object, record: Any, _proxy: object) -> None:
    """Have the pool open the file that is there now, where the connection's was removed or another took its place.

    What is written to such a file is lost, though it was committed.
    """
    if record.info["file"] != _identity(path):
        raise DisconnectionError


def _write_ahead(cursor: sqlite3.Cursor, busy_timeout_s: float) -> None:
    """Put a new file into WAL mode. Raises sqlite3.OperationalError, also when it is not free for that in time.

    Of several processes that begin with it, SQLite refuses some at once, whatever its busy timeout.
    """
    give_up = time.monotonic() + busy_timeout_s
    while not _is_done(cursor, "PRAGMA journal_mode=WAL", give_up):
        time.sleep(random.uniform(*_PAUSE_S))  # noqa: S311 - a pause, no secret


def _is_done(on: sqlite3.Connection | sqlite3.Cursor, statement: str, give_up: float) -> bool:
    """Run a statement; return False where others keep the lock. Raises sqlite3.OperationalError after `give_up`."""
    try:
        on.execute(statement)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
            raise
        return False
    return True


def _begin_in_turn(driver: sqlite3.Connection, busy_timeout_s: float) -> None:
    """Begin a transaction that writes. Raises sqlite3.OperationalError, also when the lock is not free in time."""
    began, has_waited = time.monotonic(), False
    driver.execute("PRAGMA busy_timeout=0")
    try:
        while not _is_done(driver, "BEGIN IMMEDIATE", began + busy_timeout_s):
            has_waited = True
            time.sleep(random.uniform(*_PAUSE_S))  # noqa: S311 - a pause, no secret
    finally:
        if has_waited:
            metrics.observe(families.LOCK_WAITS, time.monotonic() - began)
        driver.execute(f"PRAGMA busy_timeout={int(busy_timeout_s * 1000)}")


def _begin_alone(driver: sqlite3.Connection, path: str) -> None:
    """Begin a transaction beside which no other connection is open. Raises RefusedError where one is."""
    driver.execute(f"PRAGMA busy_timeout={_ALONE_MS}")
    try:
        is_alone = lock_exclusively(driver)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        is_alone = False
    if not is_alone:
        raise RefusedError(
            f"another process has the ledger {path} open",
            hint="stop Squire (`squire dev`, the receiver, the board and other commands), then try again",
        )


def lock_exclusively(connection: sqlite3.Connection) -> bool:
    """Take the lock that excludes readers too, in any mode; False when somebody has it open. Raises sqlite3.Error."""
    # Leaving WAL mode needs the only connection, and writes all of the WAL into the file.
    if connection.execute("PRAGMA journal_mode=DELETE").fetchone()[0] != "delete":
        return False
    connection.execute("BEGIN EXCLUSIVE")
    # In WAL mode again, if another process came between the two: there this lock lets readers in.
    return bool(connection.execute("PRAGMA journal_mode").fetchone()[0] == "delete")
