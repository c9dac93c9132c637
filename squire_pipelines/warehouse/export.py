"""Exports the published tables as Parquet for other engines: a file per table and day, in a folder or object store.

`TABLE/day=YYYY-MM-DD/part-0.parquet`, the day in UTC on which the row began. The SQL here is our own, so that the
engine may write; people's queries are in `query`.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol
from urllib.parse import urlsplit

import duckdb

from squire_pipelines.domain.store_urls import OBJECT_STORES, shown_url
from squire_pipelines.errors import ConfigError, SquireError, WarehouseError
from squire_pipelines.file_store.opening import folder_of, open_filesystem
from squire_pipelines.files import put_in_place
from squire_pipelines.home import make_folder
from squire_pipelines.warehouse import engine
from squire_pipelines.warehouse.parquet import FORMAT
from squire_pipelines.warehouse.query import open_published

FILE_NAME = "part-0.parquet"
MEMORY_LIMIT = 256 * 2**20
STALE_AFTER_S = 86_400
"""A later export removes what a killed one left in a folder when it is older than this."""

# The moment at which a row began. It never changes, so that a row always stays in the same file.
BEGIN_COLUMNS: Mapping[str, str] = MappingProxyType(
    {
        "tasks": "created_at",
        "task_dependencies": "(SELECT created_at FROM tasks WHERE tasks.id = task_dependencies.task_id)",
        "attempts": "queued_at",
        "task_events": "occurred_at",
        "outcomes": "opened_at",
        "merges": "(SELECT opened_at FROM outcomes WHERE outcomes.task_id = merges.task_id)",
        "alerts": "began_at",
        "base_watches": "(SELECT opened_at FROM outcomes WHERE outcomes.task_id = base_watches.task_id)",
        "signals": "first_seen_at",
        "signal_episodes": "opened_at",
        "signal_events": "occurred_at",
        "check_reruns": "requested_at",
        "collections": "started_at",
        "plans": "created_at",
        "model_calls": "occurred_at",
        "deliveries": "received_at",
        "delivery_effects": "occurred_at",
        "delivery_refusals": "minute",
        "delivery_checks": "occurred_at",
        "budgets": "opened_at",
        "audit": "occurred_at",
        "task_facts": "planned_at",
        "attempt_facts": "(SELECT queued_at FROM attempts WHERE attempts.id = attempt_facts.attempt_id)",
    }
)

_PREFIX = ".squire-export-"


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """One file of an export: `name` is below the target, the size in bytes."""

    name: str
    table: str
    day: date
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Export:
    """The files that were written, and the moment that they show."""

    files: tuple[ExportedFile, ...]
    published_at: datetime


class _Destination(Protocol):
    def work_folder(self) -> AbstractContextManager[Path]: ...

    def put(self, built: Path, name: str) -> None: ...


def export(
    path: Path,
    target: str,
    *,
    tables: Iterable[str] | None = None,
    since: date | None = None,
    until: date | None = None,
    memory_limit: int = MEMORY_LIMIT,
    on_file: Callable[[ExportedFile], None] | None = None,
) -> Export:
    """Write the published tables below `target`, all of one moment.

    An existing file is replaced as a whole, so that an export may be repeated or interrupted at any time. Days on which
    nothing began have no file.

    Args:
        path: The warehouse's file.
        target: A folder, or the URL of an object store (`s3://bucket/prefix`), which finds its own credentials.
        tables: Some of `BEGIN_COLUMNS`; all of them by default.
        since: The first day.
        until: The last day.
        memory_limit: Bytes for DuckDB; what does not fit is on the disk meanwhile.
        on_file: Called with each file when it is in its place.

    Raises:
        WarehouseError: Nothing is published, a table is unknown, or the target cannot be written.
    """
    names = _check_tables(tables)
    if since and until and since > until:
        raise WarehouseError(f"the first day, {since}, is after the last, {until}", hint="change --since or --until")
    destination = _open_destination(target)
    exported: list[ExportedFile] = []
    try:
        with (
            destination.work_folder() as folder,
            open_published(path, memory_limit, spill=folder / "spill") as connection,
        ):
            connection.execute("SET threads = 1")  # so that equal rows make equal bytes
            (published_at,) = _row(connection, "SELECT published_at FROM _publication")
            published = {name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
            for table in names:
                if table in published:
                    for file in _export_table(connection, table, (since, until), folder, destination):
                        exported.append(file)
                        if on_file is not None:
                            on_file(file)
    except SquireError:
        raise
    except Exception as error:  # a store's library may raise anything, and all of it means the same here
        raise _cannot_export(target, error) from error
    return Export(tuple(exported), published_at)


def _check_tables(tables: Iterable[str] | None) -> tuple[str, ...]:
    names = tuple(BEGIN_COLUMNS) if tables is None else tuple(dict.fromkeys(tables))
    unknown = [name for name in names if name not in BEGIN_COLUMNS]
    if unknown or not names:
        problem = f"there is no table {unknown[0]!r} to export" if unknown else "no table is named"
        raise WarehouseError(problem, hint=f"there are {', '.join(BEGIN_COLUMNS)}")
    return names


def _export_table(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    span: tuple[date | None, date | None],
    folder: Path,
    destination: _Destination,
) -> Iterator[ExportedFile]:
    began = BEGIN_COLUMNS[table]
    days = connection.execute(
        f"SELECT DISTINCT make_timestamp(epoch_us({began}))::DATE AS day FROM {table} "  # noqa: S608 - our own names
        "WHERE day IS NOT NULL AND day >= coalesce(?, day) AND day <= coalesce(?, day) ORDER BY day",
        list(span),
    ).fetchall()
    json_columns = connection.execute(
        "SELECT column_name FROM duckdb_columns() WHERE table_name = ? AND data_type = 'JSON' ORDER BY column_index",
        [table],
    ).fetchall()
    # Other engines know no JSON type.
    as_text = ", ".join(f"{name}::VARCHAR AS {name}" for (name,) in json_columns)
    replace = f" REPLACE ({as_text})" if as_text else ""
    for (day,) in days:
        built = folder / f"{table}.{day}.parquet"
        (rows,) = _row(
            connection,
            f"COPY (SELECT *{replace} FROM {table} WHERE {began} >= TIMESTAMPTZ '{day} 00:00:00+00' "  # noqa: S608 - our own names, and a date
            f"AND {began} < TIMESTAMPTZ '{day} 00:00:00+00' + INTERVAL 1 DAY ORDER BY 1, 2) "
            f"TO {engine.literal(built)} ({FORMAT})",
        )
        name = f"{table}/day={day}/{FILE_NAME}"
        size = built.stat().st_size
        destination.put(built, name)
        yield ExportedFile(name, table, day, rows, size)


def _row(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[Any, ...]:
    row = connection.execute(sql).fetchone()
    if row is None:
        raise WarehouseError(f"no row for: {sql[:80]}", hint="publish again: `squire history publish`")
    return tuple(row)


class _FolderDestination:
    """A folder on this machine: files are built in it, under a name that no engine reads, then renamed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def work_folder(self) -> Iterator[Path]:
        make_folder(self._folder)
        for leftover in self._folder.glob(f"{_PREFIX}*"):
            if time.time() - leftover.stat().st_mtime > STALE_AFTER_S:
                shutil.rmtree(leftover, ignore_errors=True)  # another export may be removing it too
        with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=self._folder) as folder:
            yield Path(folder)

    def put(self, built: Path, name: str) -> None:
        final = self._folder / name
        make_folder(final.parent)
        put_in_place(built, final)


class _ObjectStore:
    """An object store, through fsspec."""

    def __init__(self, filesystem: Any, root: str) -> None:
        self._filesystem = filesystem
        self._root = root.rstrip("/")

    @contextmanager
    def work_folder(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="squire-export-") as folder:
            yield Path(folder)

    def put(self, built: Path, name: str) -> None:
        self._filesystem.put_file(str(built), f"{self._root}/{name}")
        built.unlink()


def _open_destination(target: str) -> _Destination:
    # A path may have a `~` in it, also behind a scheme.
    if (folder := folder_of(target)) is not None:
        return _FolderDestination(folder.expanduser().absolute())
    if urlsplit(target).scheme not in OBJECT_STORES:
        raise WarehouseError(
            f"an export cannot go to {urlsplit(target).scheme}://",
            hint=f"give a folder, or a URL that begins with {', '.join(sorted(OBJECT_STORES))}",
        )
    try:
        return _ObjectStore(*open_filesystem(target))
    except ConfigError as error:
        raise WarehouseError(error.message, hint=error.hint) from error
    except Exception as error:  # as above
        raise _cannot_export(target, error) from error


def _cannot_export(target: str, error: Exception) -> WarehouseError:
    # The reason is the library's own words.
    shown = shown_url(target)
    hint = "check that you may write there, and that there is room"
    if "://" in target:
        hint = "check that the bucket exists, and which credentials its library finds (environment, profile)"
    text = f"the export to {shown} failed: {engine.reason(error)}"
    return WarehouseError(text, hint=f"{hint}; what was written before is complete")
