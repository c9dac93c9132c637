"""`squire migrate` on a machine without a keychain: a home of the old product is taken over in one command."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.main import cli
from tests.support.cli import LateInput, Squire
from tests.support.old_homes import FILES, SECRETS, VALUES, OldHome
from tests.support.secret_store_faults import passphrase

TASK = {
    "id": "abc",
    "repo": "acme/shop",
    "prompt": "Fix it",
    "status": "pending",
    "createdAt": "2026-01-02T03:04:05Z",
}


@pytest.fixture
def old(squire: Squire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OldHome:
    """A home of the old product, in whose working directory the command is run, with the passphrase in a file."""
    home = OldHome(tmp_path)
    home.write()
    (squire.home / "config.toml").unlink()
    tasks = tmp_path / "user/.squire/tasks"
    tasks.mkdir()
    (tasks / "abc.json").write_text(json.dumps(TASK))
    file = tmp_path / "passphrase"
    file.write_text(passphrase().reveal())
    monkeypatch.setenv("SQUIRE_SECRETS_PASSPHRASE_FILE", str(file))
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.delenv("AI_GATEWAY_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path / "work")
    return home


def test_a_home_is_taken_over_in_one_command_and_restored_in_another(squire: Squire, old: OldHome) -> None:
    hints = squire("config", "validate").stderr
    assert all(f"{old.root / name} has secrets of the old product" in hints for name in FILES)
    shown = squire.ok("migrate", "--dry-run")
    assert old.is_old()
    assert not (squire.home / "config.toml").exists()
    written = squire.ok("migrate", "--yes")
    assert old.is_new()
    assert old.plain_texts() == []
    assert not any(value in shown + written for value in VALUES)
    for name in SECRETS:
        assert f"{name} is sealed and read back" in written
        assert f"squire secrets rotate {name}" in written
    assert "1 task imported" in written
    assert "secrets of the old product" not in squire("config", "validate").stderr
    assert squire.ok("config", "get", "repositories") == "acme/shop\n"
    assert [row["status"] for row in squire.json("tasks", "list")] == ["proposed"]
    assert "Nothing is left to be taken over" in squire.ok("migrate", "--yes")
    actions = [row["action"] for row in squire.json("audit", "list")]
    assert {"secret.stored", "settings.changed"} <= set(actions)
    restored = squire.json("migrate", "--rollback")
    assert len(restored["restored"]) == len(FILES)
    assert old.is_old()
    assert not (squire.home / "config.toml").exists()
    assert "no migration to undo" in squire.fails(3, "migrate", "--rollback")


def test_the_result_is_json_without_secrets(squire: Squire, old: OldHome) -> None:
    result = squire.ok("migrate", "--yes", "--json")
    report = json.loads(result)
    assert report["changed"]
    assert Path(report["backup"]).is_file()
    assert report["tasks"] == {"imported": {"proposed": 1}, "skipped": 0}
    assert {"entry": "githubToken", "from": str(old.root / "work/squire.config.json"), "to": "secret github-token"} | {
        "note": "sealed, and removed here"
    } in report["rows"]
    assert not any(value in result for value in VALUES)
    assert squire.json("migrate", "--forget", "--yes")["removed"] == [report["backup"]]
    assert not Path(report["backup"]).exists()


def test_nothing_is_done_unasked(squire: Squire, old: OldHome) -> None:
    assert "add --yes" in squire.fails(5, "migrate")
    assert "exclude each other" in squire.fails(2, "migrate", "--dry-run", "--rollback")
    assert old.is_old()


def test_a_pipe_may_answer(squire: Squire, old: OldHome) -> None:
    assert squire("migrate", stdin="n\n").exit_code == 1
    assert old.is_old()
    result = squire("migrate", stdin="y\n")
    assert result.exit_code == 0, result.output
    assert not old.is_old()


def test_bad_input_changes_nothing(squire: Squire, old: OldHome, monkeypatch: pytest.MonkeyPatch) -> None:
    (old.root / "work/steward.yaml").write_text("schedule: {interval: often}\n")
    assert "no span like 30m" in squire.fails(3, "migrate", "--yes")
    (old.root / "work/steward.yaml").unlink()
    monkeypatch.delenv("SQUIRE_SECRETS_PASSPHRASE_FILE")
    old.home.secret_store.unlink()
    assert "SQUIRE_SECRETS_PASSPHRASE_FILE" in squire.fails(3, "migrate", "--yes")
    assert not (squire.home / "config.toml").exists()
    assert old.sources.store.names() == ()


def test_settings_of_the_old_product_by_mistake_lead_to_the_command(squire: Squire, old: OldHome) -> None:
    hint = squire.fails(3, "--config", str(old.root / "work/steward.yaml"), "config", "validate")
    assert f"squire migrate --from {old.root / 'work'}" in hint


def test_settings_that_cannot_be_used_keep_nobody_from_seeing_what_is_left_over(squire: Squire, old: OldHome) -> None:
    for text in ("[policy]\nmax_flies = 1\n", "[policy\n"):
        squire.config(text)
        hints = squire.fails(3, "config", "validate")
        assert all(f"{old.root / name} has secrets of the old product" in hints for name in FILES)


def test_what_was_changed_while_a_person_was_asked_is_shown_again(old: OldHome) -> None:
    def change_and_agree() -> str:
        (old.root / "work/.env").write_text("GITHUB_TOKEN=a-newer-token\n")
        return "y\n"

    context, stdin = CliContext(is_interactive=True), LateInput(change_and_agree)
    refusal = CliRunner().invoke(cli, ["migrate"], prog_name="squire", input=stdin, obj=context)  # type: ignore[arg-type]
    assert refusal.exit_code == 3, refusal.output
    assert "has changed since it was shown; nothing was changed" in refusal.stderr
    assert not old.home.migrations.exists()
