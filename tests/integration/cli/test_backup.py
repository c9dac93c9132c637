import json
import os
import shutil
import time
from pathlib import Path

import pytest

from squire_pipelines.domain.endings import Cause
from squire_pipelines.ledger.store import Ledger
from tests.support.backup_files import write_backup
from tests.support.cli import SampleData, Squire
from tests.support.ledger_schema import upgrade


@pytest.mark.usefixtures("store_file")
def test_a_home_is_backed_up_listed_verified_and_restored(
    squire: Squire, samples: SampleData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    squire.config('repositories = ["acme/shop"]\n[backup]\nkeep = 1\n')
    squire.ok("secrets", "set", "model-key", "--file", stdin="sealed value")
    samples.ended(Cause.COMPLETED)
    assert squire.ok("backup", "list").startswith("There is no backup in ")
    first = squire.json("backup")
    assert first["counts"]["tasks"] == 1
    assert first["removed"] == []
    (kept,) = squire.json("backup", "list")
    assert kept["file"] == first["file"]
    named = tmp_path / "named.tar.gz"
    shown = squire.ok("backup", str(named), "--no-archive")
    assert shown.startswith(f"ok: {named}, schema ")
    assert "not in it: the archive" in shown
    assert "is there already" in squire.fails(5, "backup", str(named))
    into_folder = squire.json("backup", "make", f"{tmp_path}/backups/")
    assert Path(into_folder["file"]).parent == tmp_path / "backups"
    assert squire.ok("backup", "verify", str(named)).startswith(f"ok: {named}, schema ")
    assert squire.json("backup", "verify", str(named))["ok"] is True
    samples.ledger.close()

    new = tmp_path / "new"
    would = squire.ok("restore", str(named), "--home", str(new), "--dry-run")
    assert f"would be restored into {new}; nothing was changed." in would
    assert not new.exists()
    assert f"ok: {new} is {named}" in squire.ok("restore", str(named), "--home", str(new))
    assert "is not empty" in squire.fails(5, "restore", str(named), "--home", str(new))
    monkeypatch.setenv("SQUIRE_HOME", str(new))
    assert [task["status"] for task in squire.json("tasks", "list")] == ["succeeded"]
    assert "model-key" in squire.ok("secrets", "list")
    assert squire.ok("audit", "verify").startswith("ok")


def test_what_is_no_backup_is_refused_with_the_next_step(squire: Squire, tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("Dear friend")
    assert "is no backup" in squire.fails(1, "backup", "verify", str(tmp_path / "letter"))
    assert "there is no ledger" in squire.fails(1, "backup")
    assert "name a file that `squire backup` made" in squire.fails(1, "restore", str(tmp_path / "letter"))


def test_an_older_backup_says_that_its_ledger_was_upgraded(squire: Squire, tmp_path: Path) -> None:
    old = Ledger(f"sqlite:///{tmp_path / 'old.sqlite'}")
    upgrade(old, "0030")
    old.close()
    content = (tmp_path / "old.sqlite").read_bytes()
    squire.config("")
    (squire.home / "ledger.sqlite").write_bytes(content)
    made = squire.json("backup", str(tmp_path / "before"))
    assert (made["revision"], made["counts"]["tasks"]) == ("0030", 0)
    assert (squire.home / "ledger.sqlite").read_bytes() == content
    path = write_backup(tmp_path / "b", {"ledger.sqlite": content}, revision="0030")
    shutil.rmtree(squire.home)
    assert "would be upgraded from schema 0030" in squire.ok("restore", str(path), "--dry-run")
    assert "was upgraded from schema 0030" in squire.ok("restore", str(path))
    assert squire.ok("ledger", "check").startswith("ok: ")


def test_the_doctor_names_an_unfinished_restore_late_backups_and_a_file_that_is_not_read(squire: Squire) -> None:
    def lines(name: str) -> list[tuple[str, str]]:
        rows = json.loads(squire("doctor", "--json").stdout)
        return [(row["status"], row["message"]) for row in rows if row["name"] == name]

    squire.config('repositories = ["acme/shop"]\n')
    assert lines("backup") == [("ok", "none is scheduled: `backup.schedule` is not set")]
    squire.config('repositories = ["acme/shop"]\n[backup]\nschedule = "@daily"\n')
    long_ago = time.time() - 3 * 86400
    os.utime(squire.home / "config.toml", (long_ago, long_ago))  # since then the first backup was due
    (squire.home / "squire.toml").write_text("x = 1")
    ((status, message),) = lines("backup")
    assert (status, "no backup in" in message) == ("warn", True)
    assert any("squire.toml is not read" in message for _, message in lines("settings"))
    (squire.home / "restore-incomplete.json").write_text("[]")
    ((status, message),) = lines("backup")
    assert (status, "is incomplete" in message) == ("fail", True)


def test_a_backup_is_fetched_from_the_store_by_variables_alone_where_no_home_is_left(
    squire: Squire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "there is no store of files" in squire.fails(3, "backup", "fetch", str(tmp_path))
    store = tmp_path / "store"
    (store / "backups").mkdir(parents=True)
    monkeypatch.setenv("SQUIRE_FILES__URL", f"file://{store}")
    assert "has no backup" in squire.fails(1, "backup", "fetch", str(tmp_path))
    assert squire.ok("backup", "list", "--store").startswith("There is no backup in the store ")
    names = ("squire-20260301T031700Z.tar.gz", "squire-20260302T031700Z.tar.gz")
    for name in (*names, "notes.txt"):
        (store / "backups" / name).write_text(name)
    assert [row["file"] for row in squire.json("backup", "list", "--store")] == list(reversed(names))
    assert Path(squire.json("backup", "fetch", str(tmp_path))["file"]).read_text() == names[1]
    assert "is there already" in squire.fails(5, "backup", "fetch", str(tmp_path))
    older = tmp_path / "older.tar.gz"
    assert f"squire restore {older}" in squire.ok("backup", "fetch", str(older), "--name", names[0])
    assert older.read_text() == names[0]
    assert "has no backup other" in squire.fails(1, "backup", "fetch", str(tmp_path / "x"), "--name", "other")
    assert not (squire.home / "ledger.sqlite").exists()
