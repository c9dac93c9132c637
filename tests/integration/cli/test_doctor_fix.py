"""`squire doctor --fix` repairs what is safe, says what it did, and touches nothing of the user's."""

import json
import os
import stat
from pathlib import Path

import pytest

from squire_pipelines.files import lock
from tests.support.cli import Squire

pytestmark = pytest.mark.usefixtures("no_engine")


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")


def repairs(squire: Squire, *words: str) -> list[str]:
    rows = json.loads(squire("doctor", "--fix", "--json", *words).stdout)
    return [row["message"] for row in rows if row["name"] == "fix"]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def neglected(squire: Squire) -> Squire:
    """A home with open permissions, a record of a process that has ended, and what a killed writer left."""
    config = squire.config('# mine\nrepositories = ["acme/shop"]\n')
    config.chmod(0o644)
    (squire.home / "run").mkdir()
    (squire.home / "run").chmod(0o755)
    (squire.home / "run" / "receiver.pid").write_text(json.dumps({"pid": 2**22, "birth": "never"}))
    (squire.home / "settings").mkdir(mode=0o700)
    for part in (squire.home / ".config.toml.a1b2c3d4.part", squire.home / "settings/.last-good-1.toml.a1b2c3d4.part"):
        part.write_text("half")
        os.utime(part, (0, 0))
    (squire.home / ".notes.part").write_text("mine")
    (squire.home / "notes.txt").write_text("mine")
    (squire.home / "notes.txt").chmod(0o644)
    return squire


def test_a_dry_run_says_what_would_be_done_and_does_nothing(neglected: Squire) -> None:
    home = neglected.home
    before = {path: (mode(path), path.stat().st_mtime_ns) for path in home.rglob("*")}
    messages = repairs(neglected, "--dry-run")
    assert f"would chmod 600 {home / 'config.toml'}" in messages
    assert all(line.startswith("would ") for line in messages)
    after = {path: (mode(path), path.stat().st_mtime_ns) for path in home.rglob("*")}
    assert {path: after.get(path) for path in before} == before
    neglected.fails(2, "doctor", "--dry-run")


def test_permissions_leftovers_and_folders_are_repaired_and_nothing_of_the_users_is_touched(neglected: Squire) -> None:
    home = neglected.home
    messages = repairs(neglected)
    assert (mode(home / "config.toml"), mode(home / "run")) == (0o600, 0o700)
    assert not (home / "run" / "receiver.pid").exists()
    assert not (home / ".config.toml.a1b2c3d4.part").exists()
    assert list((home / "settings").iterdir()) == []
    assert (home / "cache").is_dir()
    assert all(line.startswith("done: ") for line in messages)
    assert (home / "config.toml").read_text() == '# mine\nrepositories = ["acme/shop"]\n'
    assert (home / ".notes.part").read_text() == "mine"
    assert mode(home / "notes.txt") == 0o644
    assert repairs(neglected) == ["there is nothing that can be repaired without you"]


def test_a_home_that_is_served_keeps_its_records(neglected: Squire) -> None:
    with lock(neglected.home / "run" / "lock"):
        messages = repairs(neglected)
    assert not any("receiver.pid" in line for line in messages)
    assert (neglected.home / "run" / "receiver.pid").exists()


def test_a_home_without_settings_gets_commented_defaults_that_are_valid(squire: Squire) -> None:
    messages = repairs(squire)
    config = squire.home / "config.toml"
    assert f"done: write {config} with the defaults as comments" in messages
    assert mode(config) == 0o600
    squire.ok("config", "validate")


def test_in_the_home_of_a_demo_that_has_ended_a_missing_secret_is_found_by_keeping_a_demo_running(
    squire: Squire,
) -> None:
    squire.config('[agent]\nkind = "command"\ncommand = ["true"]\n')
    (squire.home / "demo.json").write_text("{}")
    rows = {row["name"]: row for row in json.loads(squire("doctor", "--json").stdout)}
    assert "squire demo --stay" in rows["github-token"]["next_step"]
