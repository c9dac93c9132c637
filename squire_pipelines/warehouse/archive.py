"""The archive: rows that leave the ledger, as Parquet files that lie beside the warehouse for good.

Order is everything here: the rows are written, synced and renamed into place, and only then deleted, in transactions
that check again that nothing has changed. Whatever ends the process in between, a row is in the ledger, or in the
archive, or in both, where readers take it once. Files are never deleted: docs/decisions/0013-archive-before-delete.md.
"""

import hashlib
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
from sqlalchemy import ColumnElement

from squire_pipelines.errors import WarehouseError
from squire_pipelines.files import fsync, lock, put_in_place
from squire_pipelines.ledger import retention as rules
from squire_pipelines.ledger.retention import ArchiveFile, Retention
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.ledger.tables import metadata
from squire_pipelines.sections import RetentionSettings
from squire_pipelines.warehouse import schema

TASKS_PER_FILE = 2_000
"""Tasks, or rows of another table, that are written and deleted together."""

DELETED_AT_ONCE = 200
"""Tasks, or rows of another table, of one deleting transaction: other writers wait for it."""

MAX_PER_RUN = 100_000
"""Tasks, and rows of each other table, of one run; the next goes on."""

_READ_AT_ONCE = 1_000
_MEMORY = 256 * 2**20

Checkpoint = Callable[[str], None]
Progress = Callable[[str, int], None]


def retention_of(settings: RetentionSettings) -> Retention:
    """The rules as they are set."""
    days = {
        "tasks": settings.tasks_days,
        "deliveries": settings.deliveries_days,
        "collections": settings.collections_days,
        "signals": settings.signals_days,
        "plans": settings.plans_days,
        "model_calls": settings.model_calls_days,
        "budgets": settings.budgets_days,
    }
    return Retention({table: timedelta(days=count) for table, count in days.items()})


@dataclass(slots=True)
class Cleaned:
    """What a run did, or would do: rows that went by table, files written, and why tasks stayed."""

    dry_run: bool
    rows: dict[str, int] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    bytes: int = 0
    held: dict[str, int] = field(default_factory=dict)
    more: bool = False

    @property
    def tasks(self) -> int:
        """How many tasks went."""
        return self.rows.get("tasks", 0)


def _nothing(*_arguments: object) -> None:
    """Nobody watches."""


def clean(
    ledger: Ledger,
    archive: Path,
    retention: Retention,
    *,
    dry_run: bool = False,
    most: int = MAX_PER_RUN,
    progress: Progress = _nothing,
    checkpoint: Checkpoint = _nothing,
) -> Cleaned:
    """Archive and delete what was kept long enough.

    Args:
        ledger: Its rows.
        archive: The archive's folder; made when needed.
        retention: The rules.
        dry_run: Only count.
        most: Tasks, and rows of each other table, at most.
        progress: Told the table and how many of its rows went so far.
        checkpoint: Told the name of each step before it is done, for tests.

    Raises:
        WarehouseError: A file cannot be written, or another process is cleaning. Nothing was deleted that is not
            in the archive.
        LedgerError: The ledger does not answer.
    """
    with ledger.read() as tx:
        cleaned = Cleaned(dry_run, held=rules.held_tasks(tx, retention))
        if dry_run:
            cleaned.rows = {"tasks": rules.count_due_tasks(tx, retention)} | {
                table: rules.count_due_rows(tx, retention, table) for table in rules.OF_THEMSELVES
            }
            cleaned.rows = {table: count for table, count in cleaned.rows.items() if count}
            return cleaned
    try:
        archive.mkdir(parents=True, exist_ok=True)
        try:
            cleaning = lock(archive / ".lock")
        except TimeoutError:
            raise WarehouseError(f"another process is cleaning into {archive}", hint="wait for it to end") from None
        with cleaning:
            run = _Run(ledger, archive, retention, cleaned, most, progress, checkpoint)
            run.remove_unfinished()
            run.clean_tasks()
            for table in rules.OF_THEMSELVES:
                run.clean_rows(table)
    except (OSError, duckdb.Error) as error:
        reason = str(getattr(error, "strerror", None) or error).strip().partition("\n")[0]
        raise WarehouseError(
            f"the archive {archive} cannot be written: {reason}",
            hint="nothing was deleted that is not in it; free some disk space?",
        ) from error
    return cleaned


@dataclass(slots=True)
class _Run:
    """One run; its methods say the order."""

    ledger: Ledger
    archive: Path
    retention: Retention
    cleaned: Cleaned
    most: int
    progress: Progress
    checkpoint: Checkpoint

    def remove_unfinished(self) -> None:
        """What a dead process left half-written: it has no name in the archive yet."""
        for left in self.archive.glob("*/.*.building"):
            left.unlink(missing_ok=True)

    def clean_tasks(self) -> None:
        """Tasks with all that belongs to them, the longest ended first."""
        while (room := self.most - self.cleaned.tasks) > 0:
            with self.ledger.read() as tx:
                ids = rules.due_tasks(tx, self.retention, limit=min(TASKS_PER_FILE, room))
                if not ids:
                    return
                marks = rules.marks_of_tasks(tx, ids)
                files = self._write(tx, {table: rules.rows_of_tasks(table, ids) for table in rules.OF_TASKS})
            of_tasks = next(file.name for file in files if file.table == "tasks")
            before = self.cleaned.tasks
            for start in range(0, len(ids), DELETED_AT_ONCE):
                part = {task_id: marks[task_id] for task_id in ids[start : start + DELETED_AT_ONCE]}
                with self._deleting(files) as tx:
                    gone = rules.delete_tasks(tx, self.retention, part, of_tasks)
                self._count("tasks", gone)
            if self.cleaned.tasks == before:
                return  # all of them have changed meanwhile: the next run looks again
        self.cleaned.more = True

    def clean_rows(self, table: str) -> None:
        """The rows of a table that go by their own age."""
        while (room := self.most - self.cleaned.rows.get(table, 0)) > 0:
            with self.ledger.read() as tx:
                keys = rules.due_rows(tx, self.retention, table, limit=min(TASKS_PER_FILE, room))
                if not keys:
                    return
                files = self._write(tx, {table: metadata.tables[table].c.id.in_(keys)})
            before = self.cleaned.rows.get(table, 0)
            for start in range(0, len(keys), DELETED_AT_ONCE):
                with self._deleting(files) as tx:
                    gone = rules.delete_rows(tx, self.retention, table, keys[start : start + DELETED_AT_ONCE])
                self._count(table, gone)
            if self.cleaned.rows.get(table, 0) == before:
                return
        self.cleaned.more = True

    @contextmanager
    def _deleting(self, files: Sequence[ArchiveFile]) -> Iterator[Transaction]:
        self.checkpoint("delete")
        with self.ledger.write() as tx:
            tx.exclusive("retention")
            rules.record_files(tx, files)
            yield tx
            self.checkpoint("commit")
        self.checkpoint("committed")

    def _count(self, table: str, gone: int) -> None:
        if gone:
            self.cleaned.rows[table] = self.cleaned.rows.get(table, 0) + gone
            self.progress(table, self.cleaned.rows[table])

    def _write(self, tx: Transaction, conditions: dict[str, ColumnElement[bool]]) -> list[ArchiveFile]:
        """Write a file for each table that has such rows, then give all of them their names."""
        stamp = f"{tx.now:%Y-%m-%d}-{tx.now:%H%M%S%f}{secrets.token_hex(3)}.parquet"
        built: list[tuple[Path, Path, ArchiveFile]] = []
        try:
            for table, condition in conditions.items():
                target = self.archive / table / stamp
                target.parent.mkdir(exist_ok=True)
                building = target.with_name(f".{stamp}.building")
                self.checkpoint(f"write {table}")
                rows, first, last = _write_rows(tx, table, condition, building)
                if rows:
                    name = f"{table}/{stamp}"
                    size, digest = building.stat().st_size, _digest(building)
                    built.append((building, target, ArchiveFile(name, table, rows, size, digest, first, last)))
            for building, target, file in built:
                self.checkpoint(f"rename {file.table}")
                put_in_place(building, target)
        finally:
            for table in conditions:
                (self.archive / table / f".{stamp}.building").unlink(missing_ok=True)
        fsync(self.archive)
        self.cleaned.files += [file.name for _, _, file in built]
        self.cleaned.bytes += sum(file.bytes for _, _, file in built)
        return [file for _, _, file in built]


def _write_rows(
    tx: Transaction, table: str, condition: ColumnElement[bool], target: Path
) -> tuple[int, datetime | None, datetime | None]:
    """Write the rows that the warehouse would have of this table, exactly as it would have them; synced.

    Returns how many they are, and the first and last time of them.
    """
    config: dict[str, Any] = {
        "memory_limit": f"{_MEMORY}B",
        "threads": 1,
        "temp_directory": str(target.with_name(f"{target.name}.spill")),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    try:
        with duckdb.connect(":memory:", config=config) as connection:
            schema.create_table(connection, table)
            copy = schema.copy_of(connection, table)
            count = 0
            query = copy.query.where(condition).execution_options(yield_per=_READ_AT_ONCE)
            for batch in tx.execute(query).partitions():
                connection.execute(copy.insert_into(table), [list(column) for column in zip(*batch, strict=True)])
                count += len(batch)
            if not count:
                return 0, None, None
            moment = rules.TIME_OF.get(table)
            moment = next((new for new, old in schema.RENAMED.items() if old == moment), moment)
            span = f"min({moment}), max({moment})" if moment else "NULL, NULL"
            first, last = connection.execute(f"SELECT {span} FROM {table}").fetchall()[0]  # noqa: S608 - names of our own
            literal = "'" + str(target).replace("'", "''") + "'"
            connection.execute(f"COPY {table} TO {literal} (FORMAT parquet, COMPRESSION zstd)")
    finally:
        shutil.rmtree(config["temp_directory"], ignore_errors=True)
    return count, first, last


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
