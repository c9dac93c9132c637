"""The schema's files against the ledger's tables and against each other."""

from collections.abc import Iterator
from importlib import resources

import duckdb
import pytest

from squire_pipelines.ledger.tables import metadata
from squire_pipelines.warehouse import schema


@pytest.fixture(scope="module")
def created() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        schema.create_tables(connection)
        schema.create_metrics(connection)
        yield connection


def columns_of(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    rows = connection.execute("SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = ?", [table])
    return dict(rows.fetchall())


def test_every_table_of_the_ledger_is_published() -> None:
    about_archived_rows = {"archived_tasks", "archives"}  # rows that the warehouse still has
    shared = {
        "alert_messages",
        "alert_silences",
        "announcements",
        "attempt_doors",
        "audit_batches",
        "base_merges",
        "board_sessions",
        "collaborators",
        "dashboard_ticks",
        "dashboards",
        "github_limits",
        "head_reports",
        "heard_remarks",
        "dispatch_holds",
        "login_failures",
        "onboardings",
        "plan_answers",
        "plan_cache",
        "plan_inputs",
        "repositories",
        "repository_files",
        "repository_tenants",
        "role_leases",
        "schedule_runs",
        "schedules",
        "server_processes",
        "settings_seen",
        "task_signals",
        "tenant_credits",
        "worker_runs",
        "workers",
    }  # what processes of ours tell each other
    assert {*schema.TABLES, *about_archived_rows, *shared} == set(metadata.tables)


@pytest.mark.parametrize(
    ("folder", "used"),
    [
        ("tables", {*schema.TABLES, *schema.DERIVED, *schema.ROLLED_UP, *schema.OWN}),
        ("metrics", {*schema.METRICS}),
        ("derived", {*schema.DERIVED, *schema.ROLLED_UP}),
    ],
)
def test_every_sql_file_is_used(folder: str, used: set[str]) -> None:
    names = {
        file.name.removesuffix(".sql")
        for file in resources.files("squire_pipelines.warehouse").joinpath(folder).iterdir()
        if file.name.endswith(".sql")
    }
    assert names == used


@pytest.mark.parametrize("table", schema.TABLES)
def test_every_column_of_the_ledger_is_published_or_left_out_on_purpose(
    created: duckdb.DuckDBPyConnection, table: str
) -> None:
    published = {schema.RENAMED.get(name, name) for name in columns_of(created, table)}
    if table in {"outcomes", "merges", "base_watches"}:
        published -= {"trace_id"}  # the task's
    left_out = schema.LEFT_OUT.get(table, frozenset())
    assert published | left_out == {column.name for column in metadata.tables[table].columns}
    assert not published & left_out


@pytest.mark.parametrize("table", schema.TABLES)
def test_times_are_aware(created: duckdb.DuckDBPyConnection, table: str) -> None:
    times = {name: kind for name, kind in columns_of(created, table).items() if name.endswith("_at")}
    assert set(times.values()) <= {"TIMESTAMP WITH TIME ZONE"}
    assert "TIMESTAMP" not in columns_of(created, table).values()


def test_every_table_every_column_and_every_view_is_explained(created: duckdb.DuckDBPyConnection) -> None:
    bare = created.execute(
        """
        SELECT table_name, column_name FROM duckdb_columns()
        WHERE NOT internal AND comment IS NULL AND table_name IN (SELECT table_name FROM duckdb_tables())
        UNION ALL SELECT table_name, NULL FROM duckdb_tables() WHERE NOT internal AND comment IS NULL
        UNION ALL SELECT view_name, NULL FROM duckdb_views() WHERE NOT internal AND comment IS NULL
        """
    ).fetchall()
    assert bare == []


@pytest.mark.parametrize("name", ["tasks", "task_facts", "success_weeks", "_publication", "stuck"])
def test_column_schema_has_every_column_with_its_type_and_description(
    created: duckdb.DuckDBPyConnection, name: str
) -> None:
    columns = schema.column_schema(name)
    assert [column for column, _, _ in columns] == list(columns_of(created, name))
    assert all(kind and description.endswith(".") for _, kind, description in columns)


def test_column_schema_says_types_as_people_write_them() -> None:
    assert schema.column_schema("targets")[1] == ("seconds", "DOUBLE", "The most seconds that it may take.")
    assert ("ended_at", "TIMESTAMPTZ") in [column[:2] for column in schema.column_schema("tasks")]


def test_no_column_has_a_name_that_must_be_quoted(created: duckdb.DuckDBPyConnection) -> None:
    for table in schema.TABLES:
        for name in columns_of(created, table):
            created.execute(f"FROM {table} SELECT {name}")


def test_rows_that_work_is_done_for_carry_a_trace(created: duckdb.DuckDBPyConnection) -> None:
    without = {table for table in schema.TABLES if "trace_id" not in columns_of(created, table)}
    assert without == {"task_dependencies", "signals", "signal_episodes", "alerts", "delivery_refusals"}


def test_every_table_view_and_column_has_a_comment(created: duckdb.DuckDBPyConnection) -> None:
    names = [*schema.TABLES, *schema.DERIVED, *schema.ROLLED_UP, *schema.OWN, *schema.METRICS]
    bare = created.execute(
        "SELECT table_name FROM duckdb_tables() WHERE comment IS NULL UNION ALL "
        "SELECT view_name FROM duckdb_views() WHERE comment IS NULL AND NOT internal UNION ALL "
        "SELECT table_name || '.' || column_name FROM duckdb_columns() "
        "WHERE comment IS NULL AND list_contains(?, table_name)",
        [names],
    ).fetchall()
    assert bare == []


def test_columns_that_say_their_unit_say_it_in_their_comment_too(created: duckdb.DuckDBPyConnection) -> None:
    units = {"_s": "econd", "_usd": "dollar", "share": "hare", "_rate": "hare"}
    rows = created.execute(
        "SELECT table_name, column_name, comment FROM duckdb_columns() WHERE data_type = 'DOUBLE'"
    ).fetchall()
    assert rows
    for table, column, comment in rows:
        for ending, word in units.items():
            assert not column.endswith(ending) or word in comment, f"{table}.{column}: {comment}"
