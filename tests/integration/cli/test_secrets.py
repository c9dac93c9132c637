"""`squire secrets` on a machine without a keychain: from nothing to a secret in the encrypted file."""

import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from squire_pipelines.execution.step_executor import key_of_secrets
from squire_pipelines.runtime.secret_key import handed_on_key
from squire_pipelines.secrets import store as store_module
from squire_pipelines.secrets.key_file import KEY_VARIABLE
from squire_pipelines.settings.model import load_settings
from tests.support.cli import Squire
from tests.support.secret_store_faults import passphrase

TOKEN = "ghp_" + "x" * 36
PASSPHRASE = passphrase().reveal()


def rows(squire: Squire) -> dict[str, dict[str, object]]:
    return {row["name"]: row for row in squire.json("secrets", "list")}


@pytest.mark.usefixtures("store_file")
def test_a_secret_is_kept_shown_only_when_asked_for_and_removed(squire: Squire) -> None:
    assert "is kept in the encrypted file" in squire.ok("secrets", "set", "github-token", stdin=TOKEN)
    assert rows(squire)["github-token"]["where"] == "encrypted file"
    shown = squire.ok("secrets", "get", "github-token")
    assert "found in the encrypted file, 40 characters" in shown
    assert TOKEN not in shown
    assert squire.ok("secrets", "get", "github-token", "--reveal") == f"{TOKEN}\n"
    odd = "one\ntwo \u202e\N{ZERO WIDTH JOINER}"
    squire.ok("secrets", "set", "webhook-secret", stdin=odd)
    assert squire.ok("secrets", "get", "webhook-secret", "--reveal") == f"{odd}\n"
    assert "removed from the encrypted file" in squire.ok("secrets", "rm", "github-token")
    assert "squire secrets set github-token" in squire.fails(3, "secrets", "get", "github-token")
    assert not rows(squire)["github-token"]["found"]


@pytest.mark.usefixtures("store_file")
def test_rotate_replaces_what_squire_keeps_alone(squire: Squire, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "squire secrets set webhook-secret" in squire.fails(3, "secrets", "rotate", "webhook-secret")
    squire.ok("secrets", "set", "webhook-secret", stdin="old-secret")
    assert "restart" not in squire.ok("secrets", "rotate", "webhook-secret"), "a receiver that runs takes it"
    new = squire.ok("secrets", "get", "webhook-secret", "--reveal").strip()
    assert re.fullmatch("[0-9a-f]{64}", new)
    squire.ok("secrets", "set", "model-key", stdin="first")
    assert "is the one that it has" in squire.fails(3, "secrets", "rotate", "model-key", stdin="first\n")
    squire.ok("secrets", "rotate", "model-key", stdin="second")
    assert squire.ok("secrets", "get", "model-key", "--reveal") == "second\n"
    monkeypatch.setenv("SQUIRE_MODEL_KEY", "from-the-environment")
    assert "environment variable SQUIRE_MODEL_KEY" in squire.fails(3, "secrets", "rotate", "model-key", stdin="x")


@pytest.mark.slow
def test_the_passphrase_is_changed(squire: Squire, store_file: Path, tmp_path: Path) -> None:
    squire.ok("secrets", "set", "model-key", stdin="value")
    new = tmp_path / "new"
    new.write_text("quite another passphrase")
    squire.ok("secrets", "passphrase", "--new-file", str(new))
    store_module._opened.clear()
    assert "does not open" in squire.fails(3, "secrets", "get", "model-key")
    (tmp_path / "passphrase").write_text("quite another passphrase")
    assert squire.ok("secrets", "get", "model-key", "--reveal") == "value\n"
    assert store_file.exists()


@pytest.mark.usefixtures("store_file")
def test_plain_files_are_imported_and_gone(squire: Squire) -> None:
    folder = squire.home / "secrets"
    folder.mkdir()
    for name in ("github-token", "model-key"):
        (folder / name).write_text(f"value of {name}\n")
        (folder / name).chmod(0o600)
    assert "squire secrets import github-token" in str(rows(squire)["github-token"]["problem"])
    assert squire.ok("secrets", "import").count("is removed") == 2
    assert list(folder.iterdir()) == []
    assert squire.ok("secrets", "get", "model-key", "--reveal") == "value of model-key\n"
    assert "no plain file" in squire.ok("secrets", "import")


def test_the_doctor_says_of_each_place_how_it_is(
    squire: Squire, store_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    squire.ok("secrets", "set", "model-key", stdin="value")
    results = {row["name"]: row for row in squire.json("secrets", "doctor")}
    assert results["secret store"]["message"] == f"{store_file}, 1 secret, opened"
    monkeypatch.delenv("SQUIRE_SECRETS_PASSPHRASE_FILE")
    monkeypatch.setenv("SQUIRE_SECRETS_PASSPHRASE", PASSPHRASE)
    results = {row["name"]: row for row in squire.json("secrets", "doctor")}
    assert results["passphrase"]["status"] == "warn"
    assert "other processes of this user can read" in squire("secrets", "get", "model-key").stderr
    monkeypatch.delenv("SQUIRE_SECRETS_PASSPHRASE")
    store_module._opened.clear()
    assert "is locked" in squire.ok("secrets", "doctor")
    squire.config('repositories = ["acme/shop"]\n')
    (squire.home / "demo.json").write_text("{}")  # whose passphrase nobody can type
    rows = {row["name"]: row for row in json.loads(squire("doctor", "--json").stdout)}
    assert "squire demo --stay" in rows["secret store"]["next_step"]
    assert not {"rules", "github", "webhook"} & rows.keys(), "what is locked is told once"
    store_file.write_bytes(store_file.read_bytes()[:-1])
    assert "is damaged" in squire("secrets", "doctor").stdout
    assert squire("secrets", "doctor").exit_code == 3


def test_without_terminal_and_passphrase_nothing_is_made_and_the_next_step_is_named(squire: Squire) -> None:
    error = squire.fails(3, "secrets", "set", "github-token", stdin=TOKEN)
    assert "there is no terminal to ask for it" in error
    assert "SQUIRE_SECRETS_PASSPHRASE_FILE" in error
    assert not (squire.home / "secrets.sealed").exists()


def test_the_settings_say_where_else_secrets_are(squire: Squire) -> None:
    squire.config('[secrets]\ncommand = ["op", "read", "op://Private/{name}/password"]\n')
    assert "program op" in str(rows(squire)["model-key"]["where"])
    squire.config('[secrets]\ncommand = ["op", "read"]\n')
    assert "{name}" in squire.fails(3, "config", "validate")
    squire.config('[providers.claude]\nprotocol = "anthropic"\n[secrets]\ngh = false\n')
    assert "claude-key" in rows(squire)


@pytest.mark.usefixtures("store_file")
def test_child_processes_open_the_file_with_a_key_that_is_on_no_disk_and_in_no_environment(
    squire: Squire, monkeypatch: pytest.MonkeyPatch
) -> None:
    squire.ok("secrets", "set", "github-token", stdin=TOKEN)
    program = (
        "from squire_pipelines.secrets import require_secret\n"
        "from squire_pipelines.settings.model import load_settings\n"
        "print(require_secret('github-token', load_settings().secret_sources).reveal())\n"
    )
    with handed_on_key(load_settings().secret_sources) as variables:
        monkeypatch.delenv("SQUIRE_SECRETS_PASSPHRASE_FILE")
        file = Path(variables[KEY_VARIABLE])
        assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        assert file.is_relative_to("/dev/shm")  # noqa: S108 - a comparison
        assert PASSPHRASE not in file.read_text()
        environment = {**os.environ, **variables, "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring"}
        child = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert child.stdout == f"{TOKEN}\n", child.stderr
    assert not file.parent.exists()


@pytest.mark.slow
def test_from_nothing_to_a_kept_secret_at_a_terminal_of_a_machine_without_a_keychain(squire: Squire) -> None:
    """The passphrase is asked for at the terminal, and nothing that was typed is shown or written in the clear."""
    environment = {
        **os.environ,
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        "SQUIRE_HOME": str(squire.home),
    }
    command = [sys.executable, "-m", "squire_pipelines.cli"]
    answers = [(b"github-token:", TOKEN), (b"new passphrase:", PASSPHRASE), (b"the same again:", PASSPHRASE)]
    shown = _at_a_terminal([*command, "secrets", "set", "github-token"], environment, answers)
    assert "github-token is kept in the encrypted file" in shown
    again = [(b"passphrase of the secret store:", "wrong"), (b"passphrase of the secret store:", PASSPHRASE)]
    shown += _at_a_terminal([*command, "secrets", "get", "github-token"], environment, again)
    assert "does not open" in shown
    assert "found in the encrypted file, 40 characters" in shown
    assert not {TOKEN, PASSPHRASE} & set(shown.split())
    for file in squire.home.rglob("*"):
        assert not file.is_file() or TOKEN.encode() not in file.read_bytes()
    listed = subprocess.run(
        [*command, "secrets", "list", "--json"], env=environment, capture_output=True, timeout=60, check=True
    )
    assert json.loads(listed.stdout)[0]["where"] == "encrypted file"


def _at_a_terminal(command: list[str], environment: dict[str, str], answers: list[tuple[bytes, str]]) -> str:
    """Run a command on a terminal of its own, type each answer when its question has come; return what was shown."""
    pid, terminal = pty.fork()
    if not pid:
        os.execve(command[0], command, environment)  # noqa: S606 - the command under test
    shown, seen, deadline = b"", 0, time.monotonic() + 60
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                data = os.read(terminal, 4096)
            except OSError:  # the other end is closed
                break
            if not data:
                break
            shown += data
        if answers and answers[0][0] in shown[seen:]:
            seen = len(shown)
            os.write(terminal, answers.pop(0)[1].encode() + b"\n")
    os.close(terminal)
    assert os.waitpid(pid, 0)[1] == 0, shown
    return shown.decode()


def test_a_step_container_gets_the_key_as_a_mount_else_the_file_with_the_passphrase(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert key_of_secrets() == ((), ())
    monkeypatch.setenv("SQUIRE_SECRETS_PASSPHRASE", PASSPHRASE)
    assert key_of_secrets() == ((), ()), "what `docker inspect` shows holds no passphrase"
    file = tmp_path / "passphrase"
    file.write_text(PASSPHRASE)
    monkeypatch.setenv("SQUIRE_SECRETS_PASSPHRASE_FILE", str(file))
    variables, volumes = key_of_secrets()
    assert variables == ("SQUIRE_SECRETS_PASSPHRASE_FILE=/run/secrets/squire-passphrase",)
    assert volumes == (f"{file}:/run/secrets/squire-passphrase:ro",)
    monkeypatch.setenv(KEY_VARIABLE, "/in/memory/store-key")
    variables, volumes = key_of_secrets()
    assert variables == (f"{KEY_VARIABLE}=/run/secrets/squire-store-key",)
    assert volumes == ("/in/memory/store-key:/run/secrets/squire-store-key:ro",)
