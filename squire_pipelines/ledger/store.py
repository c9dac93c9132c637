"""Opening the ledger: connections, transactions, its clock, and the check that its schema is ours.

SQLite runs in WAL mode with `synchronous=FULL`, so that what was committed survives the loss of power; writers begin
with `BEGIN IMMEDIATE`, so that a transaction never fails half-way for want of the lock.
"""

import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, CursorResult, Executable, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from squire_pipelines.errors import ConfigError, LedgerError, SchemaVersionError

HEAD_REVISION = "0001"
_WRITE = "squire_write"


def utc_now() -> datetime:
    """The host's clock, aware and in UTC."""
    return datetime.now(UTC)


class Transaction:
    """One transaction and its moment: every row that it writes bears the same time, by the ledger's clock."""

    def __init__(self, connection: Connection, now: datetime) -> None:
        self.connection = connection
        self.now = now

    def execute(self, statement: Executable, parameters: Any = None) -> CursorResult[*tuple[Any, ...]]:
        """Run one statement."""
        return self.connection.execute(statement, parameters)

    def exclusive(self, name: str) -> None:
        """Let no other transaction that asks for the same `name` run beside this one, until this one ends."""
        # On SQLite, BEGIN IMMEDIATE has seen to that already.
        if self.connection.dialect.name == "postgresql":
            key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:7])
            self.connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})


class Ledger:
    """The system of record.

    Args:
        url: SQLAlchemy URL, `sqlite:///PATH` or `postgresql+psycopg://…`.
        clock: The ledger's clock where the database has none of its own to share (SQLite); injected in tests.
        busy_timeout_s: How long a writer waits for another before `LedgerError`.

    Raises:
        ConfigError: The URL is none, or names a database that we do not support.
    """

    def __init__(self, url: str, *, clock: Callable[[], datetime] = utc_now, busy_timeout_s: float = 30) -> None:
        self.url = _parse(url)
        self._clock = clock
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            self.path = Path(self.url.database or "")
            self.engine = create_engine(self.url, connect_args={"timeout": busy_timeout_s})
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        else:
            self.engine = create_engine(self.url, pool_pre_ping=True, connect_args={"connect_timeout": 10})

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """A transaction that only reads: one consistent state."""
        with self._guard(), self.engine.begin() as connection:
            yield Transaction(connection, self._now(connection))

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """A transaction that writes: committed when the block ends, rolled back when it raises."""
        writing = self.engine.execution_options(**{_WRITE: True})
        with self._guard(), writing.begin() as connection:
            yield Transaction(connection, self._now(connection))

    @contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except OperationalError as error:
            message = f"the ledger {self.describe()} does not answer: {error.orig}"
            raise LedgerError(message, hint=_hint(str(error.orig))) from error
        except DBAPIError as error:
            if isinstance(error.orig, sqlite3.DatabaseError) and "not a database" in str(error.orig):
                message = f"{self.describe()} is not a database"
                raise LedgerError(message, hint="restore a backup, or name another file in ledger_url") from error
            raise

    def _now(self, connection: Connection) -> datetime:
        # The database's clock is one for all processes; SQLite's is the host's.
        if self.is_sqlite:
            return self._clock()
        return connection.execute(text("SELECT clock_timestamp()")).scalar_one().astimezone(UTC)  # type: ignore[no-any-return]

    def describe(self) -> str:
        """The ledger's place, without a password."""
        return str(self.path) if self.is_sqlite else self.url.render_as_string(hide_password=True)

    def revision(self) -> str | None:
        """The schema's revision, or None when there is no schema yet. Raises LedgerError."""
        with self.read() as transaction:
            connection = transaction.connection
            names = connection.dialect.get_table_names(connection)
            if "alembic_version" not in names:
                if names:
                    message = f"{self.describe()} holds tables that are not Squire's: {', '.join(sorted(names)[:5])}"
                    raise SchemaVersionError(message, hint="name another database in ledger_url")
                return None
            return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()

    def ensure_schema(self) -> None:
        """Create or upgrade the schema where needed. Raises SchemaVersionError when it is newer than this code."""
        if self.is_sqlite:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        revision = self.revision()
        if revision == HEAD_REVISION:
            return
        if revision is not None and revision > HEAD_REVISION:
            message = f"the ledger {self.describe()} has schema {revision}, this Squire knows {HEAD_REVISION}"
            raise SchemaVersionError(message, hint="install the newer Squire again, or restore an older backup")
        from squire_pipelines.ledger.migrate import upgrade  # noqa: PLC0415 - Alembic is slow to import and rarely needed

        upgrade(self)


def open_ledger(url: str) -> Ledger:
    """The ledger at `url`, with the schema that this code expects. Raises LedgerError, ConfigError."""
    ledger = Ledger(url)
    ledger.ensure_schema()
    return ledger


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        message = f"ledger_url {url.rpartition('@')[2]!r} is no database URL"
        raise ConfigError(message, hint="for example sqlite:////var/lib/squire/ledger.sqlite") from error
    backend = parsed.get_backend_name()
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        message = f"ledger_url names {backend!r}"
        raise ConfigError(message, hint="supported are sqlite:///PATH and postgresql://…")
    return parsed


def _hint(reason: str) -> str:
    if "readonly" in reason or "unable to open" in reason:
        return "check that the folder exists and that you may write to it"
    if "locked" in reason:
        return "another process holds the write lock for long; try again"
    if "disk" in reason or "full" in reason:
        return "free some disk space; nothing was changed"
    return "is the database server running?"


def _prepare_sqlite(dbapi_connection: Any, _record: object) -> None:
    dbapi_connection.isolation_level = None  # we begin transactions ourselves
    cursor = dbapi_connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "temp_store=MEMORY"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    immediate = connection.get_execution_options().get(_WRITE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
