"""Removes what Dagster leaves in its files: databases of deleted runs, output of nobody's, and rows that nobody reads.

Dagster's API has no call for these. The files are those of its storage in SQLite; where it is on Postgres, see
`dagster_tables`. See docs/decisions/0082-dagsters-history-is-purged.md.
"""

import contextlib
import os
import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from squire_pipelines.files import remove_tree
from squire_pipelines.observability.logging import Component, get_logger

_log = get_logger(Component.PIPELINE)

_RUN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TICKS = "__repository__"
BUSY_TIMEOUT_S = 10.0
_ROWS_AT_ONCE = 2_000
MAX_ROUNDS = 100
"""Of `_ROWS_AT_ONCE` rows each, which one purge deletes of one table."""

_CHECK_OF_NOBODY = """
    create_timestamp < :before AND run_id NOT IN (SELECT run_id FROM history.runs)
    AND id NOT IN (SELECT max(id) FROM asset_check_executions GROUP BY asset_key, check_name, partition)
"""
_OLD_FRESHNESS = """
    run_id = '' AND timestamp < :before
    AND id NOT IN (SELECT max(id) FROM event_logs WHERE run_id = '' GROUP BY asset_key, dagster_event_type)
"""

MIN_FREE_TO_SHRINK = 32 * 2**20
"""A database with less free room than that is not rewritten: its pages are used again."""

MAX_USED_TO_SHRINK = 512 * 2**20
"""A database with more than that in it is not rewritten: writers would wait for too long."""


@dataclass(frozen=True, slots=True)
class DagsterFiles:
    """Where the storage in a `DAGSTER_HOME` is, as Dagster lays it out unless `dagster.yaml` says otherwise."""

    home: Path

    @property
    def runs(self) -> Path:
        """The database of all runs."""
        return self.home / "history" / "runs.db"

    @property
    def events(self) -> Path:
        """The folder with a database of events for each run, and with `index`."""
        return self.home / "history" / "runs"

    @property
    def index(self) -> Path:
        """The database of the events that are about assets, of all runs."""
        return self.events / "index.db"

    @property
    def without_run(self) -> Path:
        """The database of the events that belong to no run: whether assets are fresh."""
        return self.events / ".db"

    @property
    def ticks(self) -> Path:
        """The database of schedules, sensors and their ticks."""
        return self.home / "schedules" / "schedules.db"

    @property
    def output(self) -> Path:
        """The folder with what runs and ticks have printed."""
        return self.home / "storage"

    def databases(self) -> tuple[Path, ...]:
        """Return the databases that live as long as the home."""
        return (self.runs, self.index, self.ticks)


def leftover_runs(files: DagsterFiles, *, before: datetime, events: bool = True) -> set[str]:
    """Return the ids of runs that have a file or a folder which was last written before a moment.

    Without `events` by what they have printed alone: where the storage has moved away, its old files are history.
    """
    names = {path.name.partition(".")[0] for path in _older(files.events, before)} if events else set()
    names.update(path.name for path in _older(files.output, before))
    return {name for name in names if _RUN_ID.fullmatch(name)}


def remove_files_of_runs(files: DagsterFiles, run_ids: Iterable[str]) -> int:
    """Remove the database and the output of runs that are deleted; return of how many runs."""
    count = 0
    for run_id in run_ids:
        for end in (".db", ".db-wal", ".db-shm"):
            (files.events / f"{run_id}{end}").unlink(missing_ok=True)
        remove_tree(files.output / run_id)
        count += 1
    return count


def remove_logs_of_ticks(files: DagsterFiles, *, before: datetime) -> int:
    """Remove what sensors and schedules have logged before a moment, a file for each tick; return how many files."""
    removed = 0
    for folder in _folders(files.output / _TICKS):
        for path in _older(folder, before):
            with contextlib.suppress(OSError):  # another process removes it, or it is a folder
                path.unlink()
                removed += 1
    return removed


def delete_rows_of_nobody(files: DagsterFiles, *, before: datetime) -> dict[str, int]:
    """Delete results of asset checks whose run is gone, and old states of freshness; the newest of each stay."""
    stamp = before.strftime("%Y-%m-%d %H:%M:%S")
    checks = ("asset_check_executions", _CHECK_OF_NOBODY)
    freshness = ("event_logs", _OLD_FRESHNESS)
    deleted: dict[str, int] = {}
    for path, rules in ((files.index, (checks, freshness)), (files.without_run, (freshness,))):
        if not path.is_file() or not files.runs.is_file():
            continue
        with closing(_connect(path)) as connection:
            connection.execute("ATTACH DATABASE ? AS history", [os.fspath(files.runs)])
            for table, condition in rules:
                deleted[table] = deleted.get(table, 0) + _delete(connection, table, condition, stamp)
    return deleted


def shrink(path: Path) -> bool:
    """Rewrite a database that is mostly free room; return whether it was. One that is in use is left for later."""
    if not path.is_file():
        return False
    try:
        with closing(_connect(path)) as connection:
            page, pages, free = (
                int(connection.execute(f"PRAGMA {name}").fetchone()[0])
                for name in ("page_size", "page_count", "freelist_count")
            )
            used = (pages - free) * page
            room = os.statvfs(path.parent)
            has_room = room.f_bavail * room.f_frsize > 2 * used
            if free * page < max(MIN_FREE_TO_SHRINK, used) or used > MAX_USED_TO_SHRINK or not has_room:
                return False
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.OperationalError as error:
        _log.warning("pipeline.database_not_shrunk", database=str(path), reason=str(error))
        return False
    return True


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)


def _delete(connection: sqlite3.Connection, table: str, condition: str, before: str) -> int:
    """Delete rows a few at a time, since Dagster's processes wait meanwhile."""
    some = f"SELECT id FROM {table} WHERE {condition} LIMIT {_ROWS_AT_ONCE}"  # noqa: S608 - names of our own
    deleted = 0
    for _ in range(MAX_ROUNDS):
        count = connection.execute(
            f"DELETE FROM {table} WHERE id IN ({some})",  # noqa: S608 - likewise
            {"before": before},
        ).rowcount
        deleted += count
        if count < _ROWS_AT_ONCE:
            break
    return deleted


def _folders(parent: Path) -> Iterator[Path]:
    with contextlib.suppress(FileNotFoundError):
        for entry in parent.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                yield entry


def _older(folder: Path, before: datetime) -> Iterator[Path]:
    """Yield what was last written before a moment; what another process removes meanwhile is none."""
    limit = before.timestamp()
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                if entry.stat(follow_symlinks=False).st_mtime < limit:
                    yield Path(entry.path)
