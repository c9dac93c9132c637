"""Starting, recording and ending child processes; all of them real and tiny."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from squire_pipelines.errors import NotReachableError, PortInUseError
from squire_pipelines.health.process_records import process_start_time
from squire_pipelines.runtime.ports import check_free, free_port
from squire_pipelines.runtime.processes import Child, interruptible, stop_group, stop_orphans, without_interruption
from tests.support.children import PATIENCE_S, alive, start_child, wait_until

STUBBORN = (
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)",
)
# The leader ends at once; its child stays in the group.
ORPHANING = ("sh", "-c", "sleep 600 & echo up; exit 0")


def test_a_child_is_recorded_while_it_runs_and_leaves_its_log(tmp_path: Path) -> None:
    child = start_child(tmp_path / "run")
    assert child.alive
    known = json.loads(child.record.read_text(encoding="utf-8"))
    assert known == {"pid": child.process.pid, "birth": process_start_time(child.process.pid), "deaths": 0}
    child.stop(grace_s=PATIENCE_S)
    assert not child.alive
    assert child.process.returncode == -signal.SIGTERM
    assert not child.record.exists()
    assert child.last_lines() == ("up",)


def test_a_child_that_ignores_the_request_is_killed_in_bounded_time(tmp_path: Path) -> None:
    child = start_child(tmp_path, STUBBORN)
    child.stop(grace_s=0.2)
    assert child.process.wait(PATIENCE_S) == -signal.SIGKILL


def test_what_a_child_has_left_behind_ends_with_it(tmp_path: Path) -> None:
    child = start_child(tmp_path, ORPHANING)
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
    child = start_child(tmp_path)
    # Its zombie is ours and counts as alive, so that the whole grace is waited for.
    assert stop_orphans(tmp_path, grace_s=0.5) == ("one",)
    child.process.wait(PATIENCE_S)
    assert not child.record.exists()
    assert stop_orphans(tmp_path) == ()


def test_workers_whose_leader_is_gone_are_ended_too(tmp_path: Path) -> None:
    child = start_child(tmp_path, ORPHANING)
    child.process.wait(PATIENCE_S)
    assert stop_orphans(tmp_path, grace_s=1) == ("one",)
    wait_until(lambda: not alive(child.process.pid))


def test_a_process_that_was_given_the_number_anew_is_left_alone(tmp_path: Path) -> None:
    child = start_child(tmp_path / "other")
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
    child = start_child(tmp_path)
    assert child.last_lines() == ("up",)
    with child.log.open("a") as log:
        log.write("".join(f"{number}\n" for number in range(50_000)))
    assert child.last_lines(3) == ("49997", "49998", "49999")
    assert len(child.last_lines(50_000)) < 20_000
    child.stop(grace_s=PATIENCE_S)


@pytest.mark.slow
def test_a_child_and_what_it_started_are_asked_to_stop_at_once_and_once(tmp_path: Path) -> None:
    # Both wait to be asked for as long as it takes, and then whether they are asked again.
    both = """if True:
        import os, signal
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        os.fork()
        os.write(1, b"up\\n")  # in one piece, since both write
        signal.sigwait([signal.SIGTERM])
        os.write(1, b"asked\\n")
        if signal.sigtimedwait([signal.SIGTERM], 0.5):
            os.write(1, b"asked again\\n")
    """
    child = start_child(tmp_path, (sys.executable, "-c", both))
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


def test_a_request_to_end_that_comes_while_all_is_stopped_is_heard_after_that(tmp_path: Path) -> None:
    child = start_child(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt), interruptible():  # noqa: PT012 - what is stopped after the signal matters
        with without_interruption():
            signal.raise_signal(signal.SIGTERM)
            child.stop(grace_s=PATIENCE_S)
        pytest.fail("the signal was lost")
    assert not child.alive


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


@pytest.mark.parametrize("ignored", [True, False])
def test_a_hang_up_that_no_terminal_sent_has_the_settings_read_again(ignored: bool) -> None:  # noqa: FBT001 - a case
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
    asked: list[bool] = []
    try:
        with interruptible(reload=lambda: asked.append(True)) as check:
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGHUP)
            check()
    finally:
        signal.signal(signal.SIGHUP, before)
    assert asked


def test_a_closed_terminal_ends_what_would_else_read_its_settings_again(tmp_path: Path) -> None:
    script = """if True:
        import signal, sys, time
        from squire_pipelines.runtime.processes import interruptible
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever started the tests may have had it ignored
        result = open(sys.argv[1], "w", buffering=1)
        try:
            with interruptible(reload=lambda: print("asked", file=result)) as check:
                print("up", flush=True)
                while True:
                    time.sleep(0.01)
                    check()
        except KeyboardInterrupt:
            result.write("ended")
    """
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", script, str(tmp_path / "result")])  # noqa: S606 - no shell
    os.read(terminal, 2)
    os.kill(pid, signal.SIGHUP)
    wait_until(lambda: "asked" in (tmp_path / "result").read_text("utf-8"))
    os.close(terminal)
    os.waitpid(pid, 0)
    assert (tmp_path / "result").read_text("utf-8").split()[-1] == "ended"


def test_a_port_that_is_taken_names_the_setting() -> None:
    port = free_port()
    check_free("127.0.0.1", port, setting="webhooks.port")
    import socket  # noqa: PLC0415 - here only

    with socket.create_server(("127.0.0.1", port)):
        with pytest.raises(PortInUseError, match=f"port {port} on 127.0.0.1") as caught:
            check_free("127.0.0.1", port, setting="webhooks.port")
        assert "webhooks.port" in caught.value.hint


# ── Services ───────────────────────────────────────────────────────────────────────────────────────────────────────
