"""Programs of two versions at one ledger: what migrations may do, who goes on, and who is refused with the reason."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, select, text, update

from squire_pipelines.domain.schema_rules import LedgerSchema
from squire_pipelines.errors import SchemaVersionError
from squire_pipelines.ledger import HEAD_REVISION, migrate, tasks
from squire_pipelines.ledger.integrity import check_integrity
from squire_pipelines.ledger.sessions import SchemaInUseError
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import task_events
from squire_pipelines.ledger.tables import tasks as task_table
from tests.support import ledger_schema
from tests.support.ledgers import PostgresServer, add_task, dispatch
from tests.support.schema_changes import shapes_of, taken_away

FIRST = "0047"
"""From this revision on a program knows which newer schemas it goes on with."""

NEXT = f"{int(HEAD_REVISION) + 1:04}"
Open = Callable[..., Ledger]


@pytest.fixture
def url(database: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of its own, whose schema may be changed."""
    if database == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture
def ours(url: str, open_at: Open) -> Ledger:
    """A ledger of this version's."""
    ledger = open_at(url)
    ledger.ensure_schema()
    return ledger


@pytest.fixture
def old(postgres: PostgresServer, open_at: Open) -> Ledger:
    """A ledger on Postgres of an earlier version."""
    ledger = open_at(postgres.new_database())
    ledger_schema.upgrade(ledger, "0044")
    return ledger


def upgrade_to_next(ledger: Ledger, oldest_program: str) -> None:
    """Do what the next version's migration does: new columns, a new table, and who goes on."""
    with ledger.rebuild() as tx:
        tx.execute(text("ALTER TABLE tasks ADD COLUMN later TEXT"))
        tx.execute(text("ALTER TABLE attempts ADD COLUMN later_count INTEGER DEFAULT 0 NOT NULL"))
        tx.execute(text("CREATE TABLE later_rows (id INTEGER PRIMARY KEY)"))
        ledger_schema.set_schema(tx, NEXT, oldest_program=oldest_program)


def test_a_ledger_says_which_programs_go_on_with_it(ours: Ledger) -> None:
    schema = ours.schema()
    assert schema.revision == HEAD_REVISION
    assert schema.oldest_program is not None
    assert FIRST <= schema.oldest_program <= HEAD_REVISION


def test_an_older_program_goes_on_with_a_schema_that_says_so(ours: Ledger, url: str, open_at: Open) -> None:
    upgrade_to_next(ours, HEAD_REVISION)
    assert ours.is_usable()
    started = open_at(url)
    started.ensure_schema()  # also one that starts now
    assert started.revision() == NEXT
    task_id = add_task(started)
    with started.write() as tx:
        tx.execute(text("UPDATE tasks SET later = 'by the newer version'"))
    (attempt,) = dispatch(started, concurrent=1, per_repository=1)
    assert attempt.task_id == task_id
    with started.read() as tx:
        assert tasks.get(tx, task_id).attempts == 1
        assert tx.execute(text("SELECT later FROM tasks")).scalar_one() == "by the newer version"
    report = check_integrity(url)
    assert (report.problems, report.revision) == ((), NEXT)


def test_an_older_program_refuses_a_schema_that_it_cannot_go_on_with(ours: Ledger, url: str, open_at: Open) -> None:
    upgrade_to_next(ours, NEXT)
    assert not ours.is_usable()
    with pytest.raises(SchemaVersionError, match=f"has schema {NEXT}, this Squire knows {HEAD_REVISION}"):
        open_at(url).ensure_schema()
    with pytest.raises(SchemaVersionError):
        check_integrity(url)


def test_what_was_said_of_another_schema_holds_no_more(ours: Ledger) -> None:
    with ours.write() as tx:
        tx.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert ours.schema() == LedgerSchema("9999")


def test_what_a_newer_version_adds_to_stored_values_keeps_nobody_from_reading_them(ours: Ledger) -> None:
    task_id = add_task(ours, title="Answer")
    with ours.write() as tx:
        spec = tx.execute(select(task_table.c.spec)).scalar_one()
        tx.execute(update(task_table).values(spec={**spec, "later": {"nested": [1]}}))
    with ours.read() as tx:
        assert tasks.get(tx, task_id).spec is not None
        assert tx.execute(select(task_events.c.after)).scalars().all() == ["ready"]


# ── Who has it open: Postgres alone knows ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["squire", "squire-0044"])
@pytest.mark.slow
def test_a_ledger_is_not_upgraded_under_older_processes_that_could_not_go_on(old: Ledger, name: str) -> None:
    with psycopg.connect(_plain_url(old), application_name=name), pytest.raises(SchemaInUseError) as caught:
        old.ensure_schema()
    assert "older Squire have it open" in caught.value.message
    assert "--ends-older" in caught.value.hint
    assert old.revision() == "0044"
    with psycopg.connect(_plain_url(old), application_name=name):
        old.ensure_schema(ends_older=True)
    assert old.revision() == HEAD_REVISION


@pytest.mark.slow
def test_others_than_older_processes_keep_nobody_from_upgrading(old: Ledger) -> None:
    with (
        psycopg.connect(_plain_url(old), application_name=f"squire-{HEAD_REVISION}"),
        psycopg.connect(_plain_url(old), application_name="squirrel"),
    ):
        old.ensure_schema()
    assert old.revision() == HEAD_REVISION


def _plain_url(ledger: Ledger) -> str:
    return ledger.url.set(drivername="postgresql").render_as_string(hide_password=False)


# ── What migrations may do ───────────────────────────────────────────────────────────────────────────────────────────

CHANGES = {
    "nothing": ("SELECT 1", ""),
    "a table": ("CREATE TABLE more (id INTEGER NOT NULL)", ""),
    "a column": ("ALTER TABLE one ADD COLUMN more TEXT", ""),
    "a column with a default": ("ALTER TABLE one ADD COLUMN more INTEGER DEFAULT 0 NOT NULL", ""),
    "an index": ("CREATE INDEX ix_one ON one (name)", ""),
    "a table gone": ("DROP TABLE two", "the table two is gone"),
    "a table renamed": ("ALTER TABLE two RENAME TO three", "the table two is gone"),
    "a column gone": ("ALTER TABLE one DROP COLUMN name", "the column one.name is gone"),
    "a column renamed": ("ALTER TABLE one RENAME COLUMN name TO title", "the column one.name is gone"),
    "a unique index": ("CREATE UNIQUE INDEX uq_one ON one (name)", "rows of one have to meet more"),
    "another type": (
        "DROP TABLE two; CREATE TABLE two (id INTEGER PRIMARY KEY, note INTEGER)",
        "the column two.note is INTEGER, and was TEXT",
    ),
    "a column that may not be empty": (
        "DROP TABLE two; CREATE TABLE two (id INTEGER PRIMARY KEY, note TEXT NOT NULL)",
        "the column two.note may be empty no more",
    ),
    "a column without a default": (
        "DROP TABLE two; CREATE TABLE two (id INTEGER PRIMARY KEY, note TEXT, more TEXT NOT NULL)",
        "the new column two.more needs a value",
    ),
    "a condition": (
        "DROP TABLE two; CREATE TABLE two (id INTEGER PRIMARY KEY, note TEXT, CHECK (note != ''))",
        "rows of two have to meet more",
    ),
    "a reference": (
        "DROP TABLE two; CREATE TABLE two (id INTEGER PRIMARY KEY, note TEXT REFERENCES one (name))",
        "rows of two have to meet more",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_older_programs_could_not_live_with_is_seen(change: str) -> None:
    statements, problem = CHANGES[change]
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        connection.execute(text("CREATE TABLE one (id INTEGER PRIMARY KEY, name TEXT)"))
        connection.execute(text("CREATE TABLE two (id INTEGER PRIMARY KEY, note TEXT)"))
        before = shapes_of(connection)
        for statement in statements.split(";"):
            connection.execute(text(statement))
        problems = taken_away(before, shapes_of(connection))
    engine.dispose()
    assert len(problems) == bool(problem), problems
    assert problem in "".join(problems)


@pytest.fixture
def growing(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger whose schema is that of the first revision with the rule."""
    with closing(Ledger(f"sqlite:///{tmp_path / 'growing.sqlite'}")) as ledger:
        ledger_schema.upgrade(ledger, FIRST)
        yield ledger


def test_each_migration_says_who_goes_on_and_one_that_takes_something_away_says_since_when_nobody_uses_it(
    growing: Ledger,
) -> None:
    with growing.read() as tx:
        known = list(ScriptDirectory.from_config(migrate.config_for(tx.connection)).walk_revisions())
        before = shapes_of(tx.connection)
    for script in reversed([script for script in known if script.revision > FIRST]):
        ledger_schema.upgrade(growing, script.revision)
        with growing.read() as tx:
            after = shapes_of(tx.connection)
        oldest = getattr(script.module, "OLDEST_PROGRAM", "")
        assert FIRST <= oldest <= script.revision, f"{script.path} does not say which OLDEST_PROGRAM goes on"
        unused_since = getattr(script.module, "UNUSED_SINCE", script.revision)
        if oldest < unused_since:
            problems = taken_away(before, after)
            assert problems == [], f"{script.path} takes away what programs of {oldest} use"
        before = after
