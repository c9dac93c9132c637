"""The published tables as Parquet for other engines: one file per table and day, in a folder or an object store.

`TABLE/day=YYYY-MM-DD/part-0.parquet`, the day in UTC on which the row began. The SQL here is our own, so the engine may
write; questions of people are `query`'s.
"""

import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol
from urllib.parse import urlsplit

import duckdb

from squire_pipelines.errors import SquireError, WarehouseError
from squire_pipelines.files import put_in_place
from squire_pipelines.warehouse.parquet import FORMAT
from squire_pipelines.warehouse.query import attached

FILE = "part-0.parquet"
MEMORY_LIMIT = 256 * 2**20
LEFT_AFTER_S = 86_400
"""What a killed export left in a folder is removed by a later one when it is older than this."""

# The moment at which a row began. It never changes, so that a row is in one file for good, whatever becomes of it.
BEGAN: Mapping[str, str] = MappingProxyType(
    {
        "tasks": "created_at",
        "task_dependencies": "(SELECT created_at FROM tasks WHERE tasks.id = task_dependencies.task_id)",
        "attempts": "queued_at",
        "task_events": "occurred_at",
        "outcomes": "opened_at",
        "signals": "first_seen_at",
        "collections": "started_at",
        "plans": "created_at",
        "model_calls": "occurred_at",
        "deliveries": "received_at",
        "budgets": "opened_at",
        "audit": "occurred_at",
        "task_facts": "planned_at",
        "attempt_facts": "(SELECT queued_at FROM attempts WHERE attempts.id = attempt_facts.attempt_id)",
    }
)

# Stores where an object is seen whole or not at all, and an upload replaces the one before.
STORES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "memory"})
_EXTRAS = MappingProxyType({"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"})
_ROOM = ".squire-export-"


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
    """What was written, and the moment that it shows."""

    files: tuple[ExportedFile, ...]
    published_at: datetime


class _Target(Protocol):
    def room(self) -> Any: ...

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

    A file that is there already is replaced, at once and whole, so that an export may be repeated or broken off at any
    time. Days on which nothing began have no file.

    Args:
        path: The warehouse's file.
        target: A folder, or the URL of an object store (`s3://bucket/prefix`), which finds its own credentials.
        tables: Those of `BEGAN` that are wanted; all of them by default.
        since: The first day.
        until: The last day.
        memory_limit: Bytes for DuckDB; what does not fit lies on the disk meanwhile.
        on_file: Told about each file when it is in its place.

    Raises:
        WarehouseError: Nothing is published, a table is unknown, or the target cannot be written.
    """
    chosen = _chosen(tables)
    if since and until and since > until:
        raise WarehouseError(f"the first day, {since}, is after the last, {until}", hint="change --since or --until")
    place = _target(target)
    done: list[ExportedFile] = []
    try:
        with place.room() as room, _engine(path, memory_limit, room) as connection:
            (published_at,) = _row(connection, "SELECT published_at FROM _publication")
            there = {name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
            for table in chosen:
                if table in there:
                    for each in _table(connection, table, (since, until), room, place):
                        done.append(each)
                        if on_file is not None:
                            on_file(each)
    except SquireError:
        raise
    except Exception as error:  # a store's library raises what it likes, and all of it means the same here
        raise _cannot_export(target, error) from error
    return Export(tuple(done), published_at)


def _chosen(tables: Iterable[str] | None) -> tuple[str, ...]:
    if tables is None:
        return tuple(BEGAN)
    chosen = tuple(dict.fromkeys(tables))
    if not chosen:
        raise WarehouseError("no table is named", hint=f"there are {', '.join(BEGAN)}")
    if unknown := [name for name in chosen if name not in BEGAN]:
        raise WarehouseError(f"there is no table {unknown[0]!r} to export", hint=f"there are {', '.join(BEGAN)}")
    return chosen


@contextmanager
def _engine(path: Path, memory_limit: int, room: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with attached(path, memory_limit, spill=room / "spill") as connection:
        connection.execute("SET threads = 1")  # the same rows make the same bytes
        yield connection


def _table(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    wanted: tuple[date | None, date | None],
    room: Path,
    place: _Target,
) -> Iterator[ExportedFile]:
    began = BEGAN[table]
    days = connection.execute(
        f"SELECT DISTINCT make_timestamp(epoch_us({began}))::DATE AS day FROM {table} "  # noqa: S608 - our own names
        "WHERE day IS NOT NULL AND day >= coalesce(?, day) AND day <= coalesce(?, day) ORDER BY day",
        list(wanted),
    ).fetchall()
    documents = connection.execute(
        "SELECT column_name FROM duckdb_columns() WHERE table_name = ? AND data_type = 'JSON' ORDER BY column_index",
        [table],
    ).fetchall()
    # Other engines know no JSON type.
    plain = ", ".join(f"{name}::VARCHAR AS {name}" for (name,) in documents)
    replaced = f" REPLACE ({plain})" if plain else ""
    for (day,) in days:
        built = room / f"{table}.{day}.parquet"
        (rows,) = _row(
            connection,
            f"COPY (SELECT *{replaced} FROM {table} WHERE {began} >= TIMESTAMPTZ '{day} 00:00:00+00' "  # noqa: S608 - our own names, and a date
            f"AND {began} < TIMESTAMPTZ '{day} 00:00:00+00' + INTERVAL 1 DAY ORDER BY 1, 2) "
            f"TO '{str(built).replace(chr(39), chr(39) * 2)}' ({FORMAT})",
        )
        name = f"{table}/day={day}/{FILE}"
        size = built.stat().st_size
        place.put(built, name)
        yield ExportedFile(name, table, day, rows, size)


def _row(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[Any, ...]:
    row = connection.execute(sql).fetchone()
    if row is None:
        raise WarehouseError(f"no row for: {sql[:80]}", hint="publish again: `squire history publish`")
    return tuple(row)


# ── Where it goes ──────────────────────────────────────────────────────────────────────────────────────────────────


class _Folder:
    """A folder on this machine: files are built in it, under a name that no engine reads, then renamed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def room(self) -> Iterator[Path]:
        self._folder.mkdir(parents=True, exist_ok=True)
        for left in self._folder.glob(f"{_ROOM}*"):
            if time.time() - left.stat().st_mtime > LEFT_AFTER_S:
                shutil.rmtree(left, ignore_errors=True)  # another export may be at it too
        room = self._folder / f"{_ROOM}{secrets.token_hex(4)}"
        room.mkdir(mode=0o700)
        try:
            yield room
        finally:
            shutil.rmtree(room)

    def put(self, built: Path, name: str) -> None:
        final = self._folder / name
        final.parent.mkdir(parents=True, exist_ok=True)
        put_in_place(built, final)


class _Store:
    """An object store, by fsspec."""

    def __init__(self, filesystem: Any, root: str) -> None:
        self._filesystem = filesystem
        self._root = root.rstrip("/")

    @contextmanager
    def room(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="squire-export-") as folder:
            yield Path(folder)

    def put(self, built: Path, name: str) -> None:
        self._filesystem.put_file(str(built), f"{self._root}/{name}")
        built.unlink()


def _target(target: str) -> _Target:
    scheme = urlsplit(target).scheme if "://" in target else "file"
    if scheme == "file":
        return _Folder(Path(os.path.expanduser(target.removeprefix("file://"))).absolute())  # noqa: PTH111 - a URL's too
    if scheme not in STORES:
        raise WarehouseError(
            f"an export cannot go to {scheme}://",
            hint=f"give a folder, or a URL that begins with {', '.join(sorted(STORES))}",
        )
    import fsspec  # type: ignore[import-untyped]  # noqa: PLC0415 - only an export to a store needs it

    try:
        filesystem, root = fsspec.core.url_to_fs(target)
    except ImportError as error:
        extra = _EXTRAS.get(scheme)
        hint = f"install squire-pipelines[{extra}]" if extra else str(error)
        raise WarehouseError(f"the library for {scheme}:// is not installed", hint=hint) from error
    except Exception as error:  # as above
        raise _cannot_export(target, error) from error
    return _Store(filesystem, root)


def _cannot_export(target: str, error: Exception) -> WarehouseError:
    reason = str(getattr(error, "strerror", None) or error).strip().partition("\n")[0] or type(error).__name__
    # A URL may carry a password; the reason is the library's own words.
    shown = urlsplit(target)._replace(netloc=urlsplit(target).netloc.rpartition("@")[2], query="").geturl()
    hint = "check that you may write there, and that there is room"
    if "://" in target:
        hint = (
            "check that the bucket is there and the credentials that the store's library finds (environment, profile)"
        )
    return WarehouseError(f"the export to {shown} failed: {reason}", hint=f"{hint}; what was written before is whole")
