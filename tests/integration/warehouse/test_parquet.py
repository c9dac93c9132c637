"""Answers as Parquet: all rows, all types, whole or not at all."""

import datetime as dt
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from squire_pipelines.errors import QueryError, WarehouseError
from squire_pipelines.warehouse.parquet import write_parquet
from squire_pipelines.warehouse.query import QuerySession


@pytest.fixture
def published(tmp_path: Path) -> Path:
    path = tmp_path / "data" / "warehouse.duckdb"
    path.parent.mkdir()
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE tasks AS SELECT range AS id FROM range(5)")
    return path


def _written(published: Path, sql: str, target: Path, limit: int | None = None) -> int:
    with QuerySession(published) as session:
        answer = session.execute(sql)
        return write_parquet(answer, answer.columns, target, limit=limit)


def test_values_and_types_are_kept(published: Path, tmp_path: Path) -> None:
    target = tmp_path / "types.parquet"
    sql = """
    SELECT 1::TINYINT AS a, 'x' AS b, TIMESTAMPTZ '2026-03-01 12:00:00+00' AS c, {'k': [1, 2]} AS d, NULL AS e,
        1.50::DECIMAL(10, 2) AS f, sum(9223372036854775807::BIGINT) AS g, '{"a": 1}'::JSON AS h, 'a'::BLOB AS i,
        DATE '2026-03-01' AS j, MAP {'k': 1} AS k, 'a'::ENUM('a', 'b') AS l, INTERVAL 1 DAY AS m
    FROM range(2)
    """
    assert _written(published, sql, target) == 1
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    (row,) = connection.execute(f"FROM '{target}'").fetchall()
    assert row[0] == 1
    assert row[2] == dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
    assert row[3] == {"k": [1, 2]}
    assert row[4] is None
    assert row[5:9] == (Decimal("1.50"), Decimal(2 * 9223372036854775807), '{"a": 1}', b"a")
    assert row[9:] == (dt.date(2026, 3, 1), {"k": 1}, "a", dt.timedelta(days=1))


def test_no_rows_are_a_file_with_columns(published: Path, tmp_path: Path) -> None:
    target = tmp_path / "none.parquet"
    assert _written(published, "SELECT id, 'a' AS b FROM tasks WHERE id > 100", target) == 0
    described = duckdb.connect().execute(f"DESCRIBE FROM '{target}'").fetchall()
    assert [(row[0], row[1]) for row in described] == [("id", "BIGINT"), ("b", "VARCHAR")]


def test_limit_holds_and_without_one_all_rows_are_written(published: Path, tmp_path: Path) -> None:
    target = tmp_path / "rows.parquet"
    assert _written(published, "FROM range(25_000)", target, limit=1500) == 1500
    assert _written(published, "FROM range(25_000)", target) == 25_000
    (counts,) = duckdb.connect().read_parquet(str(target)).aggregate("count(*), max(range)").fetchall()
    assert counts == (25_000, 24_999)


def test_a_query_that_fails_on_the_way_leaves_the_file_before(published: Path, tmp_path: Path) -> None:
    target = tmp_path / "out" / "rows.parquet"
    target.parent.mkdir()
    _written(published, "FROM tasks", target)
    before = target.read_bytes()
    with pytest.raises(QueryError, match="stop"):
        _written(published, "SELECT CASE WHEN range > 40_000 THEN error('stop') END FROM range(50_000)", target)
    assert target.read_bytes() == before
    assert [path.name for path in target.parent.iterdir()] == ["rows.parquet"]


def test_a_place_that_cannot_be_written_is_said_so(published: Path, tmp_path: Path) -> None:
    for target in (tmp_path / "nowhere" / "a.parquet", tmp_path):
        with pytest.raises(WarehouseError, match="cannot be written") as caught:
            _written(published, "FROM tasks", target)
        assert caught.value.hint


GROWTH = """
import resource, sys
from pathlib import Path
from squire_pipelines.warehouse.parquet import write_parquet
from squire_pipelines.warehouse.query import QuerySession
published, target = map(Path, sys.argv[1:])
peaks = []
for rows in (2_000, 200_000):
    with QuerySession(published, memory_limit=64 * 2**20) as session:
        answer = session.execute("SELECT range AS a, repeat('x' || range, 100) AS b FROM range(%d)" % rows)
        write_parquet(answer, answer.columns, target, memory_limit=64 * 2**20)
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
print(peaks[1] - peaks[0])
"""


@pytest.mark.slow
def test_memory_stays_bounded_whatever_the_answers_size(published: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", GROWTH, str(published), str(tmp_path / "big.parquet")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 200 * 1024  # KiB; the rows are 120 MB, and far more as objects
