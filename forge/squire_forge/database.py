"""The forge's SQLite file: connections, transactions, the schema. What is in the tables is `store`'s matter."""

import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from squire_forge.errors import SchemaVersionError

SCHEMA_VERSION = 2
_KEPT_CONNECTIONS = 16
_BUSY_TIMEOUT_S = 10.0


class Database:
    """One file, many readers and one writer at a time (WAL), every commit fsynced (`synchronous=FULL`).

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
        """A consistent view: everything read inside is of one moment."""
        connection = self._take()
        try:
            connection.execute("BEGIN")
            yield connection
        finally:
            # A reader has nothing to keep; rolling back also ends a transaction that an exception left open.
            connection.rollback()
            self._give_back(connection)

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, committed and on disk when the block ends, undone when it raises. Do not nest.

        `on_commit` is called after each.
        """
        with self._writer:
            connection = self._take()
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.commit()
            finally:
                connection.rollback()
                self._give_back(connection)
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

    def _take(self) -> sqlite3.Connection:
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

    def _give_back(self, connection: sqlite3.Connection) -> None:
        try:
            self._idle.put_nowait(connection)
        except queue.Full:
            connection.close()
