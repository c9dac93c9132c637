"""`squire ledger move` from the command line: what it asks, shows and writes, and what it never shows."""

from pathlib import Path

import pytest

from squire_pipelines.domain.endings import Cause
from squire_pipelines.files import lock
from tests.support.cli import SampleData, Squire
from tests.support.ledgers import PostgresServer


def test_the_settings_follow_the_ledger_and_going_back_is_one_command(
    squire: Squire, samples: SampleData, tmp_path: Path
) -> None:
    squire.config('repositories = ["acme/shop"]  # mine\n')
    samples.ended(Cause.COMPLETED)
    samples.ledger.close()
    there, default = f"sqlite:///{tmp_path / 'there.sqlite'}", f"sqlite:///{squire.home / 'ledger.sqlite'}"
    assert "would move from" in squire.ok("ledger", "move", there, "--dry-run")
    planned = squire.json("ledger", "move", there, "--dry-run")
    assert {table["name"]: table["rows"] for table in planned["tables"]}["tasks"] == 1
    assert not (tmp_path / "there.sqlite").exists()
    assert "nobody is there to ask whether to move" in squire.fails(5, "ledger", "move", there)
    with lock(squire.home / "run" / "lock"):
        assert "another Squire serves" in squire.fails(1, "ledger", "move", there, "--yes")
    shown = squire.ok("ledger", "move", "-", "--yes", stdin=f"{there}\n")
    assert f"ok: {tmp_path / 'there.sqlite'} is the ledger" in shown
    settings = (squire.home / "config.toml").read_text(encoding="utf-8")
    assert f'ledger_url = "{there}"' in settings
    assert "# mine" in settings
    assert [task["status"] for task in squire.json("tasks", "list")] == ["succeeded"]
    moved = squire.json("ledger", "move", default, "--yes")
    assert Path(moved["aside"]).is_file()
    assert moved["settings_changed"]
    assert all(len(table["digest"]) == 64 for table in moved["tables"])
    assert "ledger_url" not in (squire.home / "config.toml").read_text(encoding="utf-8")
    assert [entry["action"] for entry in squire.json("audit", "list")] == ["ledger.move", "ledger.move"]


def test_an_old_place_is_refused_with_the_new_one_until_that_is_undone(
    squire: Squire, samples: SampleData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples.task("A task")
    samples.ledger.close()
    squire.ok("ledger", "move", f"sqlite:///{tmp_path / 'there.sqlite'}", "--yes")
    monkeypatch.setenv("SQUIRE_LEDGER_URL", f"sqlite:///{squire.home / 'ledger.sqlite'}")
    for words in (("tasks", "list"), ("ledger", "check"), ("tasks", "new", "acme/shop", "Do it")):
        result = squire(*words)
        assert f"has moved to {tmp_path / 'there.sqlite'}" in " ".join((result.stdout + result.stderr).split()), words
    assert "is the ledger again" in squire.ok("ledger", "move", "--undo", "--yes")
    assert len(squire.json("tasks", "list")) == 1
    assert "has not moved" in squire.fails(5, "ledger", "move", "--undo", "--yes")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((), "name the new place"),
        (("sqlite:////x", "--url-env", "X"), "name the new place"),
        (("--url-env", "NEW_PLACE"), "is not set"),
        (("mysql://me:hunter2@db/x",), "the ledger's URL looks like"),
    ],
)
def test_no_place_is_a_wrong_command_line_that_repeats_no_password(
    squire: Squire, words: tuple[str, ...], reason: str
) -> None:
    result = squire.fails(2, "ledger", "move", *words)
    assert reason in result
    assert "hunter2" not in result


def test_without_a_ledger_there_is_nothing_to_move(squire: Squire) -> None:
    assert "nothing to move" in squire.fails(1, "ledger", "move", "sqlite:////tmp/x.sqlite", "--yes")


def test_where_machines_share_the_ledger_it_does_not_go_into_a_file(squire: Squire, samples: SampleData) -> None:
    samples.ledger.close()
    squire.config('[workers]\nbroker_url = "redis://127.0.0.1:1/0"\n')
    assert "which no second machine can write to" in squire.fails(3, "ledger", "move", "sqlite:////x.sqlite", "--yes")


def test_a_password_is_shown_and_written_nowhere(
    squire: Squire, samples: SampleData, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    squire.config('repositories = ["acme/shop"]\n')
    samples.task("A task")
    samples.ledger.close()
    monkeypatch.setenv("NEW_PLACE", postgres.new_database().replace("squire@", "squire:hunter2@"))
    result = squire("ledger", "move", "--url-env", "NEW_PLACE", "--yes")
    assert result.exit_code == 0
    assert "set SQUIRE_LEDGER_URL" in result.stdout
    assert "hunter2" not in result.stdout + result.stderr
    assert "ledger_url" not in (squire.home / "config.toml").read_text(encoding="utf-8")
    assert "has moved to postgresql://" in " ".join(squire.fails(3, "tasks", "list").split())
    files = [path for path in squire.home.rglob("*") if path.is_file()]
    assert not [path for path in files if b"hunter2" in path.read_bytes()]
