"""Read-write clients of people's: what they leave must block neither the next publication nor any reader."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest

from squire_pipelines.errors import WarehouseError
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.warehouse import files
from squire_pipelines.warehouse.publish import Publication
from squire_pipelines.warehouse.query import run_query
from tests.support.ledgers import add_task

Publish = Callable[[], Publication]
COUNT = "SELECT count(*) FROM tasks"


_CLIENT = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1])
print("done", flush=True)
for line in sys.stdin:
    connection.execute(line)
    print("done", flush=True)
"""


class Client:
    """A DuckDB of somebody's that has the file open for writing, in a process of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.chmod(0o644)  # as somebody who insists would
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-c", _CLIENT, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._expect_done()

    def _expect_done(self) -> None:
        assert self.process.stdout
        assert self.process.stdout.readline() == "done\n"

    def begin(self, sql: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(sql + "\n")
        self.process.stdin.flush()

    def execute(self, sql: str) -> None:
        self.begin(sql)
        self._expect_done()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=10)


@pytest.fixture
def client(publish: Publish, warehouse: Path) -> Iterator[Client]:
    """Has the first publication open."""
    publish()
    client = Client(warehouse)
    yield client
    if client.process.poll() is None:
        client.kill()


def wal_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.wal")


def asides(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{path.name}.*.aside"))


@pytest.mark.slow
def test_log_of_a_killed_client_is_moved_aside_at_the_next_publication(
    client: Client, publish: Publish, warehouse: Path, ledger: Ledger
) -> None:
    client.execute("CREATE TABLE mine AS SELECT 1 AS a")
    client.execute("BEGIN")
    client.execute("INSERT INTO mine SELECT * FROM range(100000)")
    client.kill()
    assert wal_of(warehouse).exists()
    add_task(ledger)
    publish()
    assert not wal_of(warehouse).exists()
    assert len(asides(warehouse)) == 1
    assert run_query(warehouse, COUNT).rows == ((1,),)
    with duckdb.connect(str(warehouse), read_only=True) as reader:
        assert reader.execute(COUNT).fetchall() == [(1,)]
    assert publish().mode == "incremental"


@pytest.mark.slow
@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO mine SELECT range, repeat('x', 100) FROM range(100_000_000)",
        "UPDATE mine SET b = repeat('y', 200)",
        "CHECKPOINT",
    ],
)
@pytest.mark.parametrize("after_s", [0.02, 0.2])
def test_client_killed_in_the_middle_of_a_write_blocks_neither_publication_nor_readers(
    client: Client, publish: Publish, ledger: Ledger, sql: str, after_s: float
) -> None:
    client.execute("CREATE TABLE mine AS SELECT range AS a, repeat('x', 100) AS b FROM range(300_000)")
    client.begin(sql)
    time.sleep(after_s)  # somewhere in the middle: where exactly does not matter
    client.kill()
    add_task(ledger)
    publish()
    assert run_query(client.path, COUNT).rows == ((1,),)
    with duckdb.connect(str(client.path), read_only=True) as reader:
        assert reader.execute(COUNT).fetchall() == [(1,)]
        assert reader.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'mine'").fetchall() == [(0,)]
    add_task(ledger)
    assert publish().mode == "incremental"
    assert run_query(client.path, COUNT).rows == ((2,),)


@pytest.mark.slow
def test_client_that_is_alive_blocks_no_publication(
    client: Client, publish: Publish, warehouse: Path, ledger: Ledger
) -> None:
    client.execute("CREATE TABLE mine AS SELECT 1 AS a")
    with pytest.raises(WarehouseError) as caught:
        run_query(warehouse, COUNT)
    assert "open for writing" in caught.value.hint
    add_task(ledger)
    publish()
    assert run_query(warehouse, COUNT).rows == ((1,),)


@pytest.mark.slow
def test_log_that_a_client_of_the_old_file_begins_afterwards_is_moved_aside_by_the_next_query(
    client: Client, publish: Publish, warehouse: Path, ledger: Ledger
) -> None:
    add_task(ledger)
    publish()
    client.execute("CREATE TABLE mine AS SELECT 1 AS a")
    client.kill()
    assert wal_of(warehouse).exists()
    with pytest.raises(duckdb.Error), duckdb.connect(str(warehouse), read_only=True):
        pass
    assert run_query(warehouse, COUNT).rows == ((1,),)
    assert not wal_of(warehouse).exists()
    with duckdb.connect(str(warehouse), read_only=True) as reader:
        assert reader.execute(COUNT).fetchall() == [(1,)]


def test_only_the_newest_logs_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "warehouse.duckdb"
    for number in range(files.KEPT_WALS + 2):
        wal_of(path).write_text(str(number))
        assert len(files.quarantine_wals(path)) == 1
    assert [aside.read_text() for aside in asides(path)] == ["2", "3", "4"]
    assert files.quarantine_wals(path) == ()
