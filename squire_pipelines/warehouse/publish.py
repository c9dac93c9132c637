"""Publication: the ledger and the archive as a new DuckDB file in the place of the one before.

Usually the file before is copied and what changed since is added; else everything is read anew. How rows are brought
is `changes`', reading the file is `query`'s, and when to publish is the caller's to decide.
"""

import errno
import hashlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import duckdb
from sqlalchemy import select

from squire_pipelines.errors import WarehouseError
from squire_pipelines.ledger import tasks
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.ledger.tables import archived_tasks, task_events
from squire_pipelines.settings import Settings
from squire_pipelines.warehouse import changes, files, schema
from squire_pipelines.warehouse.rules import Rules

BATCH = changes.BATCH
SPILL_FACTOR = 16
"""How many times the memory limit DuckDB may spill to the disk while it builds."""

MAX_GROWTH = 1.5
"""A file that has more than this many times the bytes per row that it had when it was built anew is built anew."""

_FREE_GROWTH = 32 * 2**20
_HEADERS = 3 * 4096
_THREADS = 2
_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
Mode = Literal["incremental", "full"]


@dataclass(frozen=True, slots=True)
class Publication:
    """What was published.

    `watermark` is the newest event's id; `rows` are counted per table, `changed` are those that this publication
    wrote (all of them when `mode` is full, for the `reason` given); sizes are in bytes.
    """

    rows: Mapping[str, int]
    bytes: int
    seconds: float
    watermark: int
    published_at: datetime
    mode: Mode
    reason: str
    changed: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Base:
    """What the file before says of itself."""

    watermark: int
    published_at: datetime
    schema_version: int
    ledger: str
    tables_digest: str
    full_at: datetime
    full_rows: int
    full_bytes: int


class _NotIncremental(Exception):  # noqa: N818 - no error: it says why everything is read anew
    """What changed cannot be told, or the file before cannot be added to."""


def publish_configured(ledger: Ledger, settings: Settings, *, full: bool = False, wait_s: float = 60) -> Publication:
    """Publish as the settings say. Raises WarehouseError, LedgerError."""
    chosen = settings.warehouse
    return publish(
        ledger,
        settings.home.warehouse,
        memory_limit=chosen.memory_limit,
        wait_s=wait_s,
        full=full,
        overlap_s=chosen.overlap_s,
        rules=Rules.of(settings),
    )


def publish(
    ledger: Ledger,
    path: Path,
    *,
    memory_limit: int,
    wait_s: float = 60,
    full: bool = False,
    archive: Path | None = None,
    overlap_s: float = 300,
    rules: Rules | None = None,
) -> Publication:
    """Publish the ledger and the archive at `path`.

    Readers that have the file before open keep it; whoever opens it next sees the new one. Until the very end nothing
    at `path` changes, whatever goes wrong.

    Args:
        ledger: Read in one transaction, so that the file shows one moment.
        path: The warehouse's file; its folder is made when needed.
        memory_limit: Bytes for DuckDB while it builds.
        wait_s: How long to wait for another publisher to finish.
        full: Read everything anew, whatever is there.
        archive: The folder with what left the ledger, `archive` beside the file by default. It need not exist.
        overlap_s: How much later than its time a row may have been committed and still be noticed.
        rules: What is aimed at and what may be spent; by default as the settings have it when nothing is set.

    Raises:
        WarehouseError: Another process is publishing, a file of the archive cannot be read, or the file cannot be
            built or put in its place.
        LedgerError: The ledger does not answer.
    """
    started = time.monotonic()
    job = _Publisher(
        ledger,
        path,
        memory_limit,
        archive or path.parent / "archive",
        timedelta(seconds=overlap_s),
        Rules.when_nothing_is_set() if rules is None else rules,
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with files.publication_lock(path, wait_s=wait_s), files.new_file(path) as building:
            done = job.run(building, full=full)
            if os.path.lexists(f"{building}.wal"):
                raise WarehouseError(f"DuckDB left a write-ahead log beside {building.name}", hint="publish again")
            if done.mode == "incremental":
                files.pad_to_size(path, building, up_to=done.bytes_before)
            size = building.stat().st_size
            files.put_in_place(building, path)
    except OSError as error:
        raise _cannot_publish(path, str(error.strerror or error), full=error.errno in _DISK_FULL) from error
    except duckdb.Error as error:
        memory, no_space = _is_out_of_memory(error), _is_disk_full(error)
        raise _cannot_publish(path, _first_line(error), full=no_space, memory=memory) from error
    return Publication(
        rows=MappingProxyType(done.rows),
        bytes=size,
        seconds=time.monotonic() - started,
        watermark=done.watermark,
        published_at=done.published_at,
        mode=done.mode,
        reason=done.reason,
        changed=MappingProxyType(done.changed),
    )


@dataclass(frozen=True, slots=True)
class _Built:
    rows: dict[str, int]
    changed: dict[str, int]
    watermark: int
    published_at: datetime
    mode: Mode
    reason: str
    bytes_before: int
    """How far the blocks of the file before reach."""


@dataclass(frozen=True, slots=True)
class _Publisher:
    ledger: Ledger
    path: Path
    memory_limit: int
    archive: Path
    overlap: timedelta
    rules: Rules

    def run(self, building: Path, *, full: bool) -> _Built:
        """Build the new file, closed, at `building`."""
        if full:
            return self._build(building, "it was asked for")
        try:
            return self._add(building)
        except _NotIncremental as why:
            reason = str(why)
        for left in building.parent.glob(f"{building.name}*"):
            files.remove(left)
        return self._build(building, reason)

    def _add(self, building: Path) -> _Built:
        """Copy the file before and add what changed. Raises _NotIncremental."""
        if not self.path.exists():
            raise _NotIncremental("there was none before")
        if not files.copy_sealed(self.path, building):
            raise _NotIncremental("another program has written to the file")
        try:
            return self._add_to(building)
        except duckdb.Error as error:
            if _is_out_of_memory(error) or _is_disk_full(error):
                raise
            raise _NotIncremental("the file before cannot be added to: " + _first_line(error)) from error

    def _add_to(self, building: Path) -> _Built:
        size = building.stat().st_size
        with self._opened(building) as connection, self.ledger.read() as tx:
            base = self._check(connection, tx, size)
            # One checkpoint alone, at the end: a second one would write over blocks of the old file, see `pad_to_size`.
            connection.execute("SET checkpoint_threshold = '1TB'")
            before = _HEADERS + _size(connection)
            since = changes.Since(base.published_at, base.published_at - self.overlap)
            connection.begin()
            changes.create_touched(connection)
            changed = {
                table: changes.add_changes(tx, connection, table, since)
                + changes.add_archive(connection, self.archive, table)
                for table in schema.TABLES
            }
            self._check_times(connection, base, since)
            return self._finish(connection, tx, changed, base=base, reason="", bytes_before=before)

    def _build(self, building: Path, reason: str) -> _Built:
        """Read everything."""
        with self._opened(building) as connection, self.ledger.read() as tx:
            # Outside of a transaction, each of the many comments would be synced to the disk by itself.
            connection.begin()
            schema.create_tables(connection)
            connection.commit()
            changed = {table: changes.fill(tx, connection, table) for table in schema.TABLES}
            connection.begin()
            changes.create_touched(connection)
            for table in schema.TABLES:
                changed[table] += changes.add_archive(connection, self.archive, table)
            changes.create_touched(connection, everything=True)
            return self._finish(connection, tx, changed, base=None, reason=reason)

    def _check(self, connection: duckdb.DuckDBPyConnection, tx: Transaction, size: int) -> _Base:
        """What the file before says, if it can be added to."""
        try:
            base = _Base(*connection.execute(_SAID).fetchall()[0])
        except (duckdb.Error, IndexError) as error:
            raise _NotIncremental("the file before is of another version") from error
        rows = sum(_counted(connection).values())
        allowed = base.full_bytes * MAX_GROWTH * max(1.0, rows / max(1, base.full_rows)) + _FREE_GROWTH
        wrong = {
            "the file before is of another version": (base.schema_version, base.tables_digest)
            != (schema.SCHEMA_VERSION, schema.tables_digest()),
            "the file before is another ledger's": base.ledger != _identity(self.ledger),
            "the ledger's clock stands before the last publication": tx.now < base.published_at,
            "the ledger is not what was published, but older or another": not _is_continued(connection, tx, base),
            "the file has grown": size > allowed,
        }
        for reason, holds in wrong.items():
            if holds:
                raise _NotIncremental(reason)
        return base

    def _check_times(self, connection: duckdb.DuckDBPyConnection, base: _Base, since: changes.Since) -> None:
        """New events with old times mean a clock that was set back, or a transaction later than the overlap."""
        late = connection.execute(
            "SELECT count(*) FROM task_events WHERE id > ? AND occurred_at < ?::TIMESTAMPTZ",
            [base.watermark, since.from_at],
        ).fetchall()[0][0]
        if late:
            raise _NotIncremental("new events bear times from long before the last publication")

    def _finish(
        self,
        connection: duckdb.DuckDBPyConnection,
        tx: Transaction,
        changed: dict[str, int],
        *,
        base: _Base | None,
        reason: str,
        bytes_before: int = 0,
    ) -> _Built:
        changes.derive(connection)
        schema.create_metrics(connection)
        watermark = tasks.last_event_id(tx)
        mode: Mode = "full" if base is None else "incremental"
        self.rules.write(tx, connection)
        rows = _counted(connection)
        connection.execute("DELETE FROM _publication")
        connection.execute(
            "INSERT INTO _publication VALUES (?, ?::TIMESTAMPTZ, ?, ?, ?, ?, ?, ?::TIMESTAMPTZ, ?, ?)",
            [
                watermark,
                tx.now,
                schema.SCHEMA_VERSION,
                mode,
                reason,
                _identity(self.ledger),
                schema.tables_digest(),
                base.full_at if base else tx.now,
                base.full_rows if base else sum(rows.values()),
                base.full_bytes if base else 0,
            ],
        )
        connection.commit()
        connection.execute("CHECKPOINT")
        if base is None:
            connection.execute("UPDATE _publication SET full_bytes = ?", [_size(connection)])
            connection.execute("CHECKPOINT")
        return _Built(rows, changed, watermark, tx.now, mode, reason, bytes_before)

    def _opened(self, building: Path) -> duckdb.DuckDBPyConnection:
        if building.exists():
            building.chmod(0o600)
        return duckdb.connect(
            str(building),
            config={
                "memory_limit": f"{self.memory_limit}B",
                "threads": _THREADS,
                "temp_directory": f"{building}.spill",
                "max_temp_directory_size": f"{self.memory_limit * SPILL_FACTOR}B",
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            },
        )


_SAID = (
    "SELECT watermark, published_at, schema_version, ledger, tables_digest, full_at, full_rows, full_bytes "
    "FROM _publication"
)


def _is_continued(connection: duckdb.DuckDBPyConnection, tx: Transaction, base: _Base) -> bool:
    """Whether the newest event that was published is in the ledger, or has left it with its task."""
    if base.watermark == 0:
        return True
    known = connection.execute("SELECT task_id, occurred_at FROM task_events WHERE id = ?", [base.watermark]).fetchall()
    event = tx.execute(
        select(task_events.c.task_id, task_events.c.at).where(task_events.c.id == base.watermark)
    ).fetchall()
    if event:
        return [(task_id, at.astimezone(UTC)) for task_id, at in known] == [tuple(row) for row in event]
    tasks_gone = [task_id for task_id, _ in known]
    return bool(tx.execute(select(archived_tasks.c.id).where(archived_tasks.c.id.in_(tasks_gone))).all())


def _identity(ledger: Ledger) -> str:
    return hashlib.sha256(ledger.describe().encode()).hexdigest()[:16]


def _counted(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    counts = ", ".join(f"(SELECT count(*) FROM {table})" for table in schema.TABLES)  # noqa: S608 - names of our own
    return dict(zip(schema.TABLES, connection.execute(f"SELECT {counts}").fetchall()[0], strict=True))


def _size(connection: duckdb.DuckDBPyConnection) -> int:
    return int(connection.execute("SELECT block_size * total_blocks FROM pragma_database_size()").fetchall()[0][0])


def _is_out_of_memory(error: duckdb.Error) -> bool:
    return isinstance(error, duckdb.OutOfMemoryException)


def _is_disk_full(error: duckdb.Error) -> bool:
    return not _is_out_of_memory(error) and any(os.strerror(number) in str(error) for number in _DISK_FULL)


def _first_line(error: duckdb.Error) -> str:
    return str(error).strip().partition("\n")[0]


def _cannot_publish(path: Path, reason: str, *, full: bool = False, memory: bool = False) -> WarehouseError:
    hint = f"check that {path.parent} is a folder that you may write to"
    if full:
        hint = "free some disk space; what was published before is untouched"
    if memory:
        hint = "raise warehouse.memory_limit; what was published before is untouched"
    return WarehouseError(f"the warehouse {path} cannot be published: {reason}", hint=hint)
