"""The demo's folder: who may use it, what state it keeps, and which variables of the environment pass."""

import fcntl
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from squire_forge.process import ForgeProcess
from squire_pipelines.demo.folder import (
    DemoState,
    keep_secrets,
    load_state,
    lock_folder,
    prepare_folder,
    save_state,
    secrets_in_memory,
    stop_leftover_forge,
)
from squire_pipelines.demo.options import DemoOptions
from squire_pipelines.errors import ConfigError, RefusedError
from squire_pipelines.home import Home
from squire_pipelines.runtime.home_lock import AlreadyRunningError, home_lock
from squire_pipelines.secrets import SecretSources, require_secret

REAL = (
    "SQUIRE_GITHUB_TOKEN",
    "SQUIRE_GITHUB_TOKEN_FILE",
    "GITHUB_TOKEN",
    "GH_TOKEN",
    "SQUIRE_CONFIG",
    "SQUIRE_LEDGER_URL",
    "SQUIRE_GITHUB__API_URL",
    "squire_repositories",
    "SQUIRE_SECRETS_KEYFILE",
)


@pytest.fixture(autouse=True)
def _environment_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*REAL, "SQUIRE_AGENT__IMAGE"):
        monkeypatch.setenv(name, f"real-{name}")


@pytest.fixture
def options(tmp_path: Path) -> DemoOptions:
    return DemoOptions(home=tmp_path / "demo")


def test_a_folder_that_is_not_there_is_made_for_its_owner_alone(options: DemoOptions) -> None:
    state, resumed = prepare_folder(options)
    assert not resumed
    assert load_state(options.home) == state
    assert options.home.stat().st_mode & 0o777 == 0o700
    assert state.forge_port != state.receiver_port
    assert state.since is None


def test_real_credentials_and_settings_do_not_pass(options: DemoOptions) -> None:
    prepare_folder(options)
    assert not [name for name in REAL if name in os.environ]
    assert os.environ["SQUIRE_AGENT__IMAGE"] == "real-SQUIRE_AGENT__IMAGE"
    assert os.environ["SQUIRE_HOME"] == str(options.home)


def test_a_folder_with_something_else_in_it_is_refused_and_stays(options: DemoOptions) -> None:
    options.home.mkdir()
    (options.home / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="is not empty") as caught:
        prepare_folder(options)
    assert "--home" in caught.value.hint
    assert (options.home / "thesis.txt").read_text() == "years of work"


def test_an_empty_folder_is_welcome(options: DemoOptions) -> None:
    options.home.mkdir()
    assert prepare_folder(options)[1] is False


def test_an_unfinished_demo_resumed_with_its_ports(options: DemoOptions) -> None:
    first, _ = prepare_folder(options)
    (options.home / "something").touch()
    again, resumed = prepare_folder(options)
    assert resumed
    assert again == first
    assert (options.home / "something").exists()


def test_a_finished_demo_is_served_again_and_not_begun_again(options: DemoOptions) -> None:
    first, _ = prepare_folder(options)
    finished = first.model_copy(update={"finished": True})
    save_state(options.home, finished)
    assert prepare_folder(DemoOptions(home=options.home, stay=True)) == (finished, True)
    assert prepare_folder(DemoOptions(home=options.home, stay=True, fresh=True))[1] is False


@pytest.mark.parametrize("why", ["finished", "fresh", "another repository", "another issue"])
def test_otherwise_it_starts_over(options: DemoOptions, why: str, tmp_path: Path) -> None:
    first, _ = prepare_folder(options)
    (options.home / "something").touch()
    if why == "finished":
        save_state(options.home, first.model_copy(update={"finished": True}))
    other = {
        "finished": options,
        "fresh": DemoOptions(home=options.home, fresh=True),
        "another repository": DemoOptions(home=options.home, repository=tmp_path),
        "another issue": DemoOptions(home=options.home, repository=tmp_path, issue="Something else"),
    }[why]
    if why == "another issue":
        prepare_folder(DemoOptions(home=options.home, repository=tmp_path))
        (options.home / "something").touch()
    _, resumed = prepare_folder(other)
    assert not resumed
    assert not (options.home / "something").exists()


def test_a_folder_whose_emptying_was_cut_off_is_still_the_demos(
    options: DemoOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_folder(options)
    (options.home / "something").touch()

    def killed(_path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            prepare_folder(DemoOptions(home=options.home, fresh=True))
    _, resumed = prepare_folder(DemoOptions(home=options.home, fresh=True))
    assert not resumed
    assert not (options.home / "something").exists()


def test_the_same_words_for_another_repository_are_another_demo(
    options: DemoOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        _, resumed = prepare_folder(DemoOptions(home=options.home, repository=Path()))
        assert not resumed


def test_a_folder_that_a_squire_serves_is_not_taken_away_from_it(options: DemoOptions) -> None:
    prepare_folder(options)
    with home_lock(options.home / "run"), pytest.raises(AlreadyRunningError):
        prepare_folder(DemoOptions(home=options.home, fresh=True))
    assert load_state(options.home) is not None


def test_a_saved_state_is_loaded(tmp_path: Path) -> None:
    state = DemoState(
        subject="samples", forge_port=1, receiver_port=2, since=datetime(2026, 3, 1, 12, tzinfo=UTC), requests=(3, 4)
    )
    save_state(tmp_path, state)
    assert load_state(tmp_path) == state


@pytest.mark.parametrize("text", ["", "{", "{}", '{"requests": [], "colour": "red"}', '{"requests": 3}'])
def test_a_state_that_cannot_be_read_is_an_error_with_the_next_step(tmp_path: Path, text: str) -> None:
    (tmp_path / "demo.json").write_text(text)
    with pytest.raises(ConfigError, match=r"demo\.json cannot be read") as caught:
        load_state(tmp_path)
    assert caught.value.hint


def test_two_demos_in_one_folder_are_one_too_many(options: DemoOptions) -> None:
    with lock_folder(options.home), pytest.raises(RefusedError, match="another demo is running"):
        lock_folder(options.home)
    with lock_folder(options.home):
        pass


def test_secrets_are_on_no_disk_in_the_clear_and_found_by_the_demos_processes(options: DemoOptions) -> None:
    prepare_folder(options)
    sources = SecretSources(Home.from_environment())
    values = ("first and longer", "second")
    with secrets_in_memory(options.home) as memory:
        assert memory is not None
        for value in values:
            keep_secrets(options.home, memory, {"github-token": value})
            assert require_secret("github-token", sources).reveal() == value
        for file in (*options.home.rglob("*"), *memory.rglob("*")):
            assert not file.is_file() or not any(value.encode() in file.read_bytes() for value in values)
        assert memory.stat().st_mode & 0o777 == 0o700
    assert not memory.exists()
    assert not sources.store.exists, "nothing opens it any more"


def test_without_a_file_system_in_memory_the_demos_environment_has_its_secrets(options: DemoOptions) -> None:
    prepare_folder(options)
    keep_secrets(options.home, None, {"github-token": "value"})
    assert os.environ["SQUIRE_GITHUB_TOKEN"] == "value"


@pytest.mark.slow
def test_a_leftover_forge_is_stopped(tmp_path: Path) -> None:
    assert stop_leftover_forge(tmp_path) is False
    with ForgeProcess.start(tmp_path / "forge") as forge:
        assert stop_leftover_forge(tmp_path) is True
        assert stop_leftover_forge(tmp_path) is False
        with ForgeProcess.start(tmp_path / "forge", port=forge.port) as again:
            assert again.state()["repositories"] == []


def test_a_lock_without_a_process_id_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "forge").mkdir()
    with (tmp_path / "forge" / "forge.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert stop_leftover_forge(tmp_path) is False


def test_the_state_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    save_state(tmp_path, DemoState(subject="samples", forge_port=1, receiver_port=2))
    assert not list(tmp_path.glob("*.part"))
    assert json.loads((tmp_path / "demo.json").read_text())["subject"] == "samples"
