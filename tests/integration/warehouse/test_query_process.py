"""People's queries in a child: what DuckDB does not bound, and what a killed child leaves behind."""

import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from squire_pipelines.errors import QueryError, WarehouseError
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.sections.operation import WarehouseSettings
from squire_pipelines.warehouse.publish import publish_warehouse
from squire_pipelines.warehouse.query import run_query
from squire_pipelines.warehouse.query_process import QueryProcess
from tests.support.ledgers import add_task, sqlite_ledger_file

MEASURE = """
import resource, sys
from pathlib import Path
from squire_pipelines.errors import QueryError
from squire_pipelines.warehouse.query_process import QueryProcess

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with QueryProcess(Path(sys.argv[1]), memory_limit=128 * 2**20) as session:
    try:
        session.execute(sys.argv[2], timeout_s=60).fetch(1000)
        sys.exit("it was answered")
    except QueryError as error:
        assert "narrow" in error.hint, error.hint
    assert session.execute("SELECT 1").fetch(1) == [(1,)]
own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    ledger = Ledger(f"sqlite:///{sqlite_ledger_file(folder / 'ledger.sqlite')}")
    add_task(ledger)
    publish_warehouse(ledger, folder / "warehouse.duckdb", WarehouseSettings(memory_limit=256 * 2**20))
    ledger.close()
    return folder / "warehouse.duckdb"


def test_values_of_all_kinds_come_as_they_are(published: Path) -> None:
    sql = (
        "SELECT 1::HUGEINT, 1.5::DOUBLE, 2.50::DECIMAL(9, 2), 'a', [1, 2], {'b': 'c'}, NULL, true, '\\x00'::BLOB, "
        "TIMESTAMPTZ '2026-01-02 03:04:05+01', [TIMESTAMPTZ '2026-01-02 03:04:05+01'], DATE '2026-01-02', MAP {1: 2}"
    )
    at = datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC)
    with QueryProcess(published) as session:
        (row,) = session.execute(sql).fetch(2)
    assert row == (1, 1.5, Decimal("2.50"), "a", [1, 2], {"b": "c"}, None, True, b"\0", at, [at], at.date(), {1: 2})


def test_rows_come_in_parts_and_statements_by_number(published: Path) -> None:
    with QueryProcess(published) as session:
        first, second = session.statements("FROM range(2500); SELECT 7 AS seven")
        assert [len(batch) for batch in session.execute(first).batches()] == [1000, 1000, 500]
        answer = session.execute(second)
        assert (answer.columns, answer.types, answer.fetch(5), answer.fetch(5)) == (
            ("seven",),
            ("INTEGER",),
            [(7,)],
            [],
        )


@pytest.mark.parametrize(
    "sql",
    [
        "SELEC 1",
        "SELECT * FROM taks",
        "SELECT 'a'::INT",
        "DROP TABLE tasks",
        "SELECT 1; SELECT 2",
        "SELECT * FROM read_text('/etc/passwd')",
    ],
)
def test_error_says_what_it_says_without_a_child_and_the_next_query_is_answered(published: Path, sql: str) -> None:
    with pytest.raises(QueryError) as without:
        run_query(published, sql)
    with QueryProcess(published) as session:
        with pytest.raises(QueryError) as caught:
            session.execute(sql).fetch(1)
        assert session.execute("SELECT 1").fetch(1) == [(1,)]
    expected = without.value.message, without.value.hint, without.value.place
    assert (caught.value.message, caught.value.hint, caught.value.place) == expected


def test_warehouse_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match="nothing has been published yet"):
        QueryProcess(tmp_path / "none")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT repeat('a', 2000000000)",
        "SELECT length(repeat('a', 2000000000) || repeat('b', 2000000000))",
        "SELECT repeat('a', 1000000) FROM range(1000)",
        "SELECT list(x) FROM range(1000000000) a(x)",
    ],
)
def test_memory_is_bounded_by_the_kernel(published: Path, sql: str) -> None:
    # In a process of its own, whose only child is the one that is measured.
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(published), sql], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    own, most_of_child = map(int, done.stdout.split())
    assert most_of_child < 900 * 1024
    assert own < 100 * 1024


@pytest.mark.slow
def test_function_that_cannot_be_interrupted_is_killed_with_its_process(published: Path) -> None:
    sql = "SELECT levenshtein(repeat('ab', 200000), repeat('ba', 200000))"
    with QueryProcess(published) as session:
        with pytest.raises(QueryError, match=r"longer than 0\.5 s"):
            session.execute(sql, timeout_s=0.5).fetch(1)
        assert session.execute("SELECT 1").fetch(1) == [(1,)]


PARENT = """
import sys, time
from pathlib import Path
from squire_pipelines.warehouse.query_process import QueryProcess
session = QueryProcess(Path(sys.argv[1]))
print(Path("/proc/thread-self/children").read_text().split()[0], flush=True)
time.sleep(600)
"""


def test_child_ends_with_its_parent_and_has_no_secret(published: Path) -> None:
    environment = os.environ | {"SQUIRE_GITHUB_TOKEN": "not-for-queries"}
    command = [sys.executable, "-c", PARENT, str(published)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        child = Path("/proc") / parent.stdout.readline().decode().strip()
        variables = (child / "environ").read_bytes()
        parent.kill()
    assert b"PATH=" in variables
    assert b"not-for-queries" not in variables
    deadline = time.monotonic() + 60
    while child.exists() and "\nState:\tZ" not in (child / "status").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
