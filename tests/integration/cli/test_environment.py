import http.server
import json
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import keyring
import keyring.backend
import keyring.backends.fail
import pytest

from squire_pipelines.agent_names import BUILT_IN
from squire_pipelines.cli.agents import choose_runner
from squire_pipelines.domain.looks import KnownRepository, RepositoryState
from squire_pipelines.ledger import repositories
from squire_pipelines.ledger.store import open_ledger
from squire_pipelines.sections.agents import AgentSettings
from tests.support.cli import SampleData, Squire
from tests.support.ledgers import as_nobody

NO_ENGINE = "unix:///nowhere/docker.sock"
TOKEN = "ghp_" + "x" * 36


class MemoryKeyring(keyring.backend.KeyringBackend):
    """A keyring that forgets when the test ends."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # the library's
        self.values: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.values.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.values[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if self.values.pop((service, username), None) is None:
            raise keyring.errors.PasswordDeleteError


@pytest.fixture(autouse=True)
def ring() -> MemoryKeyring:
    ring = MemoryKeyring()
    keyring.set_keyring(ring)
    return ring


@pytest.fixture
def world_readable_home() -> Iterator[Path]:
    """A home in a place that everybody may enter."""
    with tempfile.TemporaryDirectory(prefix="squire-home-") as name:
        home = Path(name)
        home.chmod(0o755)
        yield home
        for path in (home, *home.rglob("*")):
            path.chmod(0o700)


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", NO_ENGINE)


REPOSITORY = {
    "nameWithOwner": "acme/shop",
    "url": "https://github.test/acme/shop",
    "isArchived": False,
    "isDisabled": False,
    "isPrivate": True,
    "isEmpty": False,
    "viewerPermission": "WRITE",
    "defaultBranchRef": {"name": "main"},
}


class _GitHub(http.server.BaseHTTPRequestHandler):
    """Answers a token with all permissions but those in `lacking` (the last part of an address, and the answer)."""

    lacking: ClassVar[dict[str, int]] = {}

    def do_GET(self) -> None:
        if "/repos/" in self.path:
            self._answer(self.lacking.get(self._last(), 200), [])
        else:
            self._answer(200, {"resources": {"core": {"limit": 5000, "remaining": 4999}}})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.endswith("/graphql"):
            self._answer(200, {"data": {"repository": REPOSITORY}})
        else:
            self._answer(self.lacking.get(f"POST {self._last()}", 422), {"message": "Validation Failed"})

    def _last(self) -> str:
        return self.path.partition("?")[0].rpartition("/")[2]

    def _answer(self, status: int, content: object) -> None:
        known = self.headers["Authorization"] == f"Bearer {TOKEN}"
        body = json.dumps(content if known else {"message": "Bad"})
        self.send_response(status if known else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Say nothing."""


@pytest.fixture
def github() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _GitHub) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_secrets_are_found_without_showing_them(squire: Squire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GH_TOKEN", TOKEN)
    squire.ok("secrets", "set", "model-key", stdin="sk-" + "y" * 30 + "\n")
    shown = squire.ok("secrets", "status")
    rows = {row["name"]: row for row in squire.json("secrets", "status")}
    assert rows["github-token"]["where"] == "environment variable GH_TOKEN"
    assert rows["model-key"]["where"] == "keychain"
    assert not rows["webhook-secret"]["found"]
    assert "not set" in shown
    assert TOKEN not in shown + json.dumps(rows)
    assert "y" * 30 not in shown + json.dumps(rows)


def test_each_providers_key_is_a_secret_of_its_own(squire: Squire, ring: MemoryKeyring) -> None:
    squire.config('[providers.claude]\nprotocol = "anthropic"\n')
    assert "warning" not in squire.ok("secrets", "set", "claude-key", stdin="k" * 30 + "\n")
    rows = {row["name"]: row for row in squire.json("secrets", "status")}
    assert rows["claude-key"]["where"] == "keychain"
    assert not rows["model-key"]["found"]
    refused = squire.fails(3, "secrets", "set", "cluade-key", stdin="k" * 30 + "\n")
    assert "did you mean claude-key?" in refused
    assert (
        "github-token, github-app-key, webhook-secret, webhook-secret-old, model-key, otlp-headers, claude-key"
        in " ".join(refused.split())
    )
    assert {name for _, name in ring.values} == {"claude-key"}
    assert "none of github-token, github-app-key" in squire("secrets", "set", "claude", stdin="k").stderr


def test_a_secret_that_others_can_read_is_a_problem(squire: Squire) -> None:
    squire.config("[secrets]\nallow_plain_files = true\n")
    folder = squire.home / "secrets"
    folder.mkdir(parents=True)
    (folder / "webhook-secret").write_text("s" * 20)
    (folder / "webhook-secret").chmod(0o644)
    result = squire("secrets", "status")
    assert result.exit_code == 3
    assert "chmod 600" in result.stdout


def test_a_secret_is_kept_in_the_keyring_and_taken_out(squire: Squire, ring: MemoryKeyring) -> None:
    output = squire.ok("secrets", "set", "github-token", stdin=TOKEN)
    assert TOKEN not in output
    assert list(ring.values.values()) == [TOKEN]
    assert "from the keychain" in squire.ok("secrets", "rm", "github-token")
    assert "not kept" in squire.ok("secrets", "unset", "github-token")
    assert not ring.values
    assert "is empty" in squire.fails(3, "secrets", "set", "github-token", stdin=" \n")
    assert "longer than 65536 bytes" in squire.fails(3, "secrets", "set", "github-token", stdin="x" * 70_000)


def test_with_settings_that_cannot_be_used_a_providers_key_can_still_be_kept(
    squire: Squire, ring: MemoryKeyring
) -> None:
    squire.config("bogus = 1\n")
    squire.ok("secrets", "set", "claude-key", stdin="k" * 30)
    assert list(ring.values.values()) == ["k" * 30]


def test_a_key_that_is_given_as_a_name_is_not_repeated(squire: Squire) -> None:
    key = "sk-ant-api03-" + "Ab1" * 20
    assert key not in squire.fails(2, "secrets", "set", key, stdin="")


@pytest.mark.parametrize(
    ("runner", "kind", "engine", "expected"),
    [
        ("auto", "opencode", True, "docker"),
        ("auto", "opencode", False, ""),
        ("auto", "command", False, "local"),
        ("docker", "command", False, ""),
        ("local", "opencode", True, "local"),
    ],
)
def test_the_runner_follows_from_settings_and_engine(runner: str, kind: str, expected: str, *, engine: bool) -> None:
    agent = AgentSettings.model_validate({"runner": runner, "kind": kind})
    assert choose_runner(agent, engine=engine) == expected


@pytest.mark.usefixtures("no_engine")
def test_an_engine_that_a_variable_names_wrongly_is_a_matter_of_the_variable(squire: Squire) -> None:
    assert squire.json("agents", "list")["hint"].startswith(f"DOCKER_HOST is {NO_ENGINE}, and nothing else is tried")


@pytest.mark.usefixtures("no_engine")
def test_the_check_of_agents_names_the_engine_and_the_key_that_are_missing(squire: Squire) -> None:
    squire.config(
        '[providers.gpt]\nprotocol = "openai"\n[agent]\nprovider = "gpt"\nmodel = "m"\n'
        'fallback = ["codex", "claude-code"]\n'
    )
    result = squire("agents", "check", "--json")
    assert result.exit_code == 1
    rows = json.loads(result.stdout)
    assert [(row["agent"], row["ok"]) for row in rows] == [
        ("opencode", False),
        ("codex", False),
        ("claude-code", False),
        ("", False),
    ]
    assert "/nowhere/docker.sock" in rows[0]["answer"]
    assert "gpt-key" in rows[-1]["hint"]


@pytest.mark.usefixtures("no_engine")
def test_without_an_engine_the_agents_say_so(squire: Squire) -> None:
    place = squire.json("agents", "list")
    assert (place["runner"], place["engine"]) == ("", None)
    assert "/nowhere/docker.sock" in place["problem"]
    assert "the agent cannot run" in squire.ok("agents", "list")
    squire.config('[agent]\nkind = "command"\ncommand = ["true"]\n')
    assert "which is no sandbox" in squire.ok("agents", "list")
    kinds = {kind["name"]: kind for kind in squire.json("agents", "list")["agents"]}
    assert tuple(kinds)[: len(BUILT_IN)] == BUILT_IN
    assert (kinds["gemini"]["protocols"], kinds["gemini"]["image"]) == ("gemini", "squire agents build gemini")
    assert (kinds["command"]["protocols"], kinds["command"]["image"]) == ("", "")


def _doctor(squire: Squire, code: int) -> dict[str, dict[str, str]]:
    result = squire("doctor", "--json")
    assert result.exit_code == code, result.output
    return {row["name"]: row for row in json.loads(result.stdout)}


@pytest.mark.usefixtures("no_engine")
def test_the_doctor_fails_when_the_agent_cannot_run(squire: Squire) -> None:
    results = _doctor(squire, 1)
    assert results["engine"]["status"] == "fail"
    assert results["engine"]["next_step"]
    assert results["settings"]["status"] == "warn"
    assert results["git"]["status"] == "ok"
    assert not (squire.home / "ledger.sqlite").exists()
    text = squire("doctor")
    assert text.exit_code == 1
    assert "next: " in text.stdout


@pytest.mark.slow
@pytest.mark.usefixtures("no_engine")
def test_the_doctor_is_content_with_a_local_command(squire: Squire, samples: SampleData, github: str) -> None:
    squire.config(
        f'repositories = ["acme/shop"]\n[agent]\nkind = "command"\ncommand = ["true"]\n[github]\napi_url = "{github}"\n'
    )
    samples.task()
    squire.ok("history", "publish")
    squire.ok("secrets", "set", "github-token", stdin=TOKEN)
    with samples.ledger.write() as tx:
        repositories.record(
            tx, [KnownRepository("acme/shop", 1, "new/shop", RepositoryState.RENAMED, "it is new/shop")]
        )
    results = _doctor(squire, 0)
    assert (results["repository acme/shop"]["status"], results["repository acme/shop"]["message"]) == (
        "warn",
        "it is new/shop",
    )
    assert results["github"]["message"].endswith("4999 of 5000 requests left")
    assert results["github acme/shop"]["message"] == "the token has the permissions that it needs"
    assert results["runner"]["status"] == "warn"
    assert "1 task" in results["ledger"]["message"]
    assert results["warehouse"]["status"] == "ok"


@pytest.mark.slow
@pytest.mark.usefixtures("no_engine")
def test_the_doctor_names_the_permissions_that_the_token_lacks(
    squire: Squire, github: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_GitHub, "lacking", {"check-runs": 403, "POST refs": 403})
    squire.config(
        f'repositories = ["acme/shop"]\n[agent]\nkind = "command"\ncommand = ["true"]\n[github]\napi_url = "{github}"\n'
    )
    squire.ok("secrets", "set", "github-token", stdin=TOKEN)
    results = _doctor(squire, 1)
    assert results["github acme/shop"]["status"] == "fail"
    assert results["github acme/shop"]["message"] == "the token lacks checks: read, contents: write"
    assert "github-access.md" in results["github acme/shop"]["next_step"]
    monkeypatch.setattr(_GitHub, "lacking", {"check-runs": 404})
    results = _doctor(squire, 0)
    assert results["github acme/shop"]["status"] == "warn"
    assert results["github acme/shop"]["message"] == "404 for checks: read: the token may lack it"


@pytest.mark.usefixtures("no_engine")
def test_the_doctor_names_the_step_for_a_secret_and_each_plain_file(squire: Squire) -> None:
    keyring.set_keyring(keyring.backends.fail.Keyring())  # type: ignore[no-untyped-call]  # the library's
    squire.config("")
    plain = squire.home / "secrets" / "github-token"
    plain.parent.mkdir()
    plain.write_text("plain")
    results = _doctor(squire, 1)
    missing = results["webhook-secret"]
    assert missing["message"] == "missing"
    assert missing["next_step"].startswith("run `squire secrets set webhook-secret`, or set SQUIRE_WEBHOOK_SECRET")
    assert "this machine has no keychain" in results["keychain"]["message"]
    assert results["plain files"]["message"] == f"{plain} holds a secret in the clear, and is not read"
    assert results["plain files"]["next_step"] == "run `squire secrets import github-token`"
    squire.config("[secrets]\nallow_plain_files = true\n")
    assert "allow_plain_files is on" in _doctor(squire, 1)["plain files"]["message"]


@pytest.mark.usefixtures("no_engine")
def test_a_typo_in_the_homes_name_is_told_by_the_file_that_is_not_there(squire: Squire) -> None:
    settings = _doctor(squire, 1)["settings"]
    assert settings["message"] == f"no repository is named: {squire.home / 'config.toml'} does not exist"
    assert "SQUIRE_HOME" in settings["next_step"]
    squire.config("")
    assert _doctor(squire, 1)["settings"]["next_step"] == "name some in `repositories`"


@pytest.mark.slow
@pytest.mark.usefixtures("no_engine")
def test_a_home_that_is_read_only_can_be_read_and_the_doctor_says_what_it_is(
    monkeypatch: pytest.MonkeyPatch, world_readable_home: Path
) -> None:
    monkeypatch.setenv("SQUIRE_HOME", str(world_readable_home))
    squire = Squire(world_readable_home)
    ledger = open_ledger(f"sqlite:///{world_readable_home / 'ledger.sqlite'}")
    samples = SampleData(ledger)
    task_id = samples.task("Read me")
    samples.reading()
    squire.ok("history", "publish")
    assert _doctor(squire, 1)["disk"]["status"] == "ok"  # which also loads what nobody may not read from the disk
    ledger.close()
    for path in (world_readable_home, *world_readable_home.iterdir()):
        path.chmod(0o555 if path.is_dir() else 0o444)
    with as_nobody():
        assert "Read me" in squire.ok("tasks", "list")
        assert "Read me" in squire.ok("tasks", "show", task_id)
        assert "Broken" in squire.ok("signals", "list")
        assert squire.json("history", "report")["totals"]
        results = _doctor(squire, 1)
    assert results["ledger"]["status"] == "ok"
    assert results["warehouse"]["status"] == "ok"
    assert results["disk"]["message"] == f"this user may not write to the folder {world_readable_home}"
    assert "SQUIRE_HOME" in results["disk"]["next_step"]


@pytest.mark.usefixtures("no_engine")
def test_the_doctor_names_what_is_wrong(squire: Squire, samples: SampleData, github: str, tmp_path: Path) -> None:
    squire.config(f'[agent]\nkind = "command"\ncommand = ["true"]\nmodel = "x"\n[github]\napi_url = "{github}"\n')
    squire.ok("secrets", "set", "github-token", stdin="ghp_" + "z" * 36)
    (squire.home / "warehouse.duckdb").write_text("no database")
    with samples.ledger.write() as tx:
        tx.connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0000'")
    results = _doctor(squire, 1)
    assert tmp_path
    assert {name for name, row in results.items() if row["status"] == "fail"} == {"github", "warehouse", "ledger"}
    assert results["model-key"]["message"] == "not set, and no model of its provider is set", "a command calls none"


@pytest.mark.usefixtures("no_engine")
def test_settings_that_do_not_hold_stop_only_what_needs_them(squire: Squire) -> None:
    squire.config("bogus = 1\n")
    results = _doctor(squire, 1)
    assert results["settings"]["status"] == "fail"
    assert "git" in results
    assert "engine" not in results


@pytest.mark.usefixtures("no_engine")
def test_a_machine_without_git_is_told(squire: Squire, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _doctor(squire, 1)["git"]["next_step"] == "install git"
    fake = tmp_path / "git"
    fake.write_text("#!/bin/sh\necho git version 2.20.1\n")
    fake.chmod(0o755)
    assert _doctor(squire, 1)["git"]["next_step"] == "install git, version 2.39 or newer"
    fake.write_text("#!/bin/sh\necho git version 2.50.1\n")
    assert "http-backend" in _doctor(squire, 1)["git"]["message"]
