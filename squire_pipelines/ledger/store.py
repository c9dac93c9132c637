"""Opens the ledger: connections, transactions, its clock, and the check that its schema is ours.

SQLite runs in WAL mode with `synchronous=FULL`, so that what was committed survives the loss of power; writers begin
with `BEGIN IMMEDIATE`, so that a transaction never fails half-way because it cannot get the lock.
"""

import hashlib
import re
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, CursorResult, Engine, Executable, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import ConnectionPoolEntry

from squire_pipelines.domain.schema_rules import LedgerSchema
from squire_pipelines.errors import ConfigError, LedgerError, SchemaVersionError
from squire_pipelines.home import close_to_others, make_file, make_folder, restore_mark, why_not_writable
from squire_pipelines.ledger import HEAD_REVISION, sessions, sqlite
from squire_pipelines.ledger.move_note import NOTE_TABLE, refuse_moved
from squire_pipelines.ledger.task_query import QueryRunner

_PARAMETER = re.compile(r":(\w+)")
_ALEMBIC = "alembic_version"
IS_AWAY = "is_away"  # in the context of an error: the ledger did not answer, and a later try may go well
_OURS = frozenset({_ALEMBIC, "tasks", "task_events", "attempts"})  # no other application has all of these


def utc_now() -> datetime:
    """Return the host's time, aware and in UTC."""
    return datetime.now(UTC)


def advisory_key(name: str) -> int:
    """Return the number by which Postgres locks a name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:7])


@lru_cache(maxsize=256)
def _in_psycopg(sql: str) -> str:
    """Return `sql` with psycopg's way to name parameters."""
    return _PARAMETER.sub(r"%(\1)s", sql)


class Transaction:
    """One transaction and its time, by the ledger's clock, which every row that it writes has."""

    def __init__(self, connection: Connection, now: datetime) -> None:
        self.connection = connection
        self.now = now
        self._exclusive: set[str] = set()

    def execute(self, statement: Executable, parameters: Any = None) -> CursorResult[*tuple[Any, ...]]:
        """Run one statement."""
        return self.connection.execute(statement, parameters)

    def query_runner(self) -> QueryRunner:
        """Return this connection as lists ask it: through the driver alone, since SQLAlchemy costs as much again."""
        is_sqlite = self.connection.dialect.name == "sqlite"
        driver: Any = self.connection.connection.dbapi_connection

        def run(sql: str, values: Mapping[str, Any]) -> list[Mapping[str, Any]]:
            if is_sqlite:
                cursor = driver.execute(sql, values)
            else:  # Postgres plans the same question once, see `list_sql`
                prepare = driver.prepare_threshold is not None  # a pool between us and the server may not know it
                cursor = driver.execute(_in_psycopg(sql), values, prepare=prepare, binary=True)  # times need no parsing
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

        return QueryRunner(run, is_sqlite=is_sqlite)

    def exclusive(self, name: str) -> None:
        """Let no other transaction that asks for the same `name` run beside this one, until this one ends."""
        # On SQLite, BEGIN IMMEDIATE has done that already.
        if self.connection.dialect.name == "postgresql" and name not in self._exclusive:
            self._exclusive.add(name)
            self.connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": advisory_key(name)})


class Ledger:
    """The system of record.

    Args:
        url: SQLAlchemy URL, `sqlite:///PATH` or `postgresql+psycopg://…`.
        clock: The ledger's clock, for tests. By default it is the database server's, which all processes share, and
            on SQLite the host's.
        busy_timeout_s: How long a statement waits for another process, or runs, before `LedgerError`.
        fresh_s: A connection to a server that was used so long ago, or longer, is checked before it is used again.

    Raises:
        ConfigError: The URL is invalid, or names a database that is not supported or whose driver is not installed.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Callable[[], datetime] | None = None,
        busy_timeout_s: float = 30,
        fresh_s: float = 1.0,
    ) -> None:
        self.url = _parse(url)
        self._clock = clock
        self._driver_error: type[Exception] = sqlite3.Error
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            self.path = Path(self.url.database or "")
            self.engine = create_engine(self.url, connect_args={"timeout": busy_timeout_s})
            sqlite.prepare(self.engine, busy_timeout_s=busy_timeout_s, may_be_ours=may_be_ours)
            self._reading = self.engine
        else:
            self.engine = _postgres_engine(self.url, busy_timeout_s, fresh_s)
            self._driver_error = self.engine.dialect.loaded_dbapi.Error  # `query_runner` does without SQLAlchemy
            # By default each statement would see what others committed meanwhile.
            self._reading = self.engine.execution_options(isolation_level="REPEATABLE READ")
        self._writing = self.engine.execution_options(**{sqlite.WRITE: True})

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """Begin a transaction that only reads, and sees one consistent state."""
        with self._guard(), self._reading.begin() as connection:
            yield Transaction(connection, self._now(connection))

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """Begin a transaction that writes: committed when the block ends, rolled back when it raises."""
        with self._guard(), self._writing.begin() as connection:
            yield Transaction(connection, self._now(connection))

    def commit_nothing(self) -> None:
        """Commit a change that says what was there already, down to the disk. Raises LedgerError where that is full."""
        # SQLite leaves out a page that an UPDATE does not change, but not the one with this number, which nobody reads.
        same = "PRAGMA user_version = 0" if self.is_sqlite else "UPDATE alembic_version SET version_num = version_num"
        with self.write() as tx:
            tx.execute(text(same))

    @contextmanager
    def rebuild(self) -> Iterator[Transaction]:
        """Begin a transaction that may change the schema, one process at a time.

        SQLite changes a table by copying it, while references are not enforced; they are checked at the end
        (https://www.sqlite.org/lang_altertable.html#otheralter). Raises LedgerError when one is broken.
        """
        rebuilding = self.engine.execution_options(**{sqlite.WRITE: True, sqlite.REBUILD: True})
        with self._guard(), rebuilding.connect() as connection:
            try:
                with connection.begin():
                    transaction = Transaction(connection, self._now(connection))
                    transaction.exclusive("migrate")
                    yield transaction
                    if self.is_sqlite and (broken := connection.execute(text("PRAGMA foreign_key_check")).first()):
                        raise LedgerError(
                            f"a row of {broken[0]} in {self.describe()} refers to a row that is not there",
                            hint="nothing was changed; `squire ledger check` shows all",
                        )
            finally:
                if self.is_sqlite:
                    connection.invalidate()  # it does not enforce references

    @contextmanager
    def alone(self) -> Iterator[Transaction]:
        """Begin a transaction that writes, while no other process has the ledger open.

        Raises:
            RefusedError: One has, which can be seen of Squire's own alone on Postgres.
        """
        self.engine.dispose()
        alone = self.engine.execution_options(**{sqlite.WRITE: True, sqlite.ALONE: True})
        with self._guard(), alone.connect() as connection:
            try:
                with connection.begin():
                    if not self.is_sqlite:
                        sessions.lock_tables(connection)
                    yield Transaction(connection, self._now(connection))
            finally:
                connection.invalidate()  # on SQLite it has the file for itself

    @contextmanager
    def session(self) -> Iterator[Connection]:
        """Open a connection to the server whose locks go with it, outside of any transaction. Raises LedgerError."""
        with self._guard(), self.engine.connect() as connection:
            try:
                yield connection.execution_options(isolation_level="AUTOCOMMIT")
            finally:
                connection.invalidate()

    @contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError:
            raise  # the caller broke a constraint, and knows what that means
        except sqlite3.IntegrityError as error:
            raise IntegrityError(None, None, error) from error
        except (DBAPIError, PoolTimeoutError, self._driver_error) as error:
            reason = str(error.orig if isinstance(error, DBAPIError) else error).strip()
            raise self._explain(error, reason) from error

    def _explain(self, error: Exception, reason: str) -> LedgerError:
        if self.is_sqlite and any(word in reason for word in _NOT_WRITABLE):
            cause = why_not_writable(self.path.parent)
            if cause is not None:
                return LedgerError(f"the ledger {self.path} cannot be written: {cause}", hint=_HINT_FOLDER)
        is_cut = isinstance(error, DBAPIError) and error.connection_invalidated
        by_kind = (_REFUSES, "")
        if is_cut or isinstance(error, OperationalError | sqlite3.OperationalError):
            by_kind = (_NO_ANSWER, "is the database server running?")
        by_words = ((known, hint) for words, known, hint in _REASONS if any(word in reason for word in words))
        message, hint = next(by_words, by_kind)
        context = {IS_AWAY: True} if message is _NO_ANSWER else {}
        return LedgerError(message.format(ledger=self.describe(), reason=reason), hint=hint, context=context)

    def _now(self, connection: Connection) -> datetime:
        if self._clock is not None:
            return self._clock()
        if self.is_sqlite:
            return utc_now()
        driver: Any = connection.connection.dbapi_connection
        moment: datetime = driver.execute("SELECT clock_timestamp()").fetchone()[0]
        return moment.astimezone(UTC)

    def describe(self) -> str:
        """Return the ledger's place, without a password."""
        return str(self.path) if self.is_sqlite else self.url.render_as_string(hide_password=True)

    def revision(self) -> str | None:
        """Return the schema's revision, None when there is no schema yet. Raises LedgerError, LedgerMovedError."""
        return self.schema().revision

    def is_usable(self) -> bool:
        """Return whether this program may read and write the ledger as it is. Raises LedgerError."""
        return self.schema().fits(HEAD_REVISION)

    def schema(self) -> LedgerSchema:
        """Return the schema, and which programs it is for. Raises LedgerError, LedgerMovedError."""
        with self.read() as transaction:
            connection = transaction.connection
            names = connection.dialect.get_table_names(connection)
            if not names:
                return LedgerSchema(None)
            if NOTE_TABLE in names:
                refuse_moved(connection, self.describe())
            if may_be_ours(names) or set(names) == {_ALEMBIC}:
                # All columns: earlier schemas have one alone.
                row = connection.execute(text("SELECT * FROM alembic_version")).mappings().one_or_none()
                if row is None or may_be_ours(names):  # a ledger that was downgraded to nothing has no revision
                    return _schema_of(row or {})
            raise SchemaVersionError(
                f"{self.describe()} holds tables that are not Squire's: {', '.join(sorted(names)[:5])}",
                hint="name another database in ledger_url",
            )

    def ensure_schema(self, *, ends_older: bool = False) -> None:
        """Create or upgrade the schema where needed.

        Args:
            ends_older: Whether to upgrade it also where older programs have it open that could not go on.

        Raises:
            SchemaVersionError: It is newer than this code, which could not go on with it.
            SchemaInUseError: Such programs have it open.
            LedgerError: It does not answer, or others use it all the time.
        """
        if self.is_sqlite:
            if restore_mark(self.path.parent).exists():
                raise LedgerError(
                    f"{self.path.parent} is incomplete: a restore into it has not ended",
                    hint="run `squire restore FILE` again, which begins anew",
                )
            try:
                make_folder(self.path.parent)
                if not self.path.exists() or why_not_writable(self.path.parent) is None:  # else it can only be read
                    make_file(self.path)  # SQLite gives its other files the same permissions
                    for suffix in ("", "-wal", "-shm"):
                        close_to_others(self.path.with_name(self.path.name + suffix))
            except OSError as error:
                raise LedgerError(
                    f"the ledger {self.path} cannot be made: {error.strerror}", hint=_HINT_FOLDER
                ) from error
        schema = self.schema()
        if schema.fits(HEAD_REVISION):
            return
        if schema.is_newer(HEAD_REVISION):
            raise SchemaVersionError(
                f"the ledger {self.describe()} has schema {schema.revision}, this Squire knows {HEAD_REVISION}",
                hint="install the newer Squire again, or restore an older backup",
            )
        from squire_pipelines.ledger.migrate import upgrade  # noqa: PLC0415 - Alembic is slow to import and rarely needed

        with self.rebuild() as transaction:  # a second starter waits, and finds it done
            upgrade(transaction.connection, ends_older=ends_older)


def open_ledger(url: str) -> Ledger:
    """Return the ledger at `url` with the schema that this code expects. Raises LedgerError, ConfigError."""
    ledger = Ledger(url)
    try:
        ledger.ensure_schema()
    except BaseException:  # an interruption too: nobody else has it to close, and the failure goes on
        ledger.close()
        raise
    return ledger


def _schema_of(row: Mapping[Any, Any]) -> LedgerSchema:
    """Return what a row of `alembic_version` says; what it says of another revision's programs holds no more."""
    revision = row.get("version_num")
    is_current = row.get("oldest_program_of") == revision
    return LedgerSchema(revision, row.get("oldest_program") if is_current else None)


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise ConfigError(
            f"ledger_url {url.rpartition('@')[2]!r} is not a database URL",
            hint="for example sqlite:////var/lib/squire/ledger.sqlite",
        ) from error
    backend = parsed.get_backend_name()
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise ConfigError(f"ledger_url names {backend!r}", hint="supported are sqlite:///PATH and postgresql://…")
    return parsed


_HINT_FOLDER = "check that the folder exists and that you may write to it, or set SQUIRE_HOME to another"
_NOT_WRITABLE = ("readonly", "unable to open")
_REFUSES = "the ledger {ledger} refuses a statement: {reason}"
_NO_ANSWER = "the ledger {ledger} does not answer: {reason}"
_DAMAGED = "the ledger {ledger} is damaged: {reason}"
_INCOMPLETE = "the ledger {ledger} lacks something: {reason}"
_HINT_INCOMPLETE = "check ledger_url, and that it was opened by this Squire before"
_HINT_FOREIGN = "restore a backup, or name another file in ledger_url; it was not touched"
# What databases say, what we say, and what to do about it.
_REASONS = (
    (("not a database",), "{ledger} is not a database", _HINT_FOREIGN),
    (("malformed",), _DAMAGED, "check the disk, then restore a backup"),
    # SQLite's word for a full disk too, where it needs room for what it shares with other processes.
    (("disk I/O error",), _NO_ANSWER, "free some disk space if there is none; else check the disk"),
    (_NOT_WRITABLE, _NO_ANSWER, _HINT_FOLDER),
    (
        ("locked", "statement timeout", "lock timeout", "QueuePool"),
        _NO_ANSWER,
        "another process is using it; try again",
    ),
    (("is full", "No space left"), _NO_ANSWER, "free some disk space; nothing was changed"),
    (("no such table", "does not exist"), _INCOMPLETE, _HINT_INCOMPLETE),
    (("password", "authentication"), _NO_ANSWER, "check the user and the password in ledger_url"),
)


def may_be_ours(names: Collection[str]) -> bool:
    """Return whether a database with these tables is empty, or a ledger."""
    return not names or _OURS.issubset(names)


def _postgres_engine(url: URL, timeout_s: float, fresh_s: float) -> Engine:
    arguments: dict[str, object] = {"connect_timeout": 10, "keepalives_idle": 30}
    if "application_name" not in url.query:
        arguments["application_name"] = sessions.NAME
    if "options" not in url.query:
        arguments["options"] = f"-c statement_timeout={int(timeout_s * 1000)} -c timezone=UTC"
    try:
        engine = create_engine(url, connect_args=arguments)
    except ImportError as error:
        raise ConfigError(
            "ledger_url names Postgres, whose driver is not installed", hint="install squire-pipelines[postgres]"
        ) from error

    def record_use(_driver: object, record: ConnectionPoolEntry) -> None:
        record.info["used"] = time.monotonic()

    def check_connection(driver: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
        """Check it as the pool's own `pre_ping`, but not one used a moment ago: that costs a round trip."""
        if time.monotonic() - record.info.get("used", 0.0) < fresh_s:
            return
        try:
            driver.execute("SELECT 1")
            driver.rollback()
        except driver.Error as error:
            raise DisconnectionError from error  # the pool opens another

    event.listen(engine, "checkin", record_use)
    event.listen(engine, "checkout", check_connection)
    return engine
