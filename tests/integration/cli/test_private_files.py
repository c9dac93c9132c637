"""What the command writes holds what strangers wrote, and is its owner's alone, whatever umask it is started with."""

import fcntl
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from squire_pipelines.domain.endings import Cause
from squire_pipelines.home import make_file, make_folder
from squire_pipelines.ledger.store import open_ledger
from squire_pipelines.runtime.services import Services
from squire_pipelines.settings.model import Settings
from tests.support.cli import SampleData, Squire
from tests.support.private_files import open_to_others, reachable_by_others, umask

Run = Callable[..., None]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def as_a_program(home: Path) -> Run:
    """Run the command as people do, in a process of its own, which inherits the umask."""

    def run(*words: str) -> None:
        program = [sys.executable, "-m", "squire_pipelines.cli", *words]
        environment = {**os.environ, "SQUIRE_HOME": str(home)}
        subprocess.run(program, env=environment, check=True, capture_output=True, timeout=120)

    return run


def as_a_library(home: Path) -> Run:
    """Run it in the test's process, where nobody sets a umask."""

    def run(*words: str) -> None:
        Squire(home).ok(*words)

    return run


@pytest.mark.slow
@pytest.mark.parametrize(("way", "mask"), [(as_a_program, 0o000), (as_a_library, 0o000), (as_a_library, 0o022)])
def test_what_the_command_writes_is_its_owners_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mask: int, way: Callable[[Path], Run]
) -> None:
    home, outside = tmp_path / "home", tmp_path / "outside"
    monkeypatch.setenv("SQUIRE_HOME", str(home))
    outside.mkdir(mode=0o755)
    run = way(home)
    with umask(mask):
        home.mkdir(mode=0o755)  # an administrator made it
        run("init")
        run("tasks", "list")
        ledger = open_ledger(f"sqlite:///{home / 'ledger.sqlite'}")
        samples = SampleData(ledger)
        samples.ended(Cause.AGENT_ERROR)
        samples.reading()
        with ledger.write() as tx:
            tx.connection.exec_driver_sql("UPDATE tasks SET ended_at = '2020-01-01 00:00:00'")
        assert {mode(path) for path in home.glob("ledger.sqlite*")} == {0o600}
        run("history", "publish")
        run("tasks", "export", str(outside / "tasks.jsonl"))
        run("ledger", "backup", str(outside / "backup.sqlite"))
        run("history", "export", str(outside / "lake"))
        run("history", "sql", "FROM tasks", "--parquet", str(outside / "rows.parquet"))
        run("history", "report", "--html", str(outside / "page.html"))
        run("tasks", "clean")
        ledger.close()
    written = {path.name for path in home.iterdir()}
    assert {"archive", "config.toml", "ledger.sqlite", "warehouse.duckdb"} <= written
    assert list((home / "archive").rglob("*.parquet"))
    assert len(list((outside / "lake").rglob("*.parquet"))) > 3
    assert mode(home / "warehouse.duckdb") == 0o400
    assert reachable_by_others(home) == []
    assert open_to_others(outside) == {}
    if way is as_a_program:
        assert open_to_others(home) == {}


@pytest.fixture
def xdg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the user's folder that holds the four XDG directories, with no SQUIRE_HOME set."""
    monkeypatch.delenv("SQUIRE_HOME", raising=False)
    for name in ("CONFIG", "DATA", "CACHE", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / "user" / name.lower()))
    return tmp_path / "user"


@pytest.mark.slow
def test_in_the_xdg_layout_everything_is_its_owners_alone_too(xdg: Path) -> None:
    def run(*words: str) -> None:
        program = [sys.executable, "-m", "squire_pipelines.cli", *words]
        subprocess.run(program, check=True, capture_output=True, timeout=120)

    with umask(0o000):
        run("init", "--repository", "acme/shop", "--agent", "claude-code")
        run("tasks", "new", "acme/shop", "--prompt", "Do it.")
        run("tasks", "list")
        run("history", "publish")
        run("config", "validate")
    names = {path.name for path in xdg.rglob("*")}
    assert {"config.toml", "ledger.sqlite", "warehouse.duckdb", "cache", "data", "config"} <= names
    assert open_to_others(xdg) == {}


def test_folders_of_the_xdg_layout_that_an_older_squire_made_are_closed(xdg: Path) -> None:
    with umask(0o022):
        for name in ("config", "data", "cache", "state"):
            (xdg / name / "squire").mkdir(parents=True)
            (xdg / name / "squire" / "old").touch()
    with Services(Settings(), say=print):
        assert {mode(xdg / name / "squire") for name in ("config", "data", "cache", "state")} == {0o700}
        assert {mode(xdg / name) for name in ("config", "data")} == {0o755}  # others keep theirs beside


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_a_new_ledgers_files_are_its_owners_alone(tmp_path: Path, mask: int) -> None:
    path = tmp_path / "some" / "where" / "ledger.sqlite"
    with umask(mask):
        ledger = open_ledger(f"sqlite:///{path}")
        with ledger.write(), closing(sqlite3.connect(path)):
            modes = {file.name: mode(file) for file in path.parent.iterdir()}
        ledger.close()
    assert modes == dict.fromkeys(("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"), 384)
    assert (mode(path.parent), mode(path.parent.parent)) == (0o700, 0o700)


def test_a_folder_and_a_file_that_are_there_stay_as_they_are(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "file").write_text("content")
    (tmp_path / "file").chmod(0o640)
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert mode(make_folder(tmp_path)) == 0o755
    assert mode(make_file(tmp_path / "file")) == 0o640
    assert (tmp_path / "file").read_text() == "content"
    with pytest.raises(FileExistsError):
        make_folder(tmp_path / "file")
    with pytest.raises(OSError, match="symbolic links"):
        make_file(tmp_path / "link")


def test_what_an_older_squire_made_for_all_to_read_is_closed_when_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, target = tmp_path / "home", tmp_path / "not-ours"
    folders = ("dagster", "run", "attempts/01", "warm", "cache/mirrors", "archive/tasks", "secrets")
    with umask(0o022):
        target.mkdir()
        for folder in folders:
            (home / folder).mkdir(parents=True)
            (home / folder / "old").touch()
        for name in ("ledger.sqlite", "warehouse.duckdb", "report.html", "config.toml"):
            (home / name).touch()
    (home / "warm" / "old").unlink()
    (home / "warm").rmdir()
    (home / "warm").symlink_to(target)
    ledger = open_ledger(f"sqlite:///{home / 'ledger.sqlite'}")
    with ledger.write():
        pass  # SQLite makes its log, with the ledger's permissions
    assert mode(home / "ledger.sqlite") == mode(home / "ledger.sqlite-wal") == 0o600
    ledger.close()
    monkeypatch.setenv("SQUIRE_HOME", str(home))
    with Services(Settings(), say=print):
        assert reachable_by_others(home) == []
    assert mode(target) == 0o755  # a link's target is another's matter
    assert mode(home) == 0o755  # people may keep more in it


def test_an_open_log_of_a_ledger_that_was_killed_is_closed(tmp_path: Path) -> None:
    with umask(0o022), closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as killed:
        killed.execute("PRAGMA journal_mode=WAL")
        killed.execute("CREATE TABLE alembic_version (version_num TEXT)")
        assert mode(tmp_path / "ledger.sqlite-wal") == 0o644
        open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}").close()
        for suffix in ("", "-wal", "-shm"):
            path = tmp_path / f"ledger.sqlite{suffix}"
            assert not path.exists() or mode(path) == 0o600


def test_a_file_that_is_there_keeps_the_locks_of_this_process(tmp_path: Path) -> None:
    path = make_file(tmp_path / "file")
    with path.open("r+b") as locked:
        fcntl.lockf(locked, fcntl.LOCK_EX)
        make_file(path)
        assert f":{path.stat().st_ino} " in Path("/proc/locks").read_text(encoding="ascii")
