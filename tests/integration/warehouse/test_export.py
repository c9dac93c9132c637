"""The tables as Parquet by day: in a folder, and in a store that speaks S3 over HTTP."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import duckdb
import httpx
import pytest

from squire_pipelines.errors import WarehouseError
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.sections.operation import WarehouseSettings
from squire_pipelines.warehouse.export import BEGIN_COLUMNS, FILE_NAME, STALE_AFTER_S, export
from squire_pipelines.warehouse.publish import publish_warehouse
from squire_pipelines.warehouse.query import run_query
from tests.support.ledgers import sqlite_ledger_file
from tests.support.object_store import serve_s3
from tests.support.years import fill


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    ledger = Ledger(f"sqlite:///{sqlite_ledger_file(folder / 'ledger.sqlite')}")
    fill(ledger, days=5, tasks=40, text='it\'s "quoted"')
    publish_warehouse(ledger, folder / "warehouse.duckdb", WarehouseSettings(memory_limit=256 * 2**20))
    ledger.close()
    return folder / "warehouse.duckdb"


def _read(lake: Path, table: str) -> list[tuple[object, ...]]:
    pattern = str(lake / table / "*" / "*.parquet")
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    relation = connection.read_parquet(pattern, hive_partitioning=True).order("1, 2")
    return [tuple(row) for row in relation.fetchall()]


def _files(lake: Path) -> dict[str, bytes]:
    return {str(path.relative_to(lake)): path.read_bytes() for path in lake.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_every_row_of_every_table_is_in_the_file_of_its_day(published: Path, tmp_path: Path) -> None:
    names: list[str] = []
    done = export(published, str(tmp_path / "lake"), on_file=lambda file: names.append(file.name))
    assert names == [file.name for file in done.files]
    counted = {name: run_query(published, f"SELECT count(*) FROM {name}").rows[0][0] for name in BEGIN_COLUMNS}  # noqa: S608 - our own names
    assert {file.table for file in done.files} == {name for name, count in counted.items() if count}
    assert sum(bool(count) for count in counted.values()) > len(BEGIN_COLUMNS) // 2
    assert set(_files(tmp_path / "lake")) == set(names)
    for table, count in counted.items():
        rows = _read(tmp_path / "lake", table) if count else []
        assert len(rows) == count
        assert sum(file.rows for file in done.files if file.table == table) == count
    tasks = run_query(published, "SELECT id, created_at FROM tasks").rows
    days = {row[0]: row[-1] for row in _read(tmp_path / "lake", "tasks")}
    assert days == {task_id: created.date() for task_id, created in tasks}


@pytest.mark.slow
def test_documents_are_text_and_moments_are_in_utc(published: Path, tmp_path: Path) -> None:
    export(published, str(tmp_path), tables=["tasks"])
    types = {
        name: kind
        for name, kind, *_ in duckdb.connect().execute(f"DESCRIBE FROM '{tmp_path}/tasks/*/*.parquet'").fetchall()
    }
    assert types["spec"] == "VARCHAR"
    assert types["created_at"] == "TIMESTAMP WITH TIME ZONE"
    assert json.loads(str(_read(tmp_path, "tasks")[0][7]))["title"].endswith('it\'s "quoted"')


@pytest.mark.slow
def test_exporting_again_writes_the_same_bytes_and_leaves_nothing_else(published: Path, tmp_path: Path) -> None:
    export(published, str(tmp_path))
    first = _files(tmp_path)
    export(published, str(tmp_path))
    assert _files(tmp_path) == first


def test_only_the_days_that_are_asked_for_are_written(published: Path, tmp_path: Path) -> None:
    days = sorted({file.day for file in export(published, str(tmp_path / "all"), tables=["tasks"]).files})
    done = export(published, str(tmp_path / "some"), tables=["tasks"], since=days[1], until=days[2])
    assert [file.day for file in done.files] == days[1:3]
    assert not export(published, str(tmp_path / "none"), since=date(2031, 1, 1)).files


def test_a_day_is_replaced_at_once_while_somebody_reads_it(published: Path, tmp_path: Path) -> None:
    (file,) = export(published, str(tmp_path), tables=["tasks"]).files[:1]
    path = tmp_path / file.name
    before = path.stat().st_ino
    with path.open("rb") as reader:
        head = reader.read(10)
        export(published, str(tmp_path), tables=["tasks"])
        assert path.stat().st_ino != before
        assert len(head + reader.read()) == file.bytes  # whoever had it open has all of the one before


@pytest.mark.slow
def test_what_a_killed_export_left_is_never_read_and_goes_in_the_end(published: Path, tmp_path: Path) -> None:
    left = tmp_path / ".squire-export-abcd"
    left.mkdir()
    (left / "tasks.2026-01-01.parquet").write_bytes(b"half")
    export(published, str(tmp_path), tables=["tasks"])
    assert left.exists()  # it might be under way
    assert len(_read(tmp_path, "tasks")) == 40
    old = time.time() - STALE_AFTER_S - 60
    os.utime(left, (old, old))
    export(published, str(tmp_path), tables=["tasks"])
    assert not left.exists()


@pytest.mark.parametrize(
    ("target", "options", "words"),
    [
        ("lake", {"tables": ["nonsense"]}, "no table 'nonsense'"),
        ("lake", {"tables": []}, "no table is named"),
        ("lake", {"since": date(2026, 3, 2), "until": date(2026, 3, 1)}, "after the last"),
        ("https://127.0.0.1/lake", {}, "cannot go to https://"),
        ("ftp://127.0.0.1/lake", {}, "cannot go to ftp://"),
        ("/proc/nowhere/lake", {}, "failed"),
        ("gs://bucket/lake", {}, "not installed"),
    ],
)
def test_what_cannot_be_done_is_said_so(
    *,
    published: Path,
    target: str,
    options: dict[str, object],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WarehouseError, match=words) as caught:
        export(published, target, **options)  # type: ignore[arg-type] # as the case has it
    assert caught.value.hint
    assert not list(tmp_path.rglob("*.parquet"))


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """A server on loopback that speaks S3, with the bucket `lake`."""
    with serve_s3(tmp_path, "lake") as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield url


@pytest.mark.slow
def test_export_to_an_object_store(s3: str, published: Path, tmp_path: Path) -> None:
    # In a process of its own, as the command does it: the store's library keeps an event loop for good.
    program = (
        "import sys, pathlib; from squire_pipelines.warehouse.export import export\n"
        "print(len(export(pathlib.Path(sys.argv[1]), sys.argv[2], tables=['tasks', 'attempts']).files))"
    )
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", program, str(published), "s3://lake/squire"],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
    listed = httpx.get(f"{s3}/lake", params={"list-type": "2"}, timeout=10, trust_env=False).text
    assert listed.count("<Key>") == int(done.stdout)
    local = export(published, str(tmp_path / "lake"), tables=["tasks"]).files[0]
    reading = "import sys, fsspec; sys.stdout.buffer.write(fsspec.open(sys.argv[1]).open().read())"
    command = [sys.executable, "-c", reading, f"s3://lake/squire/{local.name}"]
    there = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    assert there == (tmp_path / "lake" / local.name).read_bytes()

    done = subprocess.run(
        [sys.executable, "-c", program, str(published), "s3://no-such-bucket/squire"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "WarehouseError: the export to s3://no-such-bucket/squire failed" in done.stderr
    assert local.name.endswith(FILE_NAME)
