"""Upgrading a ledger that is in use: every earlier version, filled, keeps its rows both ways."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, func, select, text

from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.errors import LedgerError, SchemaVersionError
from squire_pipelines.ledger import HEAD_REVISION, attempts, bulk, plans, tasks
from squire_pipelines.ledger.list_sql import read_ids
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import metadata, task_events
from squire_pipelines.ledger.tables import tasks as task_table
from squire_pipelines.ledger.task_query import SortOrder, TaskQuery
from tests.support import ledger_0001, ledger_0002
from tests.support.ledger_schema import differences, downgrade, tables_of, upgrade
from tests.support.ledgers import PostgresServer, decide, rows_as_stored, rows_as_told_by_events
from tests.support.many_tasks import expected_ids

Open = Callable[..., Ledger]
SUCCEEDED = ledger_0001.TASKS[3][0]


@pytest.fixture(params=["0001", "0002"])
def revision(request: pytest.FixtureRequest) -> str:
    """Every released version."""
    return str(request.param)


@pytest.fixture
def old(database: str, revision: str, request: pytest.FixtureRequest, tmp_path: Path, open_at: Open) -> Ledger:
    """A filled ledger of an earlier version."""
    if database == "sqlite":
        url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.new_database()
    ledger = open_at(url)
    upgrade(ledger, "0001")
    with ledger.write() as tx:
        ledger_0001.fill(tx)
    if revision >= "0002":
        upgrade(ledger, "0002")
        with ledger.write() as tx:
            ledger_0002.fill(tx)
    return ledger


Rows = dict[str, list[dict[str, Any]]]


def rows_of_all(ledger: Ledger, like: Rows | None = None) -> Rows:
    """The rows of all tables, or of those that `like` has, with the columns that it has."""
    tables = sorted(like or tables_of(ledger) - {"alembic_version"})
    with ledger.read() as tx:
        return {table: ledger_0001.rows_of(tx, table, tuple(like[table][0]) if like else ()) for table in tables}


@pytest.mark.slow
def test_a_filled_ledger_keeps_every_row_up_down_and_up_again(old: Ledger, revision: str) -> None:
    before = rows_of_all(old)
    assert all(before.values()), "a table without rows proves nothing"
    lasting = {table: rows for table, rows in before.items() if table != "task_words"}
    old.ensure_schema()
    assert old.revision() == HEAD_REVISION
    assert rows_of_all(old, lasting) == lasting
    downgrade(old, revision)
    assert rows_of_all(old, before) == before
    old.ensure_schema()
    assert rows_of_all(old, lasting) == lasting
    with old.read() as tx:
        assert differences(tx) == []


LISTED = ("id", "repository", "status", "kind", "title", "priority", "cause", "created_at", "ended_at", "updated_at")
TEXTS = (
    "",
    "fix",
    "BUILD 4",
    "4 fix",
    "strasse",
    "Straße ärger",
    "foo",
    "foo_bar",
    "1e5",
    '"or" NOT',
    "it's",
    "no",
    "?!",
)


def test_lists_of_an_upgraded_ledger_are_those_of_its_rows(old: Ledger) -> None:
    with old.read() as tx:
        rows = [row._asdict() for row in tx.execute(select(*(task_table.c[name] for name in LISTED)))]
    old.ensure_schema()
    queries = [TaskQuery(text=text, order=order) for text in TEXTS for order in SortOrder]
    queries += [TaskQuery(repository="Acme/Shop"), TaskQuery(statuses=("failed",)), TaskQuery(kinds=("manual",))]
    for query in queries:
        with old.read() as tx:
            assert read_ids(tx.query_runner(), query)[0] == expected_ids(rows, query), query


def test_an_old_row_was_changed_when_its_newest_time_says(old: Ledger) -> None:
    old.ensure_schema()
    with old.read() as tx:
        for name, hours in ledger_0001.CHANGED.items():
            table = metadata.tables[name]
            key = next(iter(table.primary_key.columns))
            changed_at = {row[0]: row[1] for row in tx.execute(select(key, table.c.updated_at))}
            assert changed_at == {key: datetime(2026, 3, 1, hour, tzinfo=UTC) for key, hour in hours.items()}, name


@pytest.mark.slow
def test_todays_code_goes_on_where_the_old_code_stopped(old: Ledger) -> None:
    old.ensure_schema()
    assert rows_as_told_by_events(old) == rows_as_stored(old)
    with old.write() as tx:
        decide(tx, ledger_0001.TASKS[0][0], bulk.approve())
        decide(tx, ledger_0001.TASKS[4][0], bulk.retry(1))
        tasks.cancel(tx, ledger_0001.TASKS[1][0], actor="ann")
    with old.read() as tx:
        assert tasks.get(tx, ledger_0001.TASKS[4][0]).status is TaskStatus.READY
        assert len(attempts.of_task(tx, SUCCEEDED)) == 2
        assert plans.get(tx, "p00000000000001").plan.tasks[0].key == "a"
    assert rows_as_told_by_events(old) == rows_as_stored(old)


def definitions_of(ledger: Ledger) -> set[str]:
    """All that the database knows of its schema, as statements whose spelling does not matter."""
    with ledger.read() as tx:
        if ledger.is_sqlite:
            sql = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"
            spelled = (re.sub(r"CONSTRAINT pk_\w+|\"", "", row[0]) for row in tx.execute(text(sql)))
            return {" ".join(sorted(re.findall(r"[\w<>!=']+", definition))) for definition in spelled}
        columns = "table_name, column_name, data_type, is_nullable, column_default"
        sql = f"SELECT {columns} FROM information_schema.columns WHERE table_schema = 'public'"  # noqa: S608 - ours
        definitions = {str(tuple(row)) for row in tx.execute(text(sql))}
        definitions |= set(tx.execute(text("SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'")).scalars())
        definitions |= set(tx.execute(text("SELECT conname || pg_get_constraintdef(oid) FROM pg_constraint")).scalars())
        definitions |= set(tx.execute(text("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal")).scalars())
        return definitions | set(tx.execute(text("SELECT proname FROM pg_proc WHERE proname LIKE 'squire%'")).scalars())


@pytest.mark.slow
def test_a_downgrade_leaves_exactly_the_old_schema(old: Ledger, revision: str) -> None:
    before = definitions_of(old)
    old.ensure_schema()
    assert definitions_of(old) != before
    downgrade(old, revision)
    assert definitions_of(old) == before


@pytest.mark.slow
def test_the_id_of_a_deleted_row_is_never_given_out_again(old: Ledger) -> None:
    old.ensure_schema()
    with old.write() as tx:
        newest = tx.execute(select(func.max(task_events.c.id))).scalar_one()
        tx.execute(delete(task_events).where(task_events.c.id == newest))
        decide(tx, ledger_0001.TASKS[0][0], bulk.approve())
        assert tx.execute(select(func.max(task_events.c.id))).scalar_one() > newest


@pytest.mark.slow
def test_references_are_kept_to_again_after_an_upgrade(old: Ledger) -> None:
    old.ensure_schema()
    for _ in range(2):  # on the connection that follows, and on one that is used again
        with old.read() as tx:
            if old.is_sqlite:
                assert tx.execute(text("PRAGMA foreign_keys")).scalar_one() == 1


@pytest.mark.parametrize("database", ["sqlite"])  # Postgres checks at once
def test_a_rebuild_that_leaves_a_broken_reference_changes_nothing(old: Ledger) -> None:
    with pytest.raises(LedgerError, match="task_dependencies"), old.rebuild() as tx:
        tx.execute(text("INSERT INTO task_dependencies VALUES ('t-none', 't-none')"))
    with old.read() as tx:
        assert tx.execute(text("SELECT count(*) FROM task_dependencies")).scalar_one() == 1


@pytest.mark.parametrize("revision", ["0002"])
def test_a_process_that_ran_before_an_upgrade_goes_on_until_a_table_has_changed_and_then_undoes_all(
    old: Ledger, open_at: Open
) -> None:
    old.ensure_schema()  # the process that runs
    task_id = ledger_0001.TASKS[0][0]
    newer = open_at(old.url.render_as_string(hide_password=False))
    with newer.rebuild() as tx:
        tx.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with old.write() as tx:
        decide(tx, ledger_0001.TASKS[4][0], bulk.retry(1))
    with newer.rebuild() as tx:
        tx.execute(text("ALTER TABLE audit RENAME TO audit_of_a_later_version"))
    with pytest.raises(LedgerError, match="lacks something") as caught, old.write() as tx:
        decide(tx, task_id, bulk.approve())
    assert "opened by this Squire before" in caught.value.hint
    with old.read() as tx:
        assert tasks.get(tx, task_id).status is TaskStatus.PROPOSED
    with pytest.raises(SchemaVersionError, match="has schema 9999"):
        open_at(old.url.render_as_string(hide_password=False)).ensure_schema()
