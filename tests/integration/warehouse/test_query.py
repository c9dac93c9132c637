"""Questions to the published file: what is answered, and what is refused."""

import shutil
from pathlib import Path

import duckdb
import pytest

from squire_pipelines.errors import QueryError, WarehouseError
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.sections.operation import WarehouseSettings
from squire_pipelines.warehouse.publish import publish_warehouse
from squire_pipelines.warehouse.query import QuerySession, attach_file, run_query
from tests.support.ledgers import add_task, sqlite_ledger_file


@pytest.fixture(scope="module")
def published_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    ledger = Ledger(f"sqlite:///{sqlite_ledger_file(folder / 'ledger.sqlite')}")
    for _ in range(3):
        add_task(ledger)
    publish_warehouse(ledger, folder / "warehouse.duckdb", WarehouseSettings(memory_limit=256 * 2**20))
    ledger.close()
    return folder / "warehouse.duckdb"


@pytest.fixture
def published(published_once: Path, warehouse: Path) -> Path:
    """A published file of the test's own, alone in its folder."""
    warehouse.parent.mkdir()
    shutil.copy(published_once, warehouse)
    return warehouse


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) FROM tasks",
        "FROM tasks;",
        "WITH a AS (SELECT 1) SELECT * FROM a",
        "VALUES (1)",
        "PIVOT tasks ON status USING count(*)",
        "DESCRIBE tasks",
        "SHOW TABLES",
        "SUMMARIZE tasks",
        "EXPLAIN SELECT * FROM task_overview",
    ],
)
def test_statements_that_read_are_answered(published: Path, sql: str) -> None:
    result = run_query(published, sql)
    assert result.columns
    assert result.rows


@pytest.mark.parametrize("fails", [False, True])
def test_a_file_that_is_replaced_while_it_is_opened_is_opened_again(published: Path, *, fails: bool) -> None:
    opened = []

    def attach_while_it_is_replaced(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
        opened.append(path)
        if len(opened) == 1:
            shutil.copy(path, path.with_suffix(".next"))
            path.with_suffix(".next").replace(path)
            if fails:
                raise duckdb.IOException("Could not read enough bytes from file")
        attach_file(connection, path)

    with QuerySession(published, attach=attach_while_it_is_replaced) as session:
        assert session.execute("SELECT count(*) FROM tasks").fetch(1) == [(3,)]
    assert len(opened) == 2


def test_answer_is_cut_off_at_the_limit_and_says_so(published: Path) -> None:
    assert len(run_query(published, "FROM tasks", limit=2).rows) == 2
    assert run_query(published, "FROM tasks", limit=2).truncated
    assert not run_query(published, "FROM tasks", limit=3).truncated
    assert run_query(published, "FROM range(100_000_000_000)", limit=2).rows == ((0,), (1,))


def test_nothing_published_yet_is_said_so(warehouse: Path) -> None:
    with pytest.raises(WarehouseError) as caught:
        run_query(warehouse, "SELECT 1")
    assert not isinstance(caught.value, QueryError)
    assert caught.value.message == "nothing has been published yet"
    assert "publish" in caught.value.hint


def test_file_that_is_no_database_is_said_so(warehouse: Path) -> None:
    warehouse.parent.mkdir()
    warehouse.write_bytes(b"this is no database" * 1000)
    with pytest.raises(WarehouseError) as caught:
        run_query(warehouse, "SELECT 1")
    assert not isinstance(caught.value, QueryError)
    assert "publish" in caught.value.hint


def forbidden(folder: Path) -> list[str]:
    return [
        "INSERT INTO task_dependencies VALUES ('a', 'b')",
        "DELETE FROM tasks",
        "DROP TABLE tasks",
        "CREATE TABLE mine (a INT)",
        "CREATE TEMP TABLE mine (a INT)",
        "ALTER TABLE tasks ADD COLUMN a INT",
        f"COPY tasks TO '{folder}/out.csv'",
        f"COPY (SELECT 1) TO '{folder}/out.parquet'",
        f"EXPORT DATABASE '{folder}/out'",
        f"IMPORT DATABASE '{folder}'",
        f"ATTACH '{folder}/other.duckdb'",
        "ATTACH ':memory:' AS other",
        "DETACH warehouse",
        "USE memory",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET memory_limit = '10GB'",
        "PRAGMA threads = 8",
        "CHECKPOINT",
        "BEGIN",
        "PREPARE a AS SELECT 1",
        "CALL pragma_version()",
        "EXPLAIN ANALYZE DELETE FROM tasks",
        f"EXPLAIN ANALYZE COPY tasks TO '{folder}/out.csv'",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_csv('/proc/self/environ')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM glob('/*')",
        "SELECT * FROM duckdb_secrets()",
    ]


@pytest.mark.parametrize("number", range(len(forbidden(Path()))))
def test_what_does_more_than_read_the_warehouse_is_refused(published: Path, number: int) -> None:
    folder = published.parent
    before = {path.name for path in folder.iterdir()}, published.read_bytes()
    with pytest.raises(QueryError) as caught:
        run_query(published, forbidden(folder)[number])
    assert caught.value.exit_code == 2
    assert caught.value.message
    assert ({path.name for path in folder.iterdir()}, published.read_bytes()) == before


@pytest.mark.parametrize(
    "sql",
    [
        "COPY tasks TO '{folder}/out.csv'",
        "ATTACH '{folder}/other.duckdb'",
        "DELETE FROM tasks",
        "CREATE TABLE mine (a INT)",
        "SELECT * FROM read_text('/etc/passwd')",
        "SET enable_external_access = true",
        "SET lock_configuration = false",
        "RESET enable_external_access",
        "LOAD httpfs",
    ],
)
def test_engine_itself_refuses_what_our_list_might_miss(published: Path, sql: str) -> None:
    with QuerySession(published, memory_limit=64 * 2**20) as session, pytest.raises(duckdb.Error):
        session.connection.execute(sql.format(folder=published.parent))


@pytest.mark.parametrize("sql", ["SELECT 1; SELECT 2", "SELECT 1; DROP TABLE tasks"])
def test_several_statements_are_refused(published: Path, sql: str) -> None:
    with pytest.raises(QueryError, match="2 statements"):
        run_query(published, sql)


@pytest.mark.parametrize("sql", ["", "  ", "-- nothing", ";"])
def test_empty_query_is_refused(published: Path, sql: str) -> None:
    with pytest.raises(QueryError, match="empty"):
        run_query(published, sql)


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELEC 1", "syntax error"),
        ("SELECT * FROM taks", "taks"),
        ("SELECT stauts FROM tasks", "stauts"),
        ("SELECT 1 WHERE 1 = ?", "parameters"),
        ("SELECT 'a'::INT", "Could not convert"),
    ],
)
def test_wrong_query_is_answered_with_the_engines_words(published: Path, sql: str, words: str) -> None:
    with pytest.raises(QueryError) as caught:
        run_query(published, sql)
    assert words in caught.value.message
    assert len(caught.value.message.splitlines()) <= 6


def test_wrong_name_comes_with_a_hint(published: Path) -> None:
    with pytest.raises(QueryError) as caught:
        run_query(published, "SELECT * FROM taks")
    assert "SHOW TABLES" in caught.value.hint


def test_query_that_takes_too_long_is_broken_off(published: Path) -> None:
    with pytest.raises(QueryError, match=r"longer than 0\.2 s"):
        run_query(published, "SELECT count(*) FROM range(1_000_000_000_000) a(x) WHERE x % 7 = 3", timeout_s=0.2)


def test_query_that_needs_too_much_memory_fails_and_spills_nothing(published: Path) -> None:
    before = {path.name for path in published.parent.iterdir()}
    with pytest.raises(QueryError) as caught:
        run_query(
            published,
            "SELECT list(x || repeat('x', 1000)) FROM range(10_000_000) a(x)",
            memory_limit=64 * 2**20,
        )
    assert "narrow" in caught.value.hint
    assert {path.name for path in published.parent.iterdir()} == before


def test_path_with_a_quote_is_no_trouble(published: Path, tmp_path: Path) -> None:
    odd = tmp_path / "it's here"
    odd.mkdir()
    published.rename(odd / "warehouse.duckdb")
    assert run_query(odd / "warehouse.duckdb", "SELECT count(*) FROM tasks").rows == ((3,),)
