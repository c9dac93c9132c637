"""Backups: taken while others write, whole or not at all, and put back only where nobody is in."""

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from squire_pipelines.errors import ConfigError, LedgerError, NotFoundError, RefusedError, SchemaVersionError
from squire_pipelines.ledger import HEAD_REVISION, tasks
from squire_pipelines.ledger.audit import audit_page
from squire_pipelines.ledger.backup import make_backup, restore_backup, verify
from squire_pipelines.ledger.integrity import history_problems
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import tasks as task_table
from tests.support import ledger_load
from tests.support.ledger_schema import upgrade
from tests.support.ledgers import PostgresServer, add_task, add_tasks, spec

Open = Callable[..., Ledger]


@pytest.fixture
def store(tmp_path: Path, open_at: Open) -> Ledger:
    """A ledger with a few tasks."""
    ledger = open_at(f"sqlite:///{tmp_path / 'home' / 'ledger.sqlite'}")
    ledger.ensure_schema()
    add_tasks(ledger, *(spec(f"k{number}") for number in range(20)))
    return ledger


def count(ledger: Ledger) -> int:
    with ledger.read() as tx:
        return int(tx.execute(select(func.count()).select_from(task_table)).scalar_one())


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_backup_is_one_private_file_that_holds_everything(store: Ledger, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    target = tmp_path / "b.sqlite"
    made = make_backup(store, target, progress=lambda done, total: seen.append((done, total)))
    assert (made.path, made.revision, made.tasks) == (target, HEAD_REVISION, 20)
    assert made.bytes == target.stat().st_size
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert names(tmp_path) == {"home", "b.sqlite"}
    assert seen
    assert seen[-1][0] == seen[-1][1]
    assert verify(target) == made


@pytest.mark.slow
def test_a_backup_while_others_write_holds_one_moment(store: Ledger, tmp_path: Path) -> None:
    url = str(store.url)
    with store.read() as tx:
        ids = tuple(tx.execute(select(task_table.c.id)).scalars())
    store.close()
    calls: list[tuple[object, tuple[object, ...]]] = [
        (ledger_load.change_without_pause, (url, ids[number::2], 1.0)) for number in range(2)
    ]
    calls.append((ledger_load.back_up, (url, tmp_path / "b.sqlite")))
    *loads, _ = ledger_load.together(ledger_load.any_of, calls)
    assert all(load.changes for load in loads)
    copy = Ledger(f"sqlite:///{tmp_path / 'b.sqlite'}")
    with copy.read() as tx:
        assert list(history_problems(tx)) == []
    copy.close()


@pytest.mark.slow
def test_a_backup_never_replaces_a_file(store: Ledger, tmp_path: Path) -> None:
    target = tmp_path / "b.sqlite"
    target.write_text("a letter")
    with pytest.raises(RefusedError, match="is there already"):
        make_backup(store, target)
    assert target.read_text() == "a letter"


def test_a_backup_of_nothing_or_to_nowhere_is_told(store: Ledger, tmp_path: Path, open_at: Open) -> None:
    with pytest.raises(NotFoundError, match="no ledger"):
        make_backup(open_at(f"sqlite:///{tmp_path / 'none.sqlite'}"), tmp_path / "b.sqlite")
    with pytest.raises(LedgerError, match="cannot be made"):
        make_backup(store, tmp_path / "no" / "folder" / "b.sqlite")


def test_postgres_has_tools_of_its_own(postgres: PostgresServer, open_at: Open, tmp_path: Path) -> None:
    ledger = open_at(postgres.empty_ledger())
    with pytest.raises(ConfigError, match="Postgres") as caught:
        make_backup(ledger, tmp_path / "b")
    assert "pg_dump --format=custom" in caught.value.hint
    with pytest.raises(ConfigError, match="Postgres") as caught:
        restore_backup(ledger, tmp_path / "b", actor="ann")
    assert "pg_restore --clean" in caught.value.hint


@pytest.mark.slow
def test_restore_puts_the_backup_in_place_and_keeps_the_old_ledger(store: Ledger, tmp_path: Path) -> None:
    make_backup(store, tmp_path / "b.sqlite")
    add_task(store)
    done = restore_backup(store, tmp_path / "b.sqlite", actor="ann")
    assert count(store) == 20
    assert done.aside
    aside = Ledger(f"sqlite:///{done.aside}")
    assert count(aside) == 21
    aside.close()
    with store.read() as tx:
        (entry,) = audit_page(tx)
        assert tx.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"
    assert (entry.actor, entry.action, entry.subject) == ("ann", "ledger.restore", str(tmp_path / "b.sqlite"))
    with store.write() as tx:
        tasks.cancel(tx, tx.execute(select(task_table.c.id).limit(1)).scalar_one(), actor="ann")


def test_restore_makes_a_ledger_where_there_was_none(store: Ledger, tmp_path: Path, open_at: Open) -> None:
    make_backup(store, tmp_path / "b.sqlite")
    other = open_at(f"sqlite:///{tmp_path / 'other' / 'ledger.sqlite'}")
    assert restore_backup(other, tmp_path / "b.sqlite", actor="ann").aside is None
    assert count(other) == 20
    other.close()
    assert names(tmp_path / "other") == {"ledger.sqlite"}


@pytest.mark.slow
def test_an_old_backup_is_taken_and_upgraded_at_the_next_start(store: Ledger, tmp_path: Path, open_at: Open) -> None:
    old = open_at(f"sqlite:///{tmp_path / 'old.sqlite'}")
    upgrade(old, "0001")
    make_backup(old, tmp_path / "b.sqlite")
    restore_backup(store, tmp_path / "b.sqlite", actor="ann")
    assert store.revision() == "0001"
    store.ensure_schema()
    assert count(store) == 0


def not_a_database(path: Path) -> None:
    path.write_bytes(b"this is no database\n" * 500)


def of_another_program(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE customers (id INTEGER)")
    connection.close()


def truncated(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])


def newer(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()


def missing(path: Path) -> None:
    path.unlink()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (not_a_database, LedgerError),
        (of_another_program, LedgerError),
        (truncated, LedgerError),
        (newer, SchemaVersionError),
        (missing, NotFoundError),
    ],
)
def test_what_is_no_backup_is_refused_before_anything_is_touched(
    store: Ledger, tmp_path: Path, spoil: Callable[[Path], None], error: type[Exception]
) -> None:
    backup = tmp_path / "b.sqlite"
    make_backup(store, backup)
    if spoil is of_another_program:
        backup.unlink()
    spoil(backup)
    store.close()
    before = store.path.read_bytes()
    with pytest.raises(error):
        restore_backup(store, backup, actor="ann")
    assert store.path.read_bytes() == before
    assert names(store.path.parent) == {"ledger.sqlite"}


@pytest.mark.slow
def test_the_ledger_is_no_backup_of_itself(store: Ledger) -> None:
    with pytest.raises(RefusedError, match="is the ledger itself"):
        restore_backup(store, store.path, actor="ann")


def test_the_database_of_another_program_is_not_replaced(store: Ledger, tmp_path: Path, open_at: Open) -> None:
    make_backup(store, tmp_path / "b.sqlite")
    of_another_program(tmp_path / "theirs.sqlite")
    before = (tmp_path / "theirs.sqlite").read_bytes()
    with pytest.raises(RefusedError, match="another program"):
        restore_backup(open_at(f"sqlite:///{tmp_path / 'theirs.sqlite'}"), tmp_path / "b.sqlite", actor="ann")
    assert (tmp_path / "theirs.sqlite").read_bytes() == before


def _hold(url: str, ready: Connection, stop: Connection) -> None:
    ledger = Ledger(url)
    with ledger.read():
        pass  # nothing is under way, but the connection stays open, as a server's does
    ready.send("open")
    stop.recv()
    ledger.close()


@pytest.mark.slow
@pytest.mark.parametrize("damaged", [False, True])
def test_restore_is_refused_while_another_process_has_the_ledger_open(
    store: Ledger, tmp_path: Path, *, damaged: bool
) -> None:
    make_backup(store, tmp_path / "b.sqlite")
    store.close()
    receiver, ready = ledger_load.processes.Pipe(duplex=False)
    stop, say = ledger_load.processes.Pipe(duplex=False)
    child = ledger_load.processes.Process(target=_hold, args=(str(store.url), ready, stop), daemon=True)
    child.start()
    assert receiver.poll(60)
    if damaged:
        with store.path.open("r+b") as file:
            file.write(b"\x00" * 100)
    before = store.path.read_bytes()
    with pytest.raises(RefusedError, match="another process"):
        restore_backup(store, tmp_path / "b.sqlite", actor="ann")
    assert store.path.read_bytes() == before
    say.send("stop")
    child.join(30)
    restore_backup(store, tmp_path / "b.sqlite", actor="ann")
    assert count(store) == 20


@pytest.mark.slow
def test_a_damaged_ledger_is_kept_as_it_is_and_replaced(store: Ledger, tmp_path: Path) -> None:
    make_backup(store, tmp_path / "b.sqlite")
    store.close()
    not_a_database(store.path)
    before = store.path.read_bytes()
    done = restore_backup(store, tmp_path / "b.sqlite", actor="ann")
    assert done.aside
    assert done.aside.read_bytes() == before
    assert count(store) == 20


_LIMITED = """
import resource, signal, sys
from pathlib import Path
from squire_pipelines.errors import LedgerError
from squire_pipelines.ledger.backup import make_backup, restore_backup
from squire_pipelines.ledger import HEAD_REVISION
from squire_pipelines.ledger.store import Ledger
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
ledger = Ledger(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
try:
    if sys.argv[1] == "backup":
        make_backup(ledger, Path(sys.argv[3]))
    else:
        restore_backup(ledger, Path(sys.argv[3]), actor="ann")
except LedgerError as error:
    sys.exit(error.message)
"""


@pytest.mark.slow
@pytest.mark.parametrize("part", ["backup", "restore"])
def test_a_disk_without_room_leaves_nothing_half_done(store: Ledger, tmp_path: Path, part: str) -> None:
    backup = tmp_path / "b.sqlite"
    if part == "restore":
        make_backup(store, backup)
    store.close()
    before = store.path.read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", _LIMITED, part, str(store.url), str(backup)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert done.returncode == 1
    assert "cannot be" in done.stderr
    assert store.path.read_bytes() == before
    # Who may only read leaves an empty WAL behind; nothing else is there.
    assert names(store.path.parent) - {"ledger.sqlite-wal", "ledger.sqlite-shm"} == {"ledger.sqlite"}
    assert backup.exists() == (part == "restore")
