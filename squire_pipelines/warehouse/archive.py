"""Moves old rows from the ledger to the archive: Parquet files beside the warehouse that are never deleted.

The order matters: the rows are written, synced and renamed into place, and only then deleted, in transactions that
check again that nothing has changed. Whenever the process ends in between, a row is in the ledger, in the archive, or
in both, in which case readers take it once: docs/decisions/0013-archive-before-delete.md.
"""

import hashlib
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import duckdb
from sqlalchemy import ColumnElement

from squire_pipelines.errors import WarehouseError
from squire_pipelines.file_store.layout import ARCHIVE
from squire_pipelines.file_store.store import FileStore
from squire_pipelines.files import fsync, lock, put_in_place
from squire_pipelines.home import make_folder
from squire_pipelines.ledger import retention as retention_rules
from squire_pipelines.ledger.retention import ArchiveFile, Retention
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.ledger.tables import metadata
from squire_pipelines.warehouse import changes, engine, schema

TASKS_PER_FILE = 2_000
"""Tasks, or rows of another table, that are written and deleted together."""

DELETED_AT_ONCE = 200
"""Tasks, or rows of another table, that one transaction deletes: other writers wait for it."""

MAX_PER_RUN = 100_000
"""Tasks, and rows of each other table, that one run archives; the next run continues."""

_MEMORY = 256 * 2**20

Checkpoint = Callable[[str], None]
Progress = Callable[[str, int], None]


@dataclass(slots=True)
class ArchivingResult:
    """What a run did, or would do: archived rows by table, files, and how many tasks were kept for which reason."""

    dry_run: bool
    rows: dict[str, int] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    bytes: int = 0
    kept: dict[str, int] = field(default_factory=dict)
    more: bool = False

    @property
    def tasks(self) -> int:
        """The number of archived tasks."""
        return self.rows.get("tasks", 0)


def _ignore(*_arguments: object) -> None:
    """Do nothing."""


def archive_old_rows(
    ledger: Ledger,
    archive: Path,
    retention: Retention,
    *,
    dry_run: bool = False,
    most: int = MAX_PER_RUN,
    progress: Progress = _ignore,
    checkpoint: Checkpoint = _ignore,
    store: FileStore | None = None,
) -> ArchivingResult:
    """Archive and delete the rows that were kept long enough.

    Args:
        ledger: Whose rows.
        archive: The archive's folder; created if needed.
        retention: How long rows are kept.
        dry_run: Only count.
        most: Tasks, and rows of each other table, at most.
        progress: Called with the table and how many of its rows were archived so far.
        checkpoint: Called with the name of each step before it is done, for tests.
        store: Where each file is put too, before the rows leave the ledger.

    Raises:
        FileStoreError: The store does not take a file; nothing was deleted that is not there.
        WarehouseError: A file cannot be written, or another process is cleaning. Nothing was deleted that is not
            in the archive.
        LedgerError: The ledger does not answer.
    """
    with ledger.read() as tx:
        result = ArchivingResult(dry_run, kept=retention_rules.count_kept_tasks(tx, retention))
        if dry_run:
            tables = ("tasks", *retention_rules.OF_THEMSELVES)
            counts = {table: retention_rules.count_due(tx, retention, table) for table in tables}
            result.rows = {table: count for table, count in counts.items() if count}
            return result
    try:
        make_folder(archive)
        try:
            archiving = lock(archive / ".lock")
        except TimeoutError:
            raise WarehouseError(f"another process is archiving to {archive}", hint="wait for it to end") from None
        with archiving:
            run = _Run(ledger, archive, retention, result, most, progress, checkpoint, store)
            run.remove_unfinished()
            for table in ("tasks", *retention_rules.OF_THEMSELVES):
                run.archive_table(table)
    except (OSError, duckdb.Error) as error:
        raise WarehouseError(
            f"the archive {archive} cannot be written: {engine.reason(error)}",
            hint="nothing was deleted that is not in it; free some disk space?",
        ) from error
    return result


@dataclass(slots=True)
class _Run:
    """One run. The order of its steps is in its methods."""

    ledger: Ledger
    archive: Path
    retention: Retention
    result: ArchivingResult
    most: int
    progress: Progress
    checkpoint: Checkpoint
    store: FileStore | None

    def remove_unfinished(self) -> None:
        """Remove the files that a dead process left half-written; they have no name in the archive yet."""
        for leftover in self.archive.glob("*/.*.building"):
            leftover.unlink(missing_ok=True)

    def archive_table(self, table: str) -> None:
        """Archive the rows of one table that are old enough; tasks with all rows that belong to them."""
        before = -1
        while (room := self.most - self.result.rows.get(table, 0)) > 0:
            if self.result.rows.get(table, 0) == before:
                return  # all rows of the last file have changed meanwhile: the next run tries again
            before = self.result.rows.get(table, 0)
            limit, versions = min(TASKS_PER_FILE, room), {}
            with self.ledger.read() as tx:
                keys = retention_rules.due_keys(tx, self.retention, table, limit=limit)
                if table == "tasks":
                    versions = retention_rules.marks_of_tasks(tx, keys)
                    rows = {name: retention_rules.rows_of_tasks(name, keys) for name in retention_rules.OF_TASKS}
                else:
                    rows = {table: metadata.tables[table].c.id.in_(keys)}
                if not keys:
                    return
                files = self._write(tx, rows)
            for start in range(0, len(keys), DELETED_AT_ONCE):
                batch = keys[start : start + DELETED_AT_ONCE]
                with self._deleting(files) as tx:
                    if table == "tasks":
                        tasks_file = next(file.name for file in files if file.table_name == "tasks")
                        unchanged = {key: versions[key] for key in batch}
                        deleted = retention_rules.delete_tasks(tx, self.retention, unchanged, tasks_file)
                    else:
                        deleted = retention_rules.delete_rows(tx, self.retention, table, batch)
                self._count(table, deleted)
        self.result.more = True

    @contextmanager
    def _deleting(self, files: Sequence[ArchiveFile]) -> Iterator[Transaction]:
        self.checkpoint("delete")
        with self.ledger.write() as tx:
            tx.exclusive("retention")
            retention_rules.record_files(tx, files)
            yield tx
            self.checkpoint("commit")
        self.checkpoint("committed")

    def _count(self, table: str, deleted: int) -> None:
        if deleted:
            self.result.rows[table] = self.result.rows.get(table, 0) + deleted
            self.progress(table, self.result.rows[table])

    def _write(self, tx: Transaction, conditions: dict[str, ColumnElement[bool]]) -> list[ArchiveFile]:
        """Write a file for each table that has such rows, then rename all of them into place."""
        stamp = f"{tx.now:%Y-%m-%d}-{tx.now:%H%M%S%f}{secrets.token_hex(3)}.parquet"
        built: list[tuple[Path, Path, ArchiveFile]] = []
        try:
            for table, condition in conditions.items():
                target = self.archive / table / stamp
                make_folder(target.parent)
                building = target.with_name(f".{stamp}.building")
                self.checkpoint(f"write {table}")
                rows, first, last = _write_rows(tx, table, condition, building)
                if rows:
                    name = f"{table}/{stamp}"
                    size, digest = building.stat().st_size, _digest(building)
                    built.append((building, target, ArchiveFile(name, table, rows, size, digest, first, last)))
            if self.store is not None:
                for building, _, file in built:
                    self.checkpoint(f"store {file.table_name}")
                    self.store.put(f"{ARCHIVE}{file.name}", building)
            for building, target, file in built:
                self.checkpoint(f"rename {file.table_name}")
                put_in_place(building, target)
        finally:
            for table in conditions:
                (self.archive / table / f".{stamp}.building").unlink(missing_ok=True)
        fsync(self.archive)
        self.result.files += [file.name for _, _, file in built]
        self.result.bytes += sum(file.bytes for _, _, file in built)
        return [file for _, _, file in built]


def _write_rows(
    tx: Transaction, table: str, condition: ColumnElement[bool], target: Path
) -> tuple[int, datetime | None, datetime | None]:
    """Write rows of one table as the warehouse has them, and return how many, their first and their last time."""
    spill = target.with_name(f"{target.name}.spill")
    try:
        with engine.connect(memory_limit=_MEMORY, spill=spill, threads=1) as connection:
            schema.create_table(connection, table)
            copy = schema.table_copy(connection, table)
            count = changes.copy_rows(tx, connection, copy, copy.query.where(condition), table)
            if not count:
                return 0, None, None
            moment = retention_rules.TIME_OF.get(table)
            moment = next((new for new, old in schema.RENAMED.items() if old == moment), moment)
            span = f"min({moment}), max({moment})" if moment else "NULL, NULL"
            first, last = connection.execute(f"SELECT {span} FROM {table}").fetchall()[0]  # noqa: S608 - names of our own
            connection.execute(f"COPY {table} TO {engine.literal(target)} (FORMAT parquet, COMPRESSION zstd)")
    finally:
        shutil.rmtree(spill, ignore_errors=True)
    return count, first, last


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
