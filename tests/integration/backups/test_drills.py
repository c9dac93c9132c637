"""A backup that any earlier ledger was taken into comes back whole, at today's schema, in SQLite and in Postgres."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from squire_pipelines.backups.restoring import RestoredHome, restore_home
from squire_pipelines.ledger import HEAD_REVISION, bulk
from squire_pipelines.ledger.audit_sealing import seal
from squire_pipelines.ledger.integrity import history_problems
from squire_pipelines.ledger.migrations import versions
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import metadata, task_events
from tests.support import ledger_0001, ledger_0002
from tests.support.audit_trail import add_rows, verdict_of
from tests.support.backup_files import back_up, home_at, ignore_progress
from tests.support.ledger_schema import differences, upgrade
from tests.support.ledgers import PostgresServer, decide

Open = Callable[..., Ledger]
REVISIONS = tuple(sorted(path.name[1:5] for path in Path(versions.__file__).parent.glob("r[0-9]*.py")))
Rows = dict[str, list[tuple[Any, ...]]]
Restore = Callable[..., tuple[RestoredHome, Ledger]]


@pytest.fixture(scope="module")
def ledgers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """A filled ledger at each revision: each is the one before, after one more migration."""
    folder = tmp_path_factory.mktemp("ledgers")
    growing = Ledger(f"sqlite:///{folder / 'growing.sqlite'}")
    paths = {}
    for revision in REVISIONS:
        upgrade(growing, revision)
        if revision in FILLED:
            with growing.write() as tx:
                FILLED[revision](tx)
        growing.close()
        paths[revision] = Path(shutil.copy(folder / "growing.sqlite", folder / f"{revision}.sqlite"))
    yield paths
    growing.close()


FILLED: dict[str, Callable[..., None]] = {"0001": ledger_0001.fill, "0002": ledger_0002.fill}


def rows_of(ledger: Ledger) -> Rows:
    """All rows but those of the audit trail, in which the restore stands."""
    with ledger.read() as tx:
        return {
            table.name: sorted((tuple(row) for row in tx.execute(select(table))), key=repr)
            for table in metadata.sorted_tables
            if table.name != "audit"
        }


@pytest.fixture(scope="module")
def newest_rows(ledgers: dict[str, Path]) -> Rows:
    """The rows of the ledger that was upgraded where it was."""
    upgraded = Ledger(f"sqlite:///{ledgers[HEAD_REVISION]}")
    rows = rows_of(upgraded)
    upgraded.close()
    assert sum(map(len, rows.values())) > 50
    return rows


@pytest.fixture
def restored(ledgers: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_at: Open) -> Restore:
    """Back up the ledger of a revision, and restore it into an empty home, with the ledger at `url`."""

    def restore(revision: str, url: str | None = None) -> tuple[RestoredHome, Ledger]:
        monkeypatch.setenv("SQUIRE_HOME", str(tmp_path / "old"))
        (tmp_path / "old").mkdir()
        path = Path(shutil.copy(ledgers[revision], tmp_path / "old" / "ledger.sqlite"))
        back_up(open_at(f"sqlite:///{path}"), tmp_path / "b.tar.gz")
        if url is not None:
            monkeypatch.setenv("SQUIRE_LEDGER_URL", url)
        done = restore_home(tmp_path / "b.tar.gz", home_at(tmp_path / "new"), actor="ann", progress=ignore_progress)
        return done, open_at(url or f"sqlite:///{tmp_path / 'new' / 'ledger.sqlite'}")

    return restore


def check_work_goes_on(ledger: Ledger) -> None:
    """Check that the schema is today's, that tasks change, and that their events get numbers that none has had."""
    newest = select(task_events.c.id).order_by(task_events.c.id.desc()).limit(1)
    with ledger.read() as tx:
        assert list(history_problems(tx)) == []
        assert differences(tx) == []
        before = tx.execute(newest).scalar_one()
    with ledger.write() as tx:
        decide(tx, ledger_0001.TASKS[0][0], bulk.approve())
        assert tx.execute(newest).scalar_one() > before
    assert seal(ledger)
    assert verdict_of(ledger).ok


@pytest.mark.parametrize(
    "revision",
    [
        pytest.param(revision, marks=() if revision in {"0001", "0018", HEAD_REVISION} else pytest.mark.slow)
        for revision in REVISIONS
    ],
)
def test_a_backup_of_each_earlier_version_is_restored(restored: Restore, newest_rows: Rows, revision: str) -> None:
    done, ledger = restored(revision)
    assert done.upgraded_from == (None if revision == HEAD_REVISION else revision)
    assert done.manifest.counts["tasks"] == (6 if revision == "0001" else 10)
    if revision == "0001":
        check_work_goes_on(ledger)
    else:
        assert rows_of(ledger) == newest_rows


@pytest.mark.slow
@pytest.mark.parametrize("revision", ["0018", HEAD_REVISION])
def test_a_backup_is_restored_into_postgres(
    restored: Restore, newest_rows: Rows, revision: str, postgres: PostgresServer
) -> None:
    done, ledger = restored(revision, postgres.new_database())
    assert done.ledger.startswith("postgresql")
    assert rows_of(ledger) == newest_rows
    check_work_goes_on(ledger)


@pytest.mark.slow
def test_a_ledger_on_postgres_is_backed_up_as_one_moment_and_restored_to_a_file(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_at: Open
) -> None:
    server = open_at(postgres.new_database())
    upgrade(server, "0001")
    with server.write() as tx:
        ledger_0001.fill(tx)
    server.ensure_schema()
    add_rows(server, 3)
    assert seal(server)
    with server.write() as tx:  # a row that was numbered and is gone
        number = tx.execute(text("SELECT nextval(pg_get_serial_sequence('task_events', 'id'))")).scalar_one()
    monkeypatch.setenv("SQUIRE_HOME", str(tmp_path / "old"))
    made = back_up(server, tmp_path / "b.tar.gz")
    assert (made.manifest.database, made.manifest.counts["tasks"]) == ("postgresql", 6)
    restore_home(tmp_path / "b.tar.gz", home_at(tmp_path / "new"), actor="ann", progress=ignore_progress)
    ledger = open_at(f"sqlite:///{tmp_path / 'new' / 'ledger.sqlite'}")
    assert rows_of(ledger) == rows_of(server)
    with ledger.write() as tx:
        decide(tx, ledger_0001.TASKS[0][0], bulk.approve())
        assert tx.execute(select(task_events.c.id).order_by(task_events.c.id.desc()).limit(1)).scalar_one() > number
    assert verdict_of(ledger).ok
