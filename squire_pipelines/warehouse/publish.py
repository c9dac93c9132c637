"""Publishes the ledger and the archive as a new DuckDB file that replaces the previous one.

Usually the previous file is copied and what changed since is added; otherwise everything is read again. `changes`
copies the rows, `query` reads the file, and the caller decides when to publish.
"""

import errno
import hashlib
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import duckdb
from sqlalchemy import select

from squire_pipelines.domain.budgets import BudgetLimits
from squire_pipelines.errors import WarehouseError
from squire_pipelines.files import fsync
from squire_pipelines.home import make_folder
from squire_pipelines.ledger import tasks
from squire_pipelines.ledger.budgets import LimitsOf
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.ledger.tables import archived_tasks, task_events
from squire_pipelines.sections.operation import WarehouseSettings
from squire_pipelines.warehouse import changes, engine, files, schema, settings_tables
from squire_pipelines.warehouse.settings_tables import PublishedTargets

SPILL_FACTOR = 16
"""How many times the memory limit DuckDB may spill to the disk while it builds."""

_HEADERS = 3 * 4096
_THREADS = 2
_OTHER_VERSION = "the previous file is of another version"
_WRITTEN_TO = "another program has written to the file"
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
class IncrementalRules:
    """When the previous file may be added to: one of this version that has not grown too much.

    It may have `max_growth` times the bytes per row that it had after the last full publication, and `free_growth`
    bytes more. `copy_file` copies it, and returns False when another program has written to it. One publication in
    `merge_every` puts the rows that were added together with those before them, which means to write those again.
    """

    schema_version: int = schema.SCHEMA_VERSION
    max_growth: float = 1.5
    free_growth: int = 32 * 2**20
    copy_file: Callable[[Path, Path], bool] = files.copy_sealed
    merge_every: int = 8


@dataclass(frozen=True, slots=True)
class _PreviousFile:
    """What the previous file says about itself."""

    watermark: int
    published_at: datetime
    schema_version: int
    ledger: str
    tables_digest: str
    full_at: datetime
    full_rows: int
    full_bytes: int
    additions: int


class _NotIncremental(Exception):  # noqa: N818 - no error: it says why everything is read again
    """The changes cannot be found, or the previous file cannot be added to."""


def _no_limits(_repository: str) -> BudgetLimits:
    return BudgetLimits()


def publish_warehouse(
    ledger: Ledger,
    path: Path,
    settings: WarehouseSettings | None = None,
    *,
    limits_of: LimitsOf = _no_limits,
    targets: PublishedTargets = PublishedTargets(),  # noqa: B008 - it is frozen
    full: bool = False,
    wait_s: float = 60,
    archive: Path | None = None,
    incremental: IncrementalRules | None = None,
) -> Publication:
    """Publish the ledger and the archive at `path`.

    Readers that have the previous file open keep it; whoever opens it next sees the new one. Nothing at `path` changes
    until the very end, whatever goes wrong.

    Args:
        ledger: Read in one transaction, so that the file shows one moment.
        path: The warehouse's file; its folder is created if needed.
        settings: The memory limit and the overlap.
        limits_of: Returns a repository's budgets, for the tasks that are held back.
        targets: Of the settings.
        full: Read everything again, whatever is there.
        wait_s: How long to wait for another publisher to finish.
        archive: The folder with the rows that left the ledger, `archive` beside the file by default. It need not exist.
        incremental: When the previous file may be added to.

    Raises:
        WarehouseError: Another process is publishing, a file of the archive cannot be read, or the file cannot be
            built or put in its place.
        LedgerError: The ledger does not answer.
    """
    started = time.monotonic()
    publisher = _Publisher(
        ledger,
        path,
        settings or WarehouseSettings(),
        limits_of,
        targets,
        archive or path.parent / "archive",
        incremental or IncrementalRules(),
    )
    try:
        make_folder(path.parent)
        with files.publication_lock(path, wait_s=wait_s), files.new_file(path) as building:
            publication = publisher.run(building, full=full)
            if os.path.lexists(f"{building}.wal"):
                raise WarehouseError(f"DuckDB left a write-ahead log beside {building.name}", hint="publish again")
            size = building.stat().st_size
            files.put_in_place(building, path)
    except (OSError, duckdb.Error) as error:
        hint = f"check that {path.parent} is a folder that you may write to"
        if _is_disk_full(error):
            hint = "free some disk space; what was published before is unchanged"
        if isinstance(error, duckdb.OutOfMemoryException):
            hint = "raise warehouse.memory_limit; what was published before is unchanged"
        raise WarehouseError(f"the warehouse {path} cannot be published: {engine.reason(error)}", hint=hint) from error
    return replace(publication, bytes=size, seconds=time.monotonic() - started)


@dataclass(frozen=True, slots=True)
class _Publisher:
    ledger: Ledger
    path: Path
    settings: WarehouseSettings
    limits_of: LimitsOf
    targets: PublishedTargets
    archive: Path
    incremental: IncrementalRules

    def run(self, building: Path, *, full: bool) -> Publication:
        """Build the new file, closed, at `building`; its size and the seconds are for the caller to fill in."""
        if full:
            return self._build(building, "it was asked for")
        try:
            return self._add(building)
        except _NotIncremental as why:
            reason = str(why)
        for leftover in building.parent.glob(f"{building.name}*"):
            files.remove(leftover)
        return self._build(building, reason)

    def _add(self, building: Path) -> Publication:
        """Copy the previous file and add what changed. Raises _NotIncremental."""
        if not self.path.exists():
            raise _NotIncremental("there was no previous file")
        # The larger the file, the longer the copy takes; what changed is read from the ledger meanwhile.
        with ThreadPoolExecutor(max_workers=1) as copier:
            copying = copier.submit(self.incremental.copy_file, self.path, building)
            syncing = copier.submit(fsync, building)  # so that in the end little more than what was added is left
            try:
                publication = self._add_to_copy(building, copying)
            except duckdb.Error as error:
                if isinstance(error, duckdb.OutOfMemoryException) or _is_disk_full(error):
                    raise
                raise _NotIncremental("the previous file cannot be added to: " + engine.reason(error)) from error
            syncing.result()
        return publication

    def _add_to_copy(self, building: Path, copying: Future[bool]) -> Publication:
        with self._connect(building, opened=False) as connection, self.ledger.read() as tx:
            self._attach_previous(connection, building, copying)
            read = self._read_previous(connection)
            window = changes.ChangeWindow(
                read.published_at, read.published_at - timedelta(seconds=self.settings.overlap_s)
            )
            staged = [changes.stage_changes(tx, connection, table, window) for table in schema.TABLES]
            connection.execute("USE memory; DETACH previous")
            _wait_for_copy(copying)
            building.chmod(0o600)
            size = building.stat().st_size
            connection.execute(f"ATTACH {engine.literal(building)} AS warehouse")
            connection.execute("USE warehouse")
            previous = self._check_previous(connection, tx, size)
            if previous != read:
                raise _NotIncremental(_WRITTEN_TO)
            # A single checkpoint, at the end: a second one would overwrite blocks of the old file, see `pad_to_size`.
            connection.execute("SET checkpoint_threshold = '1TB'")
            # Otherwise it would write up to 2048 rows of a table again for one that is new: all the plans of a year.
            if (previous.additions + 1) % self.incremental.merge_every:
                connection.execute("SET max_vacuum_tasks = 0")
            before = _HEADERS + _size(connection)
            connection.begin()
            changes.create_touched_tables(connection)
            added = changes.archives_added(connection)
            changed = {
                rows.copy.table: changes.add_staged(connection, rows, window)
                + changes.add_archive(connection, self.archive, rows.copy.table, added)
                for rows in staged
            }
            # New events with old times mean a clock that was set back, or a transaction later than the overlap.
            if connection.execute(
                "SELECT 1 FROM task_events WHERE id > ? AND occurred_at < ?::TIMESTAMPTZ LIMIT 1",
                [previous.watermark, window.from_at],
            ).fetchall():
                raise _NotIncremental("new events have times from long before the last publication")
            publication = self._finish(connection, tx, changed, previous=previous, reason="")
        files.pad_to_size(self.path, building, up_to=before)
        return publication

    def _attach_previous(self, connection: duckdb.DuckDBPyConnection, building: Path, copying: Future[bool]) -> None:
        """Open the file to compare the ledger with: the previous one while it is copied, or else the copy."""
        # Under a name of its own, beside which there is no log of somebody's who writes to it.
        link = building.with_name(f"{building.name}.previous")
        # Whatever is wrong with it is met again in the copy; the file system may know no links.
        with suppress(OSError, duckdb.Error):
            link.hardlink_to(self.path)
            connection.execute(f"ATTACH {engine.literal(link)} AS previous (READ_ONLY)")
            connection.execute("USE previous")
            return
        _wait_for_copy(copying)
        connection.execute(f"ATTACH {engine.literal(building)} AS previous (READ_ONLY)")
        connection.execute("USE previous")

    def _build(self, building: Path, reason: str) -> Publication:
        """Read everything."""
        with self._connect(building) as connection, self.ledger.read() as tx:
            # Outside of a transaction, each of the many comments would be synced to the disk on its own.
            connection.begin()
            schema.create_tables(connection)
            connection.commit()
            changed = {table: changes.copy_table(tx, connection, table) for table in schema.TABLES}
            connection.begin()
            changes.create_touched_tables(connection)
            for table in schema.TABLES:
                changed[table] += changes.add_archive(connection, self.archive, table, frozenset())
            changes.create_touched_tables(connection, everything=True)
            return self._finish(connection, tx, changed, previous=None, reason=reason)

    def _read_previous(self, connection: duckdb.DuckDBPyConnection) -> _PreviousFile:
        """Return what the previous file says about itself. Raises _NotIncremental when it is of another version."""
        try:
            previous = _PreviousFile(
                *connection.execute(
                    "SELECT watermark, published_at, schema_version, ledger, tables_digest, full_at, full_rows, "
                    "full_bytes, additions FROM _publication"
                ).fetchall()[0]
            )
        except (duckdb.Error, IndexError) as error:
            raise _NotIncremental(_OTHER_VERSION) from error
        known = (self.incremental.schema_version, schema.tables_digest())
        if (previous.schema_version, previous.tables_digest) != known:
            raise _NotIncremental(_OTHER_VERSION)
        return previous

    def _check_previous(self, connection: duckdb.DuckDBPyConnection, tx: Transaction, size: int) -> _PreviousFile:
        """Return what the previous file says about itself. Raises _NotIncremental when it cannot be added to."""
        previous = self._read_previous(connection)
        rows = sum(_count_rows(connection).values())
        growth = self.incremental.max_growth * max(1.0, rows / max(1, previous.full_rows))
        obstacles = {
            "the previous file is another ledger's": previous.ledger != _identity(self.ledger),
            "the ledger's clock is behind the last publication": tx.now < previous.published_at,
            "the ledger is older than what was published, or another one": not _is_continued(connection, tx, previous),
            "the file has grown": size > previous.full_bytes * growth + self.incremental.free_growth,
        }
        for reason, applies in obstacles.items():
            if applies:
                raise _NotIncremental(reason)
        return previous

    def _finish(
        self,
        connection: duckdb.DuckDBPyConnection,
        tx: Transaction,
        changed: dict[str, int],
        *,
        previous: _PreviousFile | None,
        reason: str,
    ) -> Publication:
        changes.derive(connection)
        schema.create_metrics(connection)
        # The newest event may have left the ledger with its task, where nothing has happened since.
        newest = int(connection.execute("SELECT coalesce(max(id), 0) FROM task_events").fetchall()[0][0])
        watermark = max(tasks.last_event_id(tx), newest)
        mode: Mode = "full" if previous is None else "incremental"
        settings_tables.write_targets(connection, self.targets)
        settings_tables.write_blocked(tx, connection, self.limits_of)
        settings_tables.write_repositories(tx, connection)
        settings_tables.write_tenants(tx, connection)
        rows = _count_rows(connection)
        connection.execute("DELETE FROM _publication")
        connection.execute(
            "INSERT INTO _publication VALUES (?, ?::TIMESTAMPTZ, ?, ?, ?, ?, ?, ?::TIMESTAMPTZ, ?, ?, ?)",
            [
                watermark,
                tx.now,
                schema.SCHEMA_VERSION,
                mode,
                reason,
                _identity(self.ledger),
                schema.tables_digest(),
                previous.full_at if previous else tx.now,
                previous.full_rows if previous else sum(rows.values()),
                previous.full_bytes if previous else 0,
                previous.additions + 1 if previous else 0,
            ],
        )
        connection.commit()
        connection.execute("CHECKPOINT")
        if previous is None:
            connection.execute("UPDATE _publication SET full_bytes = ?", [_size(connection)])
            connection.execute("CHECKPOINT")
        return Publication(MappingProxyType(rows), 0, 0.0, watermark, tx.now, mode, reason, MappingProxyType(changed))

    def _connect(self, building: Path, *, opened: bool = True) -> duckdb.DuckDBPyConnection:
        """Open the new file, or nothing yet, with what does not fit into memory beside it."""
        connection = engine.connect(
            building if opened else None,
            memory_limit=self.settings.memory_limit,
            spill=building.with_name(f"{building.name}.spill"),
            spill_limit=self.settings.memory_limit * SPILL_FACTOR,
            threads=_THREADS,
        )
        connection.execute("SET fsync_mode = 'NONE'")  # `put_in_place` syncs the whole file, once
        return connection


def _wait_for_copy(copying: Future[bool]) -> None:
    if not copying.result():
        raise _NotIncremental(_WRITTEN_TO)


def _is_continued(connection: duckdb.DuckDBPyConnection, tx: Transaction, previous: _PreviousFile) -> bool:
    """Return whether the newest published event is in the ledger, or was archived with its task."""
    if previous.watermark == 0:
        return True
    published = connection.execute(
        "SELECT task_id, occurred_at FROM task_events WHERE id = ?", [previous.watermark]
    ).fetchall()
    event = tx.execute(
        select(task_events.c.task_id, task_events.c.at).where(task_events.c.id == previous.watermark)
    ).fetchall()
    if event:
        return [(task_id, at.astimezone(UTC)) for task_id, at in published] == [tuple(row) for row in event]
    task_ids = [task_id for task_id, _ in published]
    return bool(tx.execute(select(archived_tasks.c.id).where(archived_tasks.c.id.in_(task_ids))).all())


def _identity(ledger: Ledger) -> str:
    return hashlib.sha256(ledger.describe().encode()).hexdigest()[:16]


def _count_rows(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    counts = ", ".join(f"(SELECT count(*) FROM {table})" for table in schema.TABLES)  # noqa: S608 - names of our own
    return dict(zip(schema.TABLES, connection.execute(f"SELECT {counts}").fetchall()[0], strict=True))


def _size(connection: duckdb.DuckDBPyConnection) -> int:
    query = "SELECT block_size * total_blocks FROM pragma_database_size() WHERE database_name = current_database()"
    return int(connection.execute(query).fetchall()[0][0])


def _is_disk_full(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno in _DISK_FULL
    return any(os.strerror(number) in str(error) for number in _DISK_FULL)  # DuckDB quotes the system's words
