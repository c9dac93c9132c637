"""The demo's driver with all of its real parts but Dagster's daemon, whose work is done in this process."""

import contextlib
import os
import signal
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from squire_forge.process import ForgeProcess
from squire_pipelines.cli.main import cli
from squire_pipelines.demo import driver, folder
from squire_pipelines.demo.driver import Demo, DemoResult, check_runner
from squire_pipelines.demo.options import DemoOptions
from squire_pipelines.errors import ConfigError, EngineError, RepositoryError
from tests.support.demo_without_daemon import ServicesWithoutDaemon
from tests.support.worker import git


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "Services", ServicesWithoutDaemon)
    monkeypatch.setattr(ServicesWithoutDaemon, "idle", False)
    for name in ("SQUIRE_HOME", "GITHUB_TOKEN"):  # the demo changes them; monkeypatch restores them
        monkeypatch.setenv(name, os.environ.get(name, ""))


@pytest.fixture
def options(tmp_path: Path) -> DemoOptions:
    return DemoOptions(home=tmp_path / "demo", runner="local")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Return somebody's own repository, whose one issue a demo works on in a third of the samples' time."""
    folder = tmp_path / "api"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=trunk")
    (folder / "a.txt").write_text("b\na\n")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message=first")
    return folder


@pytest.fixture
def own_options(own: Path, options: DemoOptions) -> DemoOptions:
    return replace(options, repository=own, issue="Sort the lines", command="sort -o a.txt a.txt")


def words_of(options: DemoOptions) -> tuple[str, ...]:
    """Return the command line that has these options."""
    return (
        *("demo", "--home", str(options.home), "--runner", options.runner, "--repo", str(options.repository)),
        *("--issue", options.issue, "--command", options.command),
    )


def ignore(_result: DemoResult, _forge: ForgeProcess) -> None:
    """Show nothing."""


def squire(*words: str) -> Result:
    return CliRunner().invoke(cli, list(words), prog_name="squire")


@pytest.mark.slow
def test_the_samples_go_from_signals_to_merged_pull_requests(options: DemoOptions) -> None:
    lines: list[str] = []
    shown: list[DemoResult] = []
    result = Demo(options, say=lines.append).run(then=lambda done, _forge: shown.append(done))
    assert [check.name for check in result.checks if not check.passed] == []
    assert len(result.checks) == 8
    assert shown == [result]
    assert len(result.rows) == 5, "three that were planned, and two that a pull request asked for"
    assert [line for line in lines if line.startswith("collected 4 repositories: ")]
    assert lines[-1] == "warehouse published"
    state = folder.load_state(options.home)
    assert state is not None
    assert state.finished


@pytest.mark.slow
def test_ones_own_repository_gets_one_pull_request_and_is_not_touched(own: Path, own_options: DemoOptions) -> None:
    result = squire(*words_of(own_options))
    assert result.exit_code == 0, result.output
    assert "Resolve #1: Sort the lines" in result.output
    assert "-b\n a\n+b" in result.output or "+a\n b\n-a" in result.output
    assert "✓ a pull request was opened and its outcome recorded (1 merged)" in result.output
    assert (own / "a.txt").read_text() == "b\na\n"
    assert git(own, "status", "--porcelain") == ""
    assert git(own, "branch", "--list") == "* trunk"
    assert git(own, "log", "--format=%s") == "first"


@pytest.mark.slow
def test_a_demo_that_does_not_get_done_says_what_is_missing_and_goes_on_the_next_time(
    own_options: DemoOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ServicesWithoutDaemon, "idle", True)
    result = Demo(replace(own_options, timeout_s=0.1), say=print).run(then=ignore)
    assert "The demo stopped before its end: nothing was collected yet" in result.stopped
    assert "Run it again to go on from here" in result.stopped
    assert (result.passed, result.checks) == (False, ())
    monkeypatch.setattr(ServicesWithoutDaemon, "idle", False)
    lines: list[str] = []
    again = Demo(own_options, say=lines.append).run(then=ignore)
    assert again.passed
    assert "an earlier demo was interrupted here: continuing it" in lines
    with contextlib.closing(sqlite3.connect(own_options.home / "ledger.sqlite")) as ledger:
        (asked,) = ledger.execute("SELECT count(*) FROM deliveries WHERE event = 'collect'").fetchone()
    assert asked == 1  # not once for each start


@pytest.mark.slow
def test_a_forge_that_is_killed_is_started_again_and_the_demo_goes_on(own_options: DemoOptions) -> None:
    lines: list[str] = []

    def say(line: str) -> None:
        lines.append(line)
        if line.startswith("hosts "):
            os.killpg(int((own_options.home / "forge" / "forge.lock").read_text()), signal.SIGKILL)

    assert Demo(own_options, say=say).run(then=ignore).passed
    assert lines.count("the forge has stopped; starting it again, and collecting again") == 1


def test_what_is_wrong_with_a_repository_is_lines_before_anything_is_made(tmp_path: Path, options: DemoOptions) -> None:
    with pytest.raises(RepositoryError):
        Demo(DemoOptions(home=options.home, repository=tmp_path / "none"), say=print).run(then=ignore)
    assert not options.home.exists()


def test_an_issue_without_a_repository_is_refused(options: DemoOptions) -> None:
    result = squire("demo", "--home", str(options.home), "--issue", "x")
    assert result.exit_code == 2
    assert "--repo" in result.stderr


def test_a_command_that_is_no_command_is_refused_before_the_folder_is_begun(
    tmp_path: Path, options: DemoOptions
) -> None:
    git(tmp_path, "init", "--quiet", "own")
    git(tmp_path / "own", "commit", "--quiet", "--allow-empty", "--message=first")
    wrong = DemoOptions(home=options.home, repository=tmp_path / "own", command="echo 'x", runner="local")
    with pytest.raises(ConfigError):
        Demo(wrong, say=print).run(then=ignore)
    assert not options.home.exists()


def test_without_an_engine_it_says_that_there_is_no_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    lines: list[str] = []
    check_runner("auto", say=lines.append)
    assert lines == ["no container engine answers: agents run as local processes. THIS IS NO SANDBOX (`make engine`)"]
    with pytest.raises(EngineError, match="no container engine answers"):
        check_runner("docker", say=lines.append)


@pytest.mark.parametrize(
    ("host", "runner", "says"),
    [
        ("tcp://127.0.0.1:2375", "local", "needs an engine with a socket here"),
        ("unix:///nowhere/docker.sock", "auto", "no container engine answers"),
        ("unix:///nowhere/docker.sock", "local", "would run the agent in a step's container"),
    ],
)
def test_an_executor_that_cannot_be_had_is_said_before_the_forge_starts(
    options: DemoOptions, monkeypatch: pytest.MonkeyPatch, host: str, runner: str, says: str
) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    result = squire("demo", "--home", str(options.home), "--runner", runner, "--executor", "docker")
    assert result.exit_code in {3, 4}, result.output
    assert says in result.stderr
    assert not (options.home / "forge").exists()
