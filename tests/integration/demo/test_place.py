"""The demo's folder: who may use it, what is remembered, and what of the environment is let in."""

import fcntl
import json
import os
from pathlib import Path

import pytest

from squire_forge.process import ForgeProcess
from squire_pipelines.demo.options import DemoOptions, Ports
from squire_pipelines.demo.place import Memory, end_leftover_forge, enter, only_one, recall, remember, write_secret
from squire_pipelines.errors import ConfigError, RefusedError
from squire_pipelines.runtime.services import AlreadyRunningError, home_lock

REAL = (
    "SQUIRE_GITHUB_TOKEN",
    "SQUIRE_GITHUB_TOKEN_FILE",
    "GITHUB_TOKEN",
    "GH_TOKEN",
    "SQUIRE_CONFIG",
    "SQUIRE_LEDGER_URL",
    "SQUIRE_GITHUB__API_URL",
    "squire_repositories",
)


@pytest.fixture(autouse=True)
def _environment_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*REAL, "SQUIRE_AGENT__IMAGE"):
        monkeypatch.setenv(name, f"real-{name}")


@pytest.fixture
def options(tmp_path: Path) -> DemoOptions:
    return DemoOptions(home=tmp_path / "demo")


def test_a_folder_that_is_not_there_is_made_for_its_owner_alone(options: DemoOptions) -> None:
    memory, goes_on = enter(options)
    assert not goes_on
    assert recall(options.home) == memory
    assert options.home.stat().st_mode & 0o777 == 0o700
    assert memory.ports == Ports(memory.forge_port, memory.receiver_port)
    assert memory.forge_port != memory.receiver_port
    assert memory.asked_at is None


def test_real_credentials_and_settings_are_not_let_in(options: DemoOptions) -> None:
    enter(options)
    assert not [name for name in REAL if name in os.environ]
    assert os.environ["SQUIRE_AGENT__IMAGE"] == "real-SQUIRE_AGENT__IMAGE"
    assert os.environ["SQUIRE_HOME"] == str(options.home)


def test_a_folder_with_something_else_in_it_is_refused_and_stays(options: DemoOptions) -> None:
    options.home.mkdir()
    (options.home / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="is not empty") as caught:
        enter(options)
    assert "--home" in caught.value.hint
    assert (options.home / "thesis.txt").read_text() == "years of work"


def test_an_empty_folder_is_welcome(options: DemoOptions) -> None:
    options.home.mkdir()
    assert enter(options)[1] is False


def test_an_unfinished_demo_goes_on_with_its_ports(options: DemoOptions) -> None:
    first, _ = enter(options)
    (options.home / "something").touch()
    again, goes_on = enter(options)
    assert goes_on
    assert again == first
    assert (options.home / "something").exists()


@pytest.mark.parametrize("why", ["finished", "fresh", "another repository"])
def test_otherwise_it_begins_anew(options: DemoOptions, why: str, tmp_path: Path) -> None:
    first, _ = enter(options)
    (options.home / "something").touch()
    if why == "finished":
        remember(options.home, Memory(first.subject, 1, 2, finished=True))
    chosen = {
        "finished": options,
        "fresh": DemoOptions(home=options.home, fresh=True),
        "another repository": DemoOptions(home=options.home, repository=tmp_path),
    }[why]
    _, goes_on = enter(chosen)
    assert not goes_on
    assert not (options.home / "something").exists()


def test_a_folder_that_a_squire_serves_is_not_taken_away_from_it(options: DemoOptions) -> None:
    enter(options)
    with home_lock(options.home / "run"), pytest.raises(AlreadyRunningError):
        enter(DemoOptions(home=options.home, fresh=True))
    assert recall(options.home) is not None


def test_what_is_remembered_comes_back(tmp_path: Path) -> None:
    memory = Memory("samples", 1, 2, since="2026-03-01T12:00:00+00:00", requests=(3, 4))
    remember(tmp_path, memory)
    assert recall(tmp_path) == memory
    assert memory.asked_at is not None
    assert memory.asked_at.year == 2026


@pytest.mark.parametrize("text", ["", "{", "{}", '{"requests": [], "colour": "red"}', '{"requests": 3}'])
def test_a_memory_that_cannot_be_read_is_an_error_with_the_next_step(tmp_path: Path, text: str) -> None:
    (tmp_path / "demo.json").write_text(text)
    with pytest.raises(ConfigError, match=r"demo\.json cannot be read") as caught:
        recall(tmp_path)
    assert caught.value.hint


def test_two_demos_in_one_folder_are_one_too_many(options: DemoOptions) -> None:
    with only_one(options.home), pytest.raises(RefusedError, match="another demo is running"), only_one(options.home):
        pass
    with only_one(options.home):
        pass


def test_a_secret_is_for_its_owner_alone(tmp_path: Path) -> None:
    write_secret(tmp_path, "github-token", "first and longer")
    write_secret(tmp_path, "github-token", "second")
    path = tmp_path / "secrets" / "github-token"
    assert path.read_text() == "second"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_forge_that_was_left_running_is_ended(tmp_path: Path) -> None:
    assert end_leftover_forge(tmp_path) is False
    with ForgeProcess.start(tmp_path / "forge") as forge:
        assert end_leftover_forge(tmp_path) is True
        assert end_leftover_forge(tmp_path) is False
        with ForgeProcess.start(tmp_path / "forge", port=forge.port) as again:
            assert again.state()["repositories"] == []


def test_a_lock_without_a_holders_name_ends_nobody(tmp_path: Path) -> None:
    (tmp_path / "forge").mkdir()
    with (tmp_path / "forge" / "forge.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert end_leftover_forge(tmp_path) is False


def test_the_memory_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    remember(tmp_path, Memory("samples", 1, 2))
    assert not list(tmp_path.glob("*.part"))
    assert json.loads((tmp_path / "demo.json").read_text())["subject"] == "samples"
