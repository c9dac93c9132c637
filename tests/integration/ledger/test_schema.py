"""The schema: its migrations, the check that a database is ours, and what cannot be opened."""

import ast
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import event, text

from squire_pipelines.errors import LedgerError, SchemaVersionError
from squire_pipelines.ledger import HEAD_REVISION, migrate
from squire_pipelines.ledger.audit import record_audit
from squire_pipelines.ledger.store import Ledger, open_ledger
from squire_pipelines.ledger.tables import metadata
from tests.support.ledger_schema import differences, downgrade, tables_of
from tests.support.ledgers import PostgresServer, add_task, as_nobody

Open = Callable[..., Ledger]


@pytest.fixture
def empty(database: str, request: pytest.FixtureRequest, tmp_path: Path, open_at: Open) -> Ledger:
    """A database with nothing in it."""
    if database == "sqlite":
        return open_at(f"sqlite:///{tmp_path / 'new' / 'folder' / 'ledger.sqlite'}")
    server: PostgresServer = request.getfixturevalue("postgres")
    return open_at(server.new_database())


def test_a_new_database_gets_the_schema_and_a_second_opening_changes_nothing(empty: Ledger) -> None:
    empty.ensure_schema()
    assert empty.revision() == HEAD_REVISION
    assert tables_of(empty) == {"alembic_version", *metadata.tables}
    empty.ensure_schema()
    assert empty.revision() == HEAD_REVISION


@pytest.mark.slow
def test_migrations_go_up_down_and_up_again(empty: Ledger) -> None:
    empty.ensure_schema()
    downgrade(empty, "base")
    assert tables_of(empty) == {"alembic_version"}
    assert empty.revision() is None
    empty.ensure_schema()
    assert empty.revision() == HEAD_REVISION
    assert tables_of(empty) == {"alembic_version", *metadata.tables}


def test_migrations_make_exactly_the_tables_that_the_code_knows(empty: Ledger) -> None:
    empty.ensure_schema()
    with empty.read() as tx:
        assert differences(tx) == []
        checks = {
            name
            for (name,) in tx.execute(
                text(
                    "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL"
                    if empty.is_sqlite
                    else "SELECT conname FROM pg_constraint"
                )
            )
        }
    # Alembic does not compare check constraints, so we look for each by its name.
    for table in metadata.tables.values():
        for constraint in table.constraints:
            if constraint.name and str(constraint.name).startswith("ck_"):
                assert any(str(constraint.name) in check for check in checks), constraint.name


def test_migrations_import_nothing_that_may_change() -> None:
    folder = Path(migrate.__file__).parent / "migrations"
    files = sorted(folder.rglob("*.py"))
    assert [path.name for path in files if path.name.startswith("r0")][-1].startswith(f"r{HEAD_REVISION}_")
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, path
                names = [node.module or ""]
            assert not any(name.split(".")[0] == "squire_pipelines" for name in names), path


def test_the_known_revision_is_the_newest_migration(empty: Ledger) -> None:
    if empty.is_sqlite:
        empty.path.parent.mkdir(parents=True)
    with empty.read() as tx:
        script = ScriptDirectory.from_config(migrate.config_for(tx.connection))
    assert script.get_heads() == [HEAD_REVISION]


@pytest.mark.slow
@pytest.mark.parametrize("revision", [f"{int(HEAD_REVISION) + 1:04}", "9999", "a1b2c3"])
def test_a_newer_schema_is_refused_and_left_alone(empty: Ledger, revision: str) -> None:
    empty.ensure_schema()
    with empty.write() as tx:
        tx.execute(text("UPDATE alembic_version SET version_num = :new"), {"new": revision})
    with pytest.raises(SchemaVersionError, match=revision) as caught:
        empty.ensure_schema()
    assert "newer Squire" in caught.value.hint
    assert empty.revision() == revision


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE customers (id INTEGER)"],
        ["CREATE TABLE tasks (id INTEGER)"],
        [
            "CREATE TABLE customers (id INTEGER)",
            "CREATE TABLE alembic_version (version_num VARCHAR(32))",
            "INSERT INTO alembic_version VALUES ('0001')",
        ],
        [
            "CREATE TABLE alembic_version (version_num VARCHAR(32))",
            "INSERT INTO alembic_version VALUES ('0001')",
        ],
    ],
    ids=["tables", "one called tasks", "another application's Alembic", "only another's version"],
)
def test_a_database_with_tables_that_are_not_ours_is_refused_and_left_alone(
    empty: Ledger, statements: list[str]
) -> None:
    if empty.is_sqlite:
        empty.path.parent.mkdir(parents=True)
        with sqlite3.connect(empty.path) as connection:
            for statement in statements:
                connection.execute(statement)
        connection.close()
        before = empty.path.read_bytes()
    else:
        with empty.write() as tx:
            for statement in statements:
                tx.execute(text(statement))
    tables = tables_of(empty)
    with pytest.raises(SchemaVersionError, match="not Squire's") as caught:
        empty.ensure_schema()
    assert "ledger_url" in caught.value.hint
    assert tables_of(empty) == tables
    if empty.is_sqlite:
        empty.close()
        assert empty.path.read_bytes() == before
        assert [path.name for path in empty.path.parent.iterdir()] == ["ledger.sqlite"]


@pytest.mark.parametrize("content", [b"this is no database, but a letter to a friend\n" * 100, b"\x00" * 5000])
def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(content)
    with pytest.raises(LedgerError, match="not a database") as caught:
        open_ledger(f"sqlite:///{path}")
    assert "backup" in caught.value.hint
    assert path.read_bytes() == content


def test_a_truncated_ledger_is_refused_and_left_alone(tmp_path: Path, open_at: Open) -> None:
    path = tmp_path / "ledger.sqlite"
    ledger = open_at(f"sqlite:///{path}")
    ledger.ensure_schema()
    ledger.close()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 3])
    with pytest.raises(LedgerError) as caught:
        open_ledger(f"sqlite:///{path}")
    assert "backup" in caught.value.hint
    assert path.read_bytes() == whole[: len(whole) // 3]


@pytest.fixture
def locked_folder() -> Iterator[Path]:
    """A folder that may be read but not written, in a place that everybody may enter."""
    with tempfile.TemporaryDirectory(prefix="squire-locked-") as name:
        folder = Path(name)
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o700)


def test_a_folder_that_may_not_be_written_is_named_with_a_hint(locked_folder: Path, open_at: Open) -> None:
    ledger = open_at(f"sqlite:///{locked_folder / 'ledger.sqlite'}")
    with as_nobody(), pytest.raises(LedgerError, match=str(locked_folder)) as caught:
        ledger.ensure_schema()
    assert "you may write" in caught.value.hint
    assert list(locked_folder.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named_with_a_hint(locked_folder: Path, open_at: Open) -> None:
    ledger = open_at(f"sqlite:///{locked_folder / 'deeper' / 'ledger.sqlite'}")
    with as_nobody(), pytest.raises(LedgerError, match="deeper") as caught:
        ledger.ensure_schema()
    assert "you may write" in caught.value.hint


def test_a_file_that_may_only_be_read_can_be_read_and_says_why_it_is_not_written(
    locked_folder: Path, tmp_path: Path, open_at: Open
) -> None:
    made = open_at(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    made.ensure_schema()
    made.close()
    locked_folder.chmod(0o755)
    path = locked_folder / "ledger.sqlite"
    path.write_bytes((tmp_path / "ledger.sqlite").read_bytes())
    path.chmod(0o444)
    locked_folder.chmod(0o555)
    ledger = open_at(f"sqlite:///{path}")
    with as_nobody():
        ledger.ensure_schema()
        with ledger.read() as tx:
            assert tx.execute(text("SELECT count(*) FROM tasks")).scalar_one() == 0
        cause = f"cannot be written: this user may not write to the folder {locked_folder}"
        with pytest.raises(LedgerError, match=cause) as caught, ledger.write() as tx:
            tx.execute(text("DELETE FROM audit"))
    assert "you may write" in caught.value.hint
    assert [file.name for file in locked_folder.iterdir()] == ["ledger.sqlite"]


def test_a_ledger_that_is_written_to_by_another_way_is_not_taken_to_be_at_rest(
    locked_folder: Path, open_at: Open
) -> None:
    locked_folder.chmod(0o755)
    writer = open_at(f"sqlite:///{locked_folder / 'ledger.sqlite'}")
    writer.ensure_schema()
    for file in locked_folder.iterdir():
        file.chmod(0o444)
    locked_folder.chmod(0o555)
    reader = open_at(f"sqlite:///{locked_folder / 'ledger.sqlite'}")
    with writer.write() as tx:
        record_audit(tx, actor="ann", action="approve", subject="t1", detail={}, trace_id="ab" * 16)
    with as_nobody(), reader.read() as tx:
        assert tx.execute(text("SELECT count(*) FROM audit")).scalar_one() == 1


def test_a_ledger_without_its_tables_says_what_it_lacks(empty: Ledger) -> None:
    if empty.is_sqlite:
        empty.path.parent.mkdir(parents=True)
    with pytest.raises(LedgerError, match="lacks something") as caught, empty.read() as tx:
        tx.execute(text("SELECT id FROM tasks"))
    assert "ledger_url" in caught.value.hint


def test_a_migration_that_fails_half_way_leaves_nothing(empty: Ledger) -> None:
    if empty.is_sqlite:
        empty.path.parent.mkdir(parents=True)

    def upgrade_and_fail() -> None:
        with empty.write() as tx:
            command.upgrade(migrate.config_for(tx.connection), "head")
            raise RuntimeError("pulled the plug")

    with pytest.raises(RuntimeError, match="pulled the plug"):
        upgrade_and_fail()
    assert empty.revision() is None
    assert tables_of(empty) == set()
    empty.ensure_schema()
    assert empty.revision() == HEAD_REVISION


_FILLING = """
import resource, signal, sys
from squire_pipelines.errors import LedgerError
from squire_pipelines.ledger import HEAD_REVISION
from squire_pipelines.ledger.store import Ledger
from tests.support.ledgers import add_task
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
ledger = Ledger(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
try:
    while True:
        print(add_task(ledger, prompt="x" * 20_000), flush=True)
except LedgerError as error:
    sys.exit(f"{error.message} | {error.hint}")
"""


@pytest.mark.slow
def test_a_disk_that_is_full_loses_nothing_that_was_acknowledged(tmp_path: Path, open_at: Open) -> None:
    ledger = open_at(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    ledger.ensure_schema()
    ledger.close()
    done = subprocess.run(
        [sys.executable, "-c", _FILLING, str(ledger.url)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert done.returncode == 1
    assert "ledger.sqlite" in done.stderr
    assert "disk" in done.stderr
    acknowledged = done.stdout.split()
    assert len(acknowledged) > 5
    with ledger.read() as tx:
        assert tx.execute(text("PRAGMA integrity_check")).scalar_one() == "ok"
        stored = set(tx.execute(text("SELECT id FROM tasks")).scalars())
    assert stored == set(acknowledged)


def test_a_file_that_another_took_the_place_of_while_it_was_opened_is_not_used(tmp_path: Path, open_at: Open) -> None:
    ledger = open_at(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    ledger.ensure_schema()
    ledger.close()
    shutil.copyfile(tmp_path / "ledger.sqlite", tmp_path / "backup.sqlite")

    def put_in_its_place(*_: object) -> None:
        if (tmp_path / "backup.sqlite").exists():
            (tmp_path / "backup.sqlite").replace(tmp_path / "ledger.sqlite")

    event.listen(ledger.engine, "do_connect", put_in_its_place)  # after the ledger has looked which file it is
    with pytest.raises(LedgerError, match="put in its place") as caught, ledger.read():
        pass
    assert "try again" in caught.value.hint
    assert ledger.revision() == HEAD_REVISION


def test_nothing_is_written_to_a_file_that_was_removed_or_that_another_took_the_place_of(
    tmp_path: Path, open_at: Open
) -> None:
    path = tmp_path / "ledger.sqlite"
    ledger, other = open_at(f"sqlite:///{path}"), open_at(f"sqlite:///{tmp_path / 'other.sqlite'}")
    for one in (ledger, other):
        one.ensure_schema()
    other.close()
    for name in ("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    with pytest.raises(LedgerError, match="lacks something"):
        add_task(ledger)
    (tmp_path / "other.sqlite").replace(path)
    task_id = add_task(ledger)
    with open_at(f"sqlite:///{path}").read() as tx:
        assert tx.execute(text("SELECT id FROM tasks")).scalars().all() == [task_id]
