"""Backups of an SQLite ledger: made while others write, restored only while nobody has the ledger open.

A backup is one file without a WAL, and appears whole or not at all: built beside its place, checked, synced, renamed.
"""

import fcntl
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from pydantic import JsonValue

from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.errors import ConfigError, LedgerError, NotFoundError, RefusedError, SchemaVersionError
from squire_pipelines.files import fsync
from squire_pipelines.home import make_folder, why_not_writable
from squire_pipelines.ledger import HEAD_REVISION
from squire_pipelines.ledger.audit import record_audit
from squire_pipelines.ledger.integrity import COUNTED_TABLES
from squire_pipelines.ledger.sqlite import lock_exclusively
from squire_pipelines.ledger.store import Ledger, may_be_ours, utc_now

PAGES_AT_ONCE = 1000
_BUSY_TIMEOUT_S = 10.0
_LOCK_TIMEOUT_S = 1.0
# Where SQLite keeps its locks: https://www.sqlite.org/lockingv3.html, `PENDING_BYTE` and what follows.
_LOCK_BYTES = (0x40000000, 512)

Progress = Callable[[int, int], None]
"""Called after every `PAGES_AT_ONCE` pages: pages done, pages in all."""


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that has been checked."""

    path: Path
    revision: str
    bytes: int
    tasks: int


@dataclass(frozen=True, slots=True)
class Restored:
    """A backup that was restored; `aside` is where the old ledger is now, None when there was none."""

    backup: Backup
    ledger: Path
    aside: Path | None


def make_backup(ledger: Ledger, target: Path, *, progress: Progress | None = None) -> Backup:
    """Copy the ledger, as it is at this moment, to the new file `target`, which only its owner may read.

    Raises:
        ConfigError: The ledger is on Postgres, which has tools of its own for this.
        RefusedError: `target` is there already.
        NotFoundError: There is no ledger yet.
        LedgerError: It cannot be read, or the copy cannot be written.
    """
    source = _file_of(ledger, f"pg_dump --format=custom --file={target} '{ledger.describe()}'")
    if not source.exists():
        raise NotFoundError(f"there is no ledger at {source} yet", hint="`squire run` or `squire demo` makes one")
    if target.exists() or target.is_symlink():
        raise RefusedError(f"{target} is there already", hint="name a new file")
    with _explained(f"the backup {target} cannot be made"), _beside(target) as part:
        _copy(source, part, progress)
        backup = verify(part)
        fsync(part)
        _give_name(part, target)
        fsync(target.parent)
    return replace(backup, path=target)


def record_backup(ledger: Ledger, path: Path, *, tasks: int, size: int, actor: str) -> None:
    """Record in the audit trail of the ledger, where that can be written, that somebody has a copy of it.

    Args:
        ledger: That was copied.
        path: Of the copy.
        tasks: That are in it.
        size: Of its file, in bytes.
        actor: Who made it.
    """
    is_locked = ledger.is_sqlite and why_not_writable(ledger.path.parent) is not None
    if is_locked or (ledger.is_sqlite and not os.access(ledger.path, os.W_OK)):
        return
    detail: dict[str, JsonValue] = {"tasks": tasks, "bytes": size}
    with ledger.write() as tx:
        subject, trace_id = str(path), new_trace_id()
        record_audit(tx, actor=actor, action="ledger.backup", subject=subject, trace_id=trace_id, detail=detail)


def verify(path: Path) -> Backup:
    """Check that `path` is a whole ledger which this code can use. Changes nothing.

    Raises:
        NotFoundError: There is no such file.
        LedgerError: It is no database, is not ours, or is damaged.
        SchemaVersionError: Its schema is newer than this code.
    """
    if not path.is_file():
        raise NotFoundError(f"there is no file {path}")
    size = path.stat().st_size
    with _explained(f"{path} is no backup of a ledger"), closing(_connect(path, read_only=True)) as connection:
        names = _table_names(connection)
        if not names or not may_be_ours(names):
            raise LedgerError(
                f"{path} is a database, but not Squire's", hint="name a file that `squire ledger backup` made"
            )
        revision = str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])
        if revision > HEAD_REVISION:
            raise SchemaVersionError(
                f"{path} has schema {revision}, this Squire knows {HEAD_REVISION}", hint="install the newer Squire"
            )
        problem = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if problem != "ok":
            raise LedgerError(
                f"{path} is damaged: {' '.join(problem.split())}", hint="take an older backup; nothing was changed"
            )
        tasks = connection.execute("SELECT count(*) FROM tasks").fetchone()[0]
    return Backup(path, revision, size, tasks)


def count_rows(path: Path) -> dict[str, int]:
    """Return how many rows the tables of a checked backup have, of those that people ask for. Raises LedgerError."""
    with _explained(f"{path} cannot be read"), closing(_connect(path, read_only=True)) as connection:
        names = set(_table_names(connection))
        return {
            table: int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608 - names of ours
            for table in COUNTED_TABLES
            if table in names
        }


def restore_backup(ledger: Ledger, path: Path, *, actor: str, progress: Progress | None = None) -> Restored:
    """Replace the ledger by the backup at `path`, keep the old one beside it, and record in the audit trail who did it.

    The old ledger stays in place until the new one is complete, and when this fails. Raises as `verify` and
    `make_backup`; RefusedError when another process has the ledger open.
    """
    target = _file_of(
        ledger, f"pg_restore --clean --if-exists --single-transaction --dbname='{ledger.describe()}' {path}"
    )
    ledger.close()
    if path.exists() and target.exists() and path.samefile(target):
        raise RefusedError(f"{path} is the ledger itself", hint="name a backup")
    backup = verify(path)
    _refuse_foreign_database(target)
    now = utc_now()
    with _explained(f"the ledger {target} cannot be restored"):
        make_folder(target.parent)
        with _beside(target) as part:
            _copy(path, part, progress)
            _record_restore(part, path, actor=actor, now=now)
            verify(part)
            fsync(part)
            with _locked(target):
                aside = _keep_aside(target, now)
                part.rename(target)
                fsync(target.parent)
    return Restored(backup, target, aside)


def _refuse_foreign_database(path: Path) -> None:
    """Raise RefusedError for the database of another program; a damaged file may be replaced."""
    if not path.exists():
        return
    try:
        with closing(_connect(path, read_only=True)) as connection:
            names = _table_names(connection)
    except sqlite3.Error:
        return
    if not may_be_ours(names):
        raise RefusedError(
            f"{path} is a database of another program", hint="name another file in ledger_url; it was not touched"
        )


def _table_names(connection: sqlite3.Connection) -> list[str]:
    return [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]


def _file_of(ledger: Ledger, postgres_command: str) -> Path:
    """Return the ledger's file. Raises ConfigError for Postgres, with the command to use instead."""
    if not ledger.is_sqlite:
        raise ConfigError(
            "this ledger is on Postgres, whose own tools back it up and restore it",
            hint=f"{postgres_command}   (the password comes from PGPASSWORD or ~/.pgpass)",
        )
    return ledger.path


@contextmanager
def _explained(problem: str) -> Iterator[None]:
    """Turn an error of SQLite or of the system into a LedgerError that says what cannot be done, and why."""
    try:
        yield
    except sqlite3.Error as error:
        full = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL
        hint = "free some disk space" if full else ""
        raise LedgerError(f"{problem}: {error}", hint=f"{hint}; nothing was changed".lstrip("; ")) from error
    except OSError as error:
        raise LedgerError(
            f"{problem}: {error.strerror}", hint="check the folder and the disk; nothing was changed"
        ) from error


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """Create an empty file in the folder of `target`, for its owner alone, and remove it unless it was renamed."""
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
    try:
        yield part
    finally:
        for suffix in ("", "-wal", "-shm", "-journal"):
            part.with_name(part.name + suffix).unlink(missing_ok=True)


def _connect(path: Path, *, read_only: bool = False, timeout_s: float = _BUSY_TIMEOUT_S) -> sqlite3.Connection:
    mode = "ro" if read_only else "rw"
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=timeout_s, isolation_level=None)


def _copy(source: Path, part: Path, progress: Progress | None) -> None:
    def report(_status: int, remaining: int, total: int) -> None:
        if progress is not None:
            progress(total - remaining, total)

    with closing(_connect(source, read_only=True)) as origin, closing(_connect(part)) as copy:
        # An open transaction keeps to one state; without it every write of others would restart the copy.
        origin.execute("BEGIN")
        origin.execute("SELECT count(*) FROM sqlite_master").fetchone()
        origin.backup(copy, pages=PAGES_AT_ONCE, progress=report)
        copy.execute("PRAGMA journal_mode=DELETE")


def _record_restore(part: Path, path: Path, *, actor: str, now: datetime) -> None:
    at = f"{now:%Y-%m-%dT%H:%M:%S.%fZ}"
    values = (at, actor, "ledger.restore", str(path), json.dumps({}), new_trace_id())
    with closing(_connect(part)) as connection:
        names = '"at", actor, action, subject, detail, trace_id'
        connection.execute(f"INSERT INTO audit ({names}) VALUES (?, ?, ?, ?, ?, ?)", values)  # noqa: S608 - our names


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Lock everybody else out of the ledger until the block ends. Raises RefusedError when a process has it open."""
    if not path.exists():
        yield
        return
    refused = RefusedError(
        f"another process has the ledger {path} open",
        hint="stop Squire (`squire dev`, the daemon, the receiver), then try again",
    )
    try:
        connection = _connect(path, timeout_s=_LOCK_TIMEOUT_S)
        try:
            is_alone = lock_exclusively(connection)
        except sqlite3.Error:
            connection.close()
            raise
        if not is_alone:
            connection.close()
            raise refused
    except sqlite3.OperationalError as error:
        raise refused from error
    except sqlite3.DatabaseError:
        with _locked_without_sqlite(path, refused):  # damaged: the very reason to restore
            yield
        return
    with closing(connection):
        yield


@contextmanager
def _locked_without_sqlite(path: Path, refused: RefusedError) -> Iterator[None]:
    """Take SQLite's exclusive lock, POSIX record locks on bytes of the file itself, where SQLite cannot read it.

    `files.lock` takes another kind of lock (`flock`, on a whole file), which SQLite's own processes do not look at.
    """
    with path.open("r+b") as file:
        first, length = _LOCK_BYTES
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, length, first)
        except OSError as error:
            raise refused from error
        yield


def _keep_aside(path: Path, now: datetime) -> Path | None:
    """Give the old ledger a second name, and move the files that a damaged one has beside it. Returns the name."""
    if not path.exists():
        return None
    aside = path.with_name(f"{path.name}.before-restore-{now:%Y%m%dT%H%M%S.%fZ}")
    _give_name(path, aside)
    for suffix in ("-wal", "-shm", "-journal"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    return aside


def _give_name(file: Path, name: Path) -> None:
    """Give a file a second name, never over a file that came meanwhile; rename it where links are not supported."""
    try:
        os.link(file, name)
    except FileExistsError:
        raise
    except OSError:  # not every file system has links
        file.rename(name)
