"""Starting, recording and ending child processes; all of them real and tiny."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from squire_pipelines.errors import ConfigError, ExitCode, NotReachableError, PortInUseError
from squire_pipelines.runtime import services as services_module
from squire_pipelines.runtime.ports import check_free, free_port
from squire_pipelines.runtime.processes import Child, interruptible, process_start_time, stop_group, stop_orphans
from squire_pipelines.runtime.services import AlreadyRunningError, Services, home_lock
from squire_pipelines.settings import Settings
from tests.support.programs import small_programs

PATIENCE_S = 20.0
SLEEP = (sys.executable, "-c", "print('up', flush=True); import time; time.sleep(100)")
STUBBORN = (
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(100)",
)
# The leader ends at once; its child stays in the group.
ORPHANING = ("sh", "-c", "sleep 100 & echo up; exit 0")


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def start(run: Path, argv: tuple[str, ...] = SLEEP, name: str = "one") -> Child:
    child = Child.start(name, argv, run=run, env=os.environ)
    wait_until(lambda: "up" in child.last_lines())
    return child


def alive(group: int) -> bool:
    listed = subprocess.run(["ps", "-eo", "pgid=,stat="], capture_output=True, text=True, check=True, timeout=10)
    return any(int(row.split()[0]) == group and "Z" not in row.split()[1] for row in listed.stdout.splitlines())


def test_a_child_is_recorded_while_it_runs_and_leaves_its_log(tmp_path: Path) -> None:
    child = start(tmp_path / "run")
    assert child.alive
    known = json.loads(child.record.read_text(encoding="utf-8"))
    assert known == {"pid": child.process.pid, "birth": process_start_time(child.process.pid)}
    child.stop(grace_s=PATIENCE_S)
    assert not child.alive
    assert child.process.returncode == -signal.SIGTERM
    assert not child.record.exists()
    assert child.last_lines() == ("up",)


def test_a_child_that_ignores_the_request_is_killed_in_bounded_time(tmp_path: Path) -> None:
    child = start(tmp_path, STUBBORN)
    child.stop(grace_s=0.2)
    assert child.process.wait(PATIENCE_S) == -signal.SIGKILL


def test_what_a_child_has_left_behind_ends_with_it(tmp_path: Path) -> None:
    child = start(tmp_path, ORPHANING)
    child.process.wait(PATIENCE_S)
    assert alive(child.process.pid)
    child.stop(grace_s=1)
    wait_until(lambda: not alive(child.process.pid))


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotReachableError, match="one could not be started: /no/such/program"):
        Child.start("one", ["/no/such/program"], run=tmp_path, env={})


def test_the_birth_of_a_process_tells_it_from_others() -> None:
    assert process_start_time(os.getpid()) == process_start_time(os.getpid())
    assert process_start_time(os.getpid()) != process_start_time(1)
    ended = subprocess.Popen(["true"])
    ended.wait(PATIENCE_S)
    assert process_start_time(ended.pid) is None


def test_stopping_a_group_that_is_gone_does_nothing() -> None:
    ended = subprocess.Popen(["true"], start_new_session=True)
    ended.wait(PATIENCE_S)
    stop_group(ended.pid, grace_s=PATIENCE_S)


def test_what_a_killed_parent_left_is_ended_by_its_record(tmp_path: Path) -> None:
    child = start(tmp_path)
    assert stop_orphans(tmp_path, grace_s=PATIENCE_S) == ("one",)
    child.process.wait(PATIENCE_S)
    assert not child.record.exists()
    assert stop_orphans(tmp_path) == ()


def test_workers_whose_leader_is_gone_are_ended_too(tmp_path: Path) -> None:
    child = start(tmp_path, ORPHANING)
    child.process.wait(PATIENCE_S)
    assert stop_orphans(tmp_path, grace_s=1) == ("one",)
    wait_until(lambda: not alive(child.process.pid))


def test_a_process_that_was_given_the_number_anew_is_left_alone(tmp_path: Path) -> None:
    child = start(tmp_path / "other")
    tmp_path.joinpath("one.pid").write_text(json.dumps({"pid": child.process.pid, "birth": "long ago"}))
    assert stop_orphans(tmp_path) == ()
    assert child.alive
    assert not (tmp_path / "one.pid").exists()
    child.stop(grace_s=PATIENCE_S)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x", "birth": 1}'])
def test_a_record_that_was_half_written_is_dropped(tmp_path: Path, text: str) -> None:
    (tmp_path / "one.pid").write_text(text)
    assert stop_orphans(tmp_path) == ()
    assert not (tmp_path / "one.pid").exists()


def test_the_last_lines_are_a_childs_own_and_bounded(tmp_path: Path) -> None:
    (tmp_path / "one.log").write_text("what an earlier child wrote\n")
    child = start(tmp_path)
    assert child.last_lines() == ("up",)
    with child.log.open("a") as log:
        log.write("".join(f"{number}\n" for number in range(50_000)))
    assert child.last_lines(3) == ("49997", "49998", "49999")
    assert len(child.last_lines(50_000)) < 20_000
    child.stop(grace_s=PATIENCE_S)


def test_a_child_and_what_it_started_are_asked_to_stop_at_once_and_once(tmp_path: Path) -> None:
    asked = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: print('asked', flush=True))"
    both = f"{asked}; import os; os.fork(); print('up', flush=True); time.sleep(0.5); time.sleep(0.5)"
    child = start(tmp_path, (sys.executable, "-c", both))
    wait_until(lambda: child.last_lines() == ("up", "up"))
    child.stop(grace_s=PATIENCE_S)
    assert child.process.returncode == 0
    assert child.last_lines() == ("up", "up", "asked", "asked")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_request_to_end_is_like_an_interrupt_and_is_heard_once(number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_DFL)  # whoever started the tests may have had it ignored, as nohup does
    try:
        with pytest.raises(KeyboardInterrupt), interruptible():  # noqa: PT012 - the second signal must not raise again
            try:
                os.kill(os.getpid(), number)
                time.sleep(PATIENCE_S)
            finally:
                os.kill(os.getpid(), number)
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, before)


def test_a_request_to_end_that_comes_while_a_finalizer_runs_is_heard_at_the_next_check(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Finalized:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

    lost: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda event: lost.append(event.exc_type))
    with interruptible() as check:
        check()
        subject = Finalized()
        del subject
        assert lost == [KeyboardInterrupt]
        with pytest.raises(KeyboardInterrupt):
            check()


def test_a_closed_terminal_is_no_matter_for_what_nohup_started() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_port_that_is_taken_names_the_setting() -> None:
    port = free_port()
    check_free("127.0.0.1", port, setting="webhooks.port")
    import socket  # noqa: PLC0415 - here only

    with socket.create_server(("127.0.0.1", port)):
        with pytest.raises(PortInUseError, match=f"port {port} on 127.0.0.1") as caught:
            check_free("127.0.0.1", port, setting="webhooks.port")
        assert "webhooks.port" in caught.value.hint


# ── Services ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    found = Settings()
    assert found.home.state == tmp_path / "home"
    return found


def test_a_home_is_served_by_one_only(settings: Settings) -> None:
    said: list[str] = []
    with Services(settings, say=said.append):
        with pytest.raises(AlreadyRunningError, match="another Squire serves"), Services(settings, say=said.append):
            pass
        with pytest.raises(AlreadyRunningError), home_lock(settings.home.run):
            pass
    with Services(settings, say=said.append):
        pass
    assert said == []


def test_the_instance_gets_our_settings_and_keeps_its_own(settings: Settings) -> None:
    environment = services_module.instance_environment(settings)
    written = settings.home.dagster / "dagster.yaml"
    assert environment["DAGSTER_HOME"] == str(settings.home.dagster)
    assert "QueuedRunCoordinator" in written.read_text(encoding="utf-8")
    written.write_text("telemetry: {enabled: false}\n", encoding="utf-8")
    services_module.instance_environment(settings)
    assert written.read_text(encoding="utf-8") == "telemetry: {enabled: false}\n"


def test_a_home_that_cannot_be_set_up_is_not_held(settings: Settings) -> None:
    settings.home.dagster.parent.mkdir(parents=True)
    settings.home.dagster.write_text("not a folder")
    with pytest.raises(FileExistsError), Services(settings, say=print):
        pass
    settings.home.dagster.unlink()
    with Services(settings, say=print):
        pass


def test_leftovers_are_ended_before_anything_starts(settings: Settings) -> None:
    child = start(settings.home.run, name="receiver")
    said: list[str] = []
    with Services(settings, say=said.append):
        assert not alive(child.process.pid)
    child.process.wait(PATIENCE_S)
    assert said == ["stopped receiver, which an earlier Squire had left running"]


def test_what_dies_is_started_again_until_it_is_of_no_use(settings: Settings) -> None:
    said: list[str] = []
    with Services(settings, say=said.append) as services:
        services._start("short", [sys.executable, "-c", "print('cannot live')"])
        restarts = 0
        with pytest.raises(NotReachableError, match="short stops again and again") as caught:  # noqa: PT012 - a loop
            for _ in range(20):
                pid = services._children["short"].process.pid
                wait_until(lambda: not services._children["short"].alive)
                services.keep_up()
                assert services._children["short"].process.pid != pid
                restarts += 1
        assert restarts == 5
        assert "cannot live" in str(caught.value)
        assert services.log_of("short")[-1] == "cannot live"
        assert services.log_of("nobody") == ()
    assert said[0] == "short has stopped (exit 0); starting it again"


def test_what_lives_is_left_alone_and_all_ends_with_the_block(settings: Settings) -> None:
    said: list[str] = []
    with Services(settings, say=said.append) as services:
        for name in ("one", "two"):
            services._start(name, list(SLEEP))
        pids = [services._children[name].process.pid for name in ("one", "two")]
        services.keep_up()
        assert [services._children[name].process.pid for name in ("one", "two")] == pids
    assert not any(alive(pid) for pid in pids)
    assert list(settings.home.run.glob("*.pid")) == []
    assert said == []


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with small programs in the place of Dagster's: they tell how they were called, and stay."""
    return small_programs(tmp_path / "bin", monkeypatch)


@pytest.fixture
def cut_off(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The Dagster homes whose dead runs were reported."""
    homes: list[Path] = []

    def fail_dead_runs(home: Path) -> tuple[str, ...]:
        homes.append(home)
        return ("0123456789",)

    monkeypatch.setattr("squire_pipelines.runtime.recovery.fail_dead_runs", fail_dead_runs)
    return homes


@pytest.mark.usefixtures("programs")
def test_a_code_server_that_dies_takes_its_runs_with_it_and_a_daemon_does_not(
    settings: Settings, cut_off: list[Path]
) -> None:
    said: list[str] = []
    with Services(settings, say=said.append) as services:
        services.start_daemon()
        assert cut_off == [settings.home.dagster]
        for name, reported in (("code-server", 2), ("daemon", 2)):
            services._children[name].process.kill()
            services._children[name].process.wait(PATIENCE_S)
            services.keep_up()
            assert len(cut_off) == reported
            assert services._children[name].alive
    assert "run 01234567 was cut off by an earlier stop" in said
    assert "daemon has stopped (exit -9); starting it again" in said


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
        services.start_webserver(4321)
        assert list(services._children) == ["receiver", "code-server", "daemon", "webserver"]
        wait_until(lambda: all(services.log_of(name) for name in services._children))
        assert services.log_of("receiver") == ("python -m squire_pipelines.webhooks",)
        assert services.log_of("daemon") == (f"dagster-daemon run -w {run}/workspace.yaml",)
        assert services.log_of("webserver") == (f"dagster-webserver -h 127.0.0.1 -p 4321 -w {run}/workspace.yaml",)
        (server,) = json.loads((run / "workspace.yaml").read_text())["load_from"]
        socket_path = server["grpc_server"]["socket"]
        assert f"--socket {socket_path} -m squire_pipelines.definitions" in services.log_of("code-server")[0]
        assert len(socket_path) < 108
    assert not Path(socket_path).exists() or Path(socket_path).parent == run


@pytest.mark.usefixtures("cut_off")
def test_definitions_that_cannot_be_loaded_are_named_with_the_cause_and_the_next_step(
    settings: Settings, programs: Path
) -> None:
    (programs / "dagster").write_text(
        "#!/bin/sh\necho 'Traceback (most recent call last):'\necho 'BadError: why'\nexit 1"
    )
    with Services(settings, say=print) as services:
        with pytest.raises(ConfigError, match=r"could not load Squire's definitions: BadError: why") as caught:
            services.start_daemon()
        assert caught.value.exit_code is ExitCode.CONFIGURATION
        assert str(settings.home.run / "code-server.log") in caught.value.hint
        assert list(services._children) == ["code-server"]


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
    assert services_module.first_error(log) == error


def test_an_installation_without_its_settings_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(services_module, "__file__", str(tmp_path / "a" / "b" / "services.py"))
    with pytest.raises(ConfigError, match=r"dagster\.yaml is missing"):
        services_module.dagster_yaml()
    (tmp_path / "dagster.yaml").touch()
    assert services_module.dagster_yaml() == tmp_path / "dagster.yaml"


def test_a_program_is_found_beside_the_interpreter() -> None:
    assert Path(services_module._program("dagster-daemon")).parent == Path(sys.executable).parent
    assert services_module._program("no-such-program") == "no-such-program"
