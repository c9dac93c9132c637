"""The forge's SQLite file: connections, transactions, the schema. `store` reads and writes the tables."""

import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from squire_forge.errors import SchemaVersionError

SCHEMA_VERSION = 7
_KEPT_CONNECTIONS = 16
_BUSY_TIMEOUT_S = 10.0


class Database:
    """One file with many readers and one writer at a time (WAL); every commit is fsynced (`synchronous=FULL`).

    Safe to use from many threads. Raises SchemaVersionError if the file was made by another version.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue(maxsize=_KEPT_CONNECTIONS)
        self._writer = threading.Lock()
        self.on_commit: Callable[[], None] = lambda: None
        with self.reading() as connection:
            self._prepare(connection)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Open a consistent view: everything read in the block is of one moment."""
        connection = self._take_connection()
        try:
            connection.execute("BEGIN")
            yield connection
        finally:
            # A reader writes nothing; the rollback also ends a transaction that an exception left open.
            connection.rollback()
            self._return_connection(connection)

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Open a transaction that is committed and on disk when the block ends, undone when it raises. Do not nest.

        `on_commit` is called after each.
        """
        with self._writer:
            connection = self._take_connection()
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.commit()
            finally:
                connection.rollback()
                self._return_connection(connection)
        self.on_commit()

    def close(self) -> None:
        """Close all idle connections."""
        while True:
            try:
                self._idle.get_nowait().close()
            except queue.Empty:
                return

    def _prepare(self, connection: sqlite3.Connection) -> None:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == SCHEMA_VERSION:
            return
        if version != 0:
            raise SchemaVersionError(
                f"{self._path} was made by another version of the forge (schema {version})",
                hint="start the forge with an empty --home",
            )
        script = resources.files(__package__).joinpath("schema.sql").read_text(encoding="utf-8")
        connection.rollback()
        connection.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")

    def _take_connection(self) -> sqlite3.Connection:
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            connection = sqlite3.connect(
                self._path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            return connection

    def _return_connection(self, connection: sqlite3.Connection) -> None:
        try:
            self._idle.put_nowait(connection)
        except queue.Full:
            connection.close()
