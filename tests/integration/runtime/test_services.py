"""Starting and ending the processes of one home: small programs stand in the place of Dagster's."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import pytest

from squire_pipelines.errors import ConfigError, ExitCode, NotReachableError, RefusedError
from squire_pipelines.health.process_records import process_facts, starting_record, stopping_mark
from squire_pipelines.home import make_folder
from squire_pipelines.home_presence import HomePresence, Machine, presence_file, read_presence, this_machine
from squire_pipelines.observability.log_files import VARIABLE, ProcessLog
from squire_pipelines.runtime.home_lock import AlreadyRunningError, home_lock
from squire_pipelines.runtime.processes import Child
from squire_pipelines.runtime.services import Services, first_error
from squire_pipelines.sections.operation import LoggingSettings
from squire_pipelines.settings.model import Settings
from tests.support.children import PATIENCE_S, SLEEP, alive, start_child, wait_until
from tests.support.programs import small_programs


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    loaded = Settings()
    assert loaded.home.state == tmp_path / "home"
    return loaded


def test_a_home_is_served_by_one_only(settings: Settings) -> None:
    messages: list[str] = []
    with Services(settings, say=messages.append):
        with pytest.raises(AlreadyRunningError, match="another Squire serves"), Services(settings, say=messages.append):
            pass
        with pytest.raises(AlreadyRunningError), home_lock(settings.home.run):
            pass
    with Services(settings, say=messages.append):
        pass
    assert messages == []


@pytest.mark.usefixtures("programs")
def test_while_they_are_stopped_a_mark_says_so(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    mark, marked = stopping_mark(settings.home.run), []
    stop = Child.stop

    def look_first(child: Child, *, grace_s: float) -> None:
        marked.append(mark.exists())
        stop(child, grace_s=grace_s)

    monkeypatch.setattr(Child, "stop", look_first)
    make_folder(mark.parent)
    mark.touch()  # left by one that was killed while it stopped
    with Services(settings, say=print) as services:
        assert not mark.exists()
        services.start_receiver()
    assert marked == [True]
    assert not mark.exists()


def test_a_home_that_another_machine_takes_meanwhile_is_given_up(settings: Settings) -> None:
    run = settings.home.run
    with Services(settings, say=print) as services:
        services.keep_up()
        assert (presence := read_presence(run)) is not None
        assert presence[0] == this_machine()
        other = HomePresence(run, machine=Machine("another", "two"))
        presence_file(run).unlink()
        other.repeat()
        services.presence.repeat()
        with pytest.raises(RefusedError, match="another machine, two"):
            services.keep_up()
    assert read_presence(run) == (Machine("another", "two"), 1)


def test_a_home_that_cannot_be_set_up_is_not_held(settings: Settings) -> None:
    settings.home.dagster.parent.mkdir(parents=True)
    settings.home.dagster.write_text("not a folder")
    with pytest.raises(FileExistsError), Services(settings, say=print):
        pass
    settings.home.dagster.unlink()
    with Services(settings, say=print):
        pass


@pytest.mark.slow
def test_leftovers_are_ended_before_anything_starts(settings: Settings) -> None:
    child = start_child(settings.home.run, name="receiver")
    messages: list[str] = []
    with Services(settings, say=messages.append):
        assert not alive(child.process.pid)
    child.process.wait(PATIENCE_S)
    assert messages == ["stopped receiver, which an earlier Squire had left running"]


def test_what_dies_is_started_again_until_it_is_of_no_use(settings: Settings) -> None:
    messages: list[str] = []
    with Services(settings, say=messages.append) as services:
        services.start("short", [sys.executable, "-c", "print('cannot live')"])
        restarts = 0
        with pytest.raises(NotReachableError, match="short stops again and again") as caught:  # noqa: PT012 - a loop
            for _ in range(20):
                pid = services.children["short"].process.pid
                wait_until(lambda: not services.children["short"].alive)
                services.keep_up()
                assert services.children["short"].process.pid != pid
                restarts += 1
        assert restarts == 5
        assert "cannot live" in str(caught.value)
        assert services.log_of("short")[-1] == "cannot live"
        assert services.log_of("nobody") == ()
    assert messages[0] == "short has stopped (exit 0); starting it again"


def test_what_dies_again_and_again_is_left_alone_for_growing_times_and_ends_nothing_else(settings: Settings) -> None:
    messages: list[str] = []
    seconds = 0.0
    with Services(settings, say=messages.append, monotonic=lambda: seconds) as services:
        services.start("lasting", list(SLEEP))
        lasting = services.children["lasting"].process.pid
        services.start("short", ["true"])
        record, waits, deaths = settings.home.run / "short.pid", [], []
        for _ in range(5):
            child = services.children["short"]
            child.process.wait(PATIENCE_S)
            died_at = seconds
            services.keep_up(gives_up=False)
            while services.children["short"] is child:
                assert process_facts(record).is_recorded
                seconds += 5
                services.keep_up(gives_up=False)
            waits.append(seconds - died_at)
            deaths.append(json.loads(record.read_text())["deaths"])
        assert services.children["lasting"].process.pid == lasting
    assert (waits, deaths) == ([0, 5, 10, 20, 40], [1, 2, 3, 4, 5])
    assert "short has stopped (exit 0), 2 times in a row; starting it again in 5 s" in messages[1]
    assert not record.exists()


def test_what_cannot_be_started_again_is_tried_later(settings: Settings, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    messages: list[str] = []
    seconds = 0.0
    with Services(settings, say=messages.append, monotonic=lambda: seconds) as services:
        services.start("short", [str(program)])
        program.rename(tmp_path / "away")
        services.children["short"].process.wait(PATIENCE_S)
        services.keep_up(gives_up=False)
        assert "short was not started as it should be" in messages[-1]
        (tmp_path / "away").rename(program)
        services.keep_up(gives_up=False)
        assert not services.children["short"].alive
        gone, seconds = services.children["short"], 5.0
        services.keep_up(gives_up=False)
        assert services.children["short"] is not gone


def test_what_lives_is_left_alone_and_all_ends_with_the_block(settings: Settings) -> None:
    messages: list[str] = []
    with Services(settings, say=messages.append) as services:
        for name in ("one", "two"):
            services.start(name, list(SLEEP))
        pids = [services.children[name].process.pid for name in ("one", "two")]
        services.keep_up()
        assert [services.children[name].process.pid for name in ("one", "two")] == pids
    assert not any(alive(pid) for pid in pids)
    assert list(settings.home.run.glob("*.pid")) == []
    assert messages == []


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with small programs in the place of Dagster's: they tell how they were called, and stay."""
    return small_programs(tmp_path / "bin", monkeypatch)


@pytest.fixture
def cut_off(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The Dagster homes whose dead runs were reported."""
    homes: list[Path] = []

    def fail_dead_runs(settings: Settings, **_: str) -> tuple[str, ...]:
        homes.append(settings.home.dagster)
        return ("0123456789",)

    monkeypatch.setattr("squire_pipelines.runtime.recovery.fail_dead_runs", fail_dead_runs)
    return homes


@pytest.mark.usefixtures("programs")
def test_a_code_server_that_dies_takes_its_runs_with_it_and_a_daemon_does_not(
    settings: Settings, cut_off: list[Path]
) -> None:
    messages: list[str] = []
    with Services(settings, say=messages.append) as services:
        services.start_daemon()
        assert cut_off == [settings.home.dagster]  # by which the storage was made
        for name, reported in (("code-server", 2), ("daemon", 2)):
            services.children[name].process.kill()
            services.children[name].process.wait(PATIENCE_S)
            services.keep_up()
            assert len(cut_off) == reported
            assert services.children[name].alive
    assert "run 01234567 was cut off by an earlier stop" in messages
    assert "daemon has stopped (exit -9); starting it again" in messages


@pytest.mark.usefixtures("programs")
def test_dagsters_storage_is_whole_before_another_process_opens_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions: list[list[int]] = []
    start = Child.start

    def look_first(
        name: str, argv: Sequence[str], *, run: Path, env: Mapping[str, str], logging: LoggingSettings, deaths: int
    ) -> Child:
        databases = sorted(settings.home.dagster.rglob("*.db"))
        versions.append([versions_of(database) for database in databases])
        return start(name, argv, run=run, env=env, logging=logging, deaths=deaths)

    monkeypatch.setattr(Child, "start", look_first)
    for _ in range(2):
        with Services(settings, say=print) as services:
            services.start_endpoint()
            services.start_code_server()
    assert versions == [[1, 1, 1]] * 4


def versions_of(database: Path) -> int:
    with closing(sqlite3.connect(database)) as connection:
        (number,) = connection.execute("SELECT count(*) FROM alembic_version").fetchone()
    return int(number)


@pytest.mark.usefixtures("programs", "cut_off")
@pytest.mark.parametrize("home", ["home", "a" * 100])
def test_dagsters_programs_share_one_code_server_and_serve_on_loopback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    monkeypatch.setenv("SQUIRE_HOME", str(tmp_path / home))
    settings = Settings()
    run = settings.home.run
    with Services(settings, say=print) as services:
        services.start_receiver()
        services.start_daemon()
        assert not starting_record(run, "daemon").exists()
        services.start_webserver(4321)
        assert list(services.children) == ["receiver", "code-server", "daemon", "webserver"]
        wait_until(lambda: all(services.log_of(name) for name in services.children))
        assert services.log_of("receiver") == ("python -m squire_pipelines.webhooks",)
        of_dagster = "python -m squire_pipelines.runtime.dagster_program"
        (server,) = json.loads((run / "workspace.yaml").read_text())["load_from"]
        socket_path = server["grpc_server"]["socket"]
        waits = f"--after {socket_path} --after-file {settings.home.dagster}/storage-made"
        assert services.log_of("daemon") == (f"{of_dagster} {waits} dagster-daemon run -w {run}/workspace.yaml",)
        webserver = f"{of_dagster} dagster-webserver -h 127.0.0.1 -p 4321 -w {run}/workspace.yaml"
        assert services.log_of("webserver") == (webserver,)
        code_server = services.log_of("code-server")[0]
        assert f"--socket {socket_path} -m squire_pipelines.definitions" in code_server
        assert code_server.startswith(f"{of_dagster} --after-file {settings.home.dagster}/storage-made ")
        assert len(socket_path) < 108
    assert not Path(socket_path).exists() or Path(socket_path).parent == run


@pytest.mark.usefixtures("cut_off")
def test_definitions_that_cannot_be_loaded_are_named_with_the_cause_and_the_next_step(
    settings: Settings, programs: Path
) -> None:
    record = starting_record(settings.home.run, "daemon")
    (programs / "python").write_text(
        f"#!/bin/sh\ncp {record} {record}.seen\necho 'Traceback (most recent call last):'\necho 'BadError: why'\nexit 1"
    )
    with Services(settings, say=print) as services:
        with pytest.raises(ConfigError, match=r"could not load Squire's definitions: BadError: why") as caught:
            services.start_daemon()
        assert caught.value.exit_code is ExitCode.CONFIGURATION
        assert str(settings.home.run / "code-server.log") in caught.value.hint
        assert list(services.children) == ["code-server", "daemon"]
        # While the code server was loading, the daemon was known as starting, by a process that lived.
        seen = process_facts(record.with_name("daemon.starting.seen"))
        assert (seen.is_starting, seen.pid, record.exists()) == (True, os.getpid(), False)


@pytest.mark.parametrize(
    ("log", "error"),
    [
        ([], "no output"),
        (["started", "killed", ""], "killed"),
        (
            [
                "an old line",
                "Traceback (most recent call last):",
                '  File "x.py", line 1, in <module>',
                "    import y",
                "ValidationError: 1 error for Settings",
                "x.y",
                "  must be a number",
                "",
                "The above exception was the direct cause of the following exception:",
                "",
                "Traceback (most recent call last):",
                "DagsterError: it failed",
            ],
            "ValidationError: 1 error for Settings x.y must be a number",
        ),
    ],
)
def test_the_first_error_of_a_log_is_the_cause_of_the_others(log: list[str], error: str) -> None:
    assert first_error(log) == error


def test_a_program_of_dagsters_runs_as_its_script_does(tmp_path: Path) -> None:
    log = ProcessLog(tmp_path / "a.log", max_bytes=10, files=2)
    done = subprocess.run(
        [sys.executable, "-m", "squire_pipelines.runtime.dagster_program", "dagster", "--version"],
        env={**os.environ, VARIABLE: log.variable()},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    assert done.stdout.endswith(f"version {version('dagster')}\n")


@pytest.mark.usefixtures("programs", "cut_off")
def test_a_full_log_is_renamed_at_the_start_and_the_settings_go_to_the_child() -> None:
    settings = Settings(logging=LoggingSettings(max_file=64 * 1024, files=2, format="json"))
    (make_folder(settings.home.run) / "daemon.log").write_text("x" * 64 * 1024)
    with Services(settings, say=print) as services:
        services.start_daemon()
        wait_until(lambda: bool(services.log_of("daemon")))
        assert services.log_of("daemon")[0].endswith(" --log-format json")
    assert (settings.home.run / "daemon.log.1").stat().st_size == 64 * 1024
