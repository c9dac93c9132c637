"""Statements that write or that reach for the machine: each is refused, says so, and has done nothing."""

from pathlib import Path

import duckdb
import pytest

from squire_pipelines.errors import QueryError
from squire_pipelines.warehouse.parquet import write_parquet
from squire_pipelines.warehouse.query import QuerySession, run_query

SECRET = "nobody-may-read-this"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a published file, and beside it what a query would like to have."""
    folder = tmp_path_factory.mktemp("refused")
    with duckdb.connect(str(folder / "warehouse.duckdb")) as connection:
        connection.execute("CREATE TABLE tasks AS SELECT range AS id, 'ready' AS status FROM range(10)")
        connection.execute("CREATE VIEW all_tasks AS FROM tasks")
    (folder / "warehouse.duckdb").chmod(0o444)
    (folder / "secret.txt").write_text(SECRET)
    (folder / "secret.csv").write_text(f"word\n{SECRET}\n")
    (folder / "secret.json").write_text(f'{{"word": "{SECRET}"}}')
    with duckdb.connect(str(folder / "other.duckdb")) as connection:
        connection.execute(f"CREATE TABLE secret AS SELECT '{SECRET}' AS word")
        connection.execute(f"COPY secret TO '{folder}/secret.parquet'")
    return folder


WRITES = [
    "INSERT INTO tasks VALUES (11, 'ready')",
    "UPDATE tasks SET status = 'failed'",
    "DELETE FROM tasks",
    "TRUNCATE tasks",
    "MERGE INTO tasks USING tasks AS other ON tasks.id = other.id WHEN MATCHED THEN DELETE",
    "WITH gone AS (DELETE FROM tasks RETURNING *) FROM gone",
    "DROP TABLE tasks",
    "DROP VIEW all_tasks",
    "ALTER TABLE tasks ADD COLUMN mine INT",
    "COMMENT ON TABLE tasks IS 'mine'",
    "CREATE TABLE mine (a INT)",
    "CREATE TABLE mine AS FROM tasks",
    "CREATE TEMP TABLE mine AS FROM tasks",
    "CREATE OR REPLACE VIEW all_tasks AS SELECT 1",
    "CREATE MACRO mine() AS 1",
    "CREATE SEQUENCE mine",
    "CREATE TYPE mine AS ENUM ('a')",
    "CREATE INDEX mine ON tasks (id)",
    "CREATE SECRET mine (TYPE s3, KEY_ID 'a', SECRET 'b')",
    "CREATE PERSISTENT SECRET mine (TYPE s3, KEY_ID 'a', SECRET 'b')",
    "VACUUM",
    "ANALYZE",
    "CHECKPOINT",
    "FORCE CHECKPOINT",
    "SELECT * FROM force_checkpoint()",
    "BEGIN",
    "COMMIT",
    "PREPARE mine AS SELECT 1",
    "EXECUTE mine",
]
FILES = [
    "COPY tasks TO '{folder}/out.csv'",
    "COPY (FROM tasks) TO '{folder}/out.parquet' (FORMAT parquet)",
    "COPY (FROM tasks) TO '/dev/stdout'",
    "COPY tasks FROM '{folder}/secret.csv'",
    "COPY FROM DATABASE warehouse TO memory",
    "EXPORT DATABASE '{folder}/out'",
    "IMPORT DATABASE '{folder}'",
    "ATTACH '{folder}/other.duckdb'",
    "ATTACH '{folder}/new.duckdb' AS new",
    "ATTACH ':memory:' AS new",
    "ATTACH 'https://127.0.0.1/a.duckdb'",
    "DETACH warehouse",
    "USE memory",
    "SELECT * FROM read_text('{folder}/secret.txt')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('{folder}/secret.txt')",
    "SELECT * FROM read_csv('{folder}/secret.csv')",
    "SELECT * FROM read_csv_auto('{folder}/secret.csv')",
    "SELECT * FROM sniff_csv('{folder}/secret.csv')",
    "SELECT * FROM read_json('{folder}/secret.json')",
    "SELECT * FROM read_ndjson_objects('{folder}/secret.json')",
    "SELECT * FROM read_parquet('{folder}/secret.parquet')",
    "SELECT * FROM parquet_metadata('{folder}/secret.parquet')",
    "SELECT * FROM parquet_kv_metadata('{folder}/secret.parquet')",
    "SELECT * FROM read_duckdb('{folder}/other.duckdb')",
    "SELECT * FROM '{folder}/secret.csv'",
    "SELECT * FROM '{folder}/secret.parquet'",
    "SELECT * FROM '{folder}/other.duckdb'",
    "SELECT * FROM read_csv('/proc/self/environ')",
    "SELECT * FROM glob('{folder}/*')",
    "SELECT (SELECT content FROM read_text('{folder}/secret.txt'))",
    "WITH a AS (FROM read_text('{folder}/secret.txt')) FROM a",
    "FROM query('FROM read_text(''{folder}/secret.txt'')')",
    "FROM query('COPY tasks TO ''{folder}/out.csv''')",
    "FROM query_table('{folder}/secret.csv')",
    "EXPLAIN ANALYZE COPY tasks TO '{folder}/out.csv'",
    "EXPLAIN ANALYZE FROM read_text('{folder}/secret.txt')",
    "DESCRIBE FROM read_text('{folder}/secret.txt')",
    "SUMMARIZE FROM read_csv('{folder}/secret.csv')",
    "SELECT * FROM read_csv('http://127.0.0.1:9/a.csv')",
    "SELECT * FROM read_parquet('s3://bucket/a.parquet')",
]
MACHINE = [
    "INSTALL httpfs",
    "LOAD httpfs",
    "LOAD '{folder}/evil.duckdb_extension'",
    "FORCE INSTALL httpfs FROM '{folder}'",
    "UPDATE EXTENSIONS",
    "SET enable_external_access = true",
    "SET lock_configuration = false",
    "RESET enable_external_access",
    "SET GLOBAL memory_limit = '100GB'",
    "SET temp_directory = '{folder}'",
    "SET allowed_directories = ['{folder}']",
    "SET home_directory = '{folder}'",
    "SET secret_directory = '{folder}'",
    "SET extension_directory = '{folder}'",
    "SET log_query_path = '{folder}/log'",
    "SET profiling_output = '{folder}/profile'",
    "SET threads = 64",
    "SET VARIABLE mine = 1",
    "PRAGMA threads = 64",
    "PRAGMA enable_profiling",
    "PRAGMA add_parquet_key('a', '0123456789112345')",
    "PRAGMA database_list",
    "PRAGMA import_database('{folder}')",
    "CALL pragma_version()",
    "CALL force_checkpoint()",
    "CALL enable_logging(storage = 'file', storage_config = {{'path': '{folder}/log'}})",
    "SELECT * FROM enable_logging(storage = 'file', storage_config = {{'path': '{folder}/log'}})",
    "SELECT * FROM enable_logging(storage = 'stdout')",
    "SELECT * FROM enable_profiling(save_location = '{folder}/profile')",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM which_secret('s3://bucket', 's3')",
    "SELECT * FROM duckdb_extensions()",
    "SELECT getenv('HOME')",
    "SELECT * FROM sqlite_scan('{folder}/other.duckdb', 'a')",
    "SELECT * FROM postgres_scan('host=127.0.0.1', 'public', 'a')",
    "SELECT load_extension('httpfs')",
    "SELECT * FROM register_external_resource('a', 'b')",
    "SELECT * FROM folder",
    "SELECT 1; SELECT 2",
    "SELECT 1; COPY tasks TO '{folder}/out.csv'",
    "SELEC 1",
    "SELECT nothing_of_the_kind FROM tasks",
    "SELECT * FROM nowhere",
]


def _seen(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("sql", [*WRITES, *FILES, *MACHINE])
def test_statement_is_refused_with_a_message_and_has_done_nothing(folder: Path, sql: str) -> None:
    before = _seen(folder)
    home = Path.home() / ".duckdb"
    at_home = sorted(home.rglob("*")) if home.exists() else []
    with pytest.raises(QueryError) as caught:
        run_query(folder / "warehouse.duckdb", sql.format(folder=folder))
    assert caught.value.exit_code == 2
    assert len(caught.value.message) > 10
    assert SECRET not in str(caught.value)
    assert _seen(folder) == before
    assert (sorted(home.rglob("*")) if home.exists() else []) == at_home
    assert run_query(folder / "warehouse.duckdb", "SELECT count(*), min(status) FROM tasks").rows == ((10, "ready"),)


def test_the_list_is_long_enough() -> None:
    assert len({*WRITES, *FILES, *MACHINE}) >= 100


@pytest.mark.parametrize("sql", [*FILES, *MACHINE])
def test_a_session_is_as_tight_after_a_refusal_as_before(folder: Path, sql: str) -> None:
    with QuerySession(folder / "warehouse.duckdb") as session:
        with pytest.raises(QueryError):
            session.execute(sql.format(folder=folder))
        with pytest.raises(QueryError, match="disabled by configuration"):
            session.execute(f"FROM read_text('{folder}/secret.txt')")
        assert session.execute("SELECT count(*) FROM tasks").fetch(2) == [(10,)]


def test_variables_of_ours_are_no_tables(folder: Path) -> None:
    rows = {"a": [1, 2]}
    assert rows
    with pytest.raises(QueryError, match="rows does not exist"):
        run_query(folder / "warehouse.duckdb", "FROM rows")


@pytest.mark.parametrize(
    "name",
    [
        "a\" INT); COPY answer TO '{folder}/out.csv'; --",
        "a'); ATTACH '{folder}/new.duckdb'; --",
        "{folder}/secret.csv",
    ],
)
def test_names_of_columns_say_nothing_to_the_engine_that_writes_parquet(
    folder: Path, name: str, tmp_path: Path
) -> None:
    before = _seen(folder)
    quoted = name.format(folder=folder).replace('"', '""')
    literal = name.format(folder=folder).replace("'", "''")
    target = tmp_path / "answer.parquet"
    with QuerySession(folder / "warehouse.duckdb") as session:
        answer = session.execute(
            f"SELECT 1 AS \"{quoted}\", '{literal}'::ENUM('{literal}') AS b, {{'{literal}': 1}} AS c"
        )
        assert write_parquet(answer, answer.columns, target) == 1
    assert _seen(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["answer.parquet"]
    (row,) = duckdb.connect().execute(f"FROM '{target}'").fetchall()
    assert row == (1, name.format(folder=folder), {name.format(folder=folder): 1})
