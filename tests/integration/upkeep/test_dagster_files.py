"""What Dagster leaves in its files goes after its time, and a database that is mostly free room becomes small."""

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from squire_pipelines.upkeep import dagster_files
from squire_pipelines.upkeep.dagster_files import DagsterFiles
from tests.support.sqlite_files import count_rows

NOW = datetime(2026, 6, 1, tzinfo=UTC)
RUN = "0123abcd-0000-4000-8000-0123456789ab"


def make(path: Path, content: str = "", *, days: float = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    changed = (NOW - timedelta(days=days)).timestamp()
    os.utime(path, (changed, changed))
    return path


def test_logs_of_ticks_go_by_their_age(tmp_path: Path) -> None:
    files = DagsterFiles(tmp_path)
    old = make(files.output / "__repository__" / "reaper" / "1.err", days=9)
    young = make(files.output / "__repository__" / "reaper" / "2.err", days=1)
    of_run = make(files.output / RUN / "compute_logs" / "a.out", days=9)
    assert dagster_files.remove_logs_of_ticks(files, before=NOW - timedelta(days=7)) == 1
    assert (old.exists(), young.exists(), of_run.exists()) == (False, True, True)


def test_only_what_bears_the_name_of_a_run_is_taken_for_one(tmp_path: Path) -> None:
    files = DagsterFiles(tmp_path)
    make(files.events / f"{RUN}.db", days=9)
    make(files.events / f"{RUN}.db-wal", days=9)
    make(files.index, days=9)
    make(files.without_run, days=9)
    make(files.events / "somebody's.db", days=9)
    assert dagster_files.leftover_runs(files, before=NOW) == {RUN}
    assert dagster_files.remove_files_of_runs(files, [RUN]) == 1
    assert sorted(path.name for path in files.events.iterdir()) == [".db", "index.db", "somebody's.db"]


def test_where_dagster_has_other_storage_there_is_nothing_to_do(tmp_path: Path) -> None:
    files = DagsterFiles(tmp_path)
    assert dagster_files.leftover_runs(files, before=NOW) == set()
    assert dagster_files.remove_logs_of_ticks(files, before=NOW) == 0
    assert dagster_files.delete_rows_of_nobody(files, before=NOW) == {}
    assert [dagster_files.shrink(path) for path in files.databases()] == [False] * 3


def test_old_states_of_freshness_go_but_for_the_newest_of_each_asset(tmp_path: Path) -> None:
    files = DagsterFiles(tmp_path)
    make(files.runs)
    make(files.without_run)
    with closing(sqlite3.connect(files.without_run)) as connection:
        connection.execute(
            "CREATE TABLE event_logs (id INTEGER PRIMARY KEY, run_id, asset_key, dagster_event_type, timestamp)"
        )
        rows = [("", key, "FRESHNESS", f"2026-0{month}-01 00:00:00") for month in range(1, 6) for key in ("a", "b")]
        connection.executemany("INSERT INTO event_logs VALUES (NULL, ?, ?, ?, ?)", rows)
        connection.commit()
    assert dagster_files.delete_rows_of_nobody(files, before=datetime(2026, 4, 2, tzinfo=UTC)) == {"event_logs": 8}
    assert dagster_files.delete_rows_of_nobody(files, before=NOW) == {"event_logs": 0}
    assert count_rows(files.without_run, "event_logs") == 2


@pytest.fixture
def mostly_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(dagster_files, "MIN_FREE_TO_SHRINK", 2**20)
    path = tmp_path / "runs.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE filler (content)")
        connection.execute("INSERT INTO filler VALUES (zeroblob(?))", [4 * 2**20])
        connection.execute("DELETE FROM filler")
        connection.commit()
    return path


def test_a_database_that_is_mostly_free_room_becomes_small(mostly_free: Path) -> None:
    assert dagster_files.shrink(mostly_free)
    assert mostly_free.stat().st_size < 2**20
    assert not dagster_files.shrink(mostly_free)


def test_a_database_that_is_written_to_is_left_for_later(mostly_free: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dagster_files, "BUSY_TIMEOUT_S", 0.0)
    with closing(sqlite3.connect(mostly_free, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        assert not dagster_files.shrink(mostly_free)
    assert mostly_free.stat().st_size > 2**20


def test_one_with_much_in_it_is_not_rewritten(mostly_free: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dagster_files, "MAX_USED_TO_SHRINK", 0)
    assert not dagster_files.shrink(mostly_free)
