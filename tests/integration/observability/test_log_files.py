"""Logs that rotate, written by several processes at once: no line is lost, and there are no more files than allowed."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from squire_pipelines.observability.log_files import (
    VARIABLE,
    LogFollower,
    ProcessLog,
    follow_process_log,
    older_file,
    rotate_if_full,
)

PATIENCE_S = 120
LINES = 3000
WRITER = """
import os, sys
from squire_pipelines.observability.log_files import LogFollower, ProcessLog
follower = LogFollower(ProcessLog.from_environment())
for number in range(int(sys.argv[2])):
    os.write(1 + number % 2, f"{sys.argv[1]} {number:06} {'x' * 80}\\n".encode())
    if number % 7 == 0:
        follower.check()
"""


def start_writer(log: ProcessLog, name: str, lines: int = LINES) -> "subprocess.Popen[bytes]":
    with log.path.open("ab") as sink:
        return subprocess.Popen(
            [sys.executable, "-c", WRITER, name, str(lines)],
            stdout=sink,
            stderr=sink,
            env={**os.environ, VARIABLE: log.variable()},
        )


def lines_of(log: ProcessLog) -> list[str]:
    files = [path for path in (log.path, *log.older()) if path.exists()]
    return [line for path in reversed(files) for line in path.read_text(encoding="ascii").splitlines()]


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    """A descriptor that leads to the log `a.log`, as a process's output does."""
    opened = os.open(tmp_path / "a.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    yield opened
    os.close(opened)


def test_several_processes_lose_no_line_while_their_log_rotates(tmp_path: Path) -> None:
    log = ProcessLog(tmp_path / "a.log", max_bytes=40_000, files=90)
    writers = [start_writer(log, name) for name in ("one", "two", "three")]
    assert [writer.wait(PATIENCE_S) for writer in writers] == [0, 0, 0]
    lines = lines_of(log)
    assert older_file(log.path, 3).exists()
    assert len(lines) == 3 * LINES
    for name in ("one", "two", "three"):
        assert sorted(line for line in lines if line.startswith(f"{name} ")) == [
            f"{name} {number:06} {'x' * 80}" for number in range(LINES)
        ]


def test_a_writer_that_is_killed_leaves_every_line_that_it_wrote(tmp_path: Path) -> None:
    log = ProcessLog(tmp_path / "a.log", max_bytes=40_000, files=99)
    writer = start_writer(log, "one", lines=10**6)
    while not older_file(log.path, 3).exists():
        assert writer.poll() is None
    writer.send_signal(signal.SIGKILL)
    writer.wait(PATIENCE_S)
    numbers = [int(line.split()[1]) for line in lines_of(log)]
    assert numbers == list(range(len(numbers)))


def test_the_number_of_files_is_bounded_also_when_it_was_larger(tmp_path: Path) -> None:
    log = ProcessLog(tmp_path / "a.log", max_bytes=10, files=3)
    for number in range(12):
        older_file(log.path, number + 1).write_text("of a larger setting")
    for number in range(5):
        log.path.write_text(f"file number {number}\n", encoding="ascii")
        assert rotate_if_full(log)
    assert sorted(path.name for path in tmp_path.glob("a.log*")) == ["a.log.1", "a.log.2", "a.log.lock"]
    assert lines_of(log) == ["file number 3", "file number 4"]
    single = ProcessLog(tmp_path / "b.log", max_bytes=10, files=1)
    single.path.write_text("more than ten bytes")
    assert rotate_if_full(single)
    assert not single.path.exists()


def test_a_log_that_is_not_full_stays(tmp_path: Path) -> None:
    log = ProcessLog(tmp_path / "a.log", max_bytes=100, files=3)
    assert not rotate_if_full(log)
    log.path.write_text("little")
    assert not rotate_if_full(log)
    assert log.path.read_text() == "little"


def test_a_rotation_that_was_cut_off_is_finished_by_the_next_writer(tmp_path: Path, descriptor: int) -> None:
    log = ProcessLog(tmp_path / "a.log", max_bytes=100, files=3)
    follower = LogFollower(log, (descriptor,))
    follower.check()
    os.write(descriptor, b"before\n")
    log.path.replace(older_file(log.path, 1))  # killed here
    follower.check()
    os.write(descriptor, b"after\n")
    assert lines_of(log) == ["before", "after"]


def test_a_log_that_somebody_removed_is_made_again(tmp_path: Path, descriptor: int) -> None:
    log = ProcessLog(tmp_path / "a.log", max_bytes=100, files=3)
    follower = LogFollower(log, (descriptor,))
    follower.check()
    log.path.unlink()
    follower.check()
    os.write(descriptor, b"after\n")
    assert lines_of(log) == ["after"]


def test_output_that_is_led_elsewhere_is_left_alone(tmp_path: Path) -> None:
    log = ProcessLog(tmp_path / "a.log", max_bytes=10, files=3)
    elsewhere = tmp_path / "captured"
    log.path.write_text("more than ten bytes")
    with elsewhere.open("ab", buffering=0) as file:
        LogFollower(log, (file.fileno(),)).check()
        file.write(b"a step's own lines\n")
    assert elsewhere.read_text() == "a step's own lines\n"


def test_a_full_disk_neither_loses_lines_nor_ends_the_writer(
    tmp_path: Path, descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = ProcessLog(tmp_path / "a.log", max_bytes=10, files=3)
    follower = LogFollower(log, (descriptor,))
    follower.check()
    os.write(descriptor, b"more than ten bytes\n")

    def refuse(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "no space left")

    with monkeypatch.context() as full:
        full.setattr("squire_pipelines.observability.log_files.os.open", refuse)
        follower.check()
        os.write(descriptor, b"while it was full\n")
    follower.check()
    os.write(descriptor, b"afterwards\n")
    assert lines_of(log) == ["more than ten bytes", "while it was full", "afterwards"]


@pytest.mark.parametrize("text", ["", "not JSON", "[1]", '["a", "b", "c"]', "null"])
def test_a_process_without_a_log_follows_none(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(VARIABLE, text)
    assert ProcessLog.from_environment() is None
    follow_process_log()


def test_a_process_follows_its_log_by_itself(tmp_path: Path) -> None:
    log = ProcessLog(tmp_path / "a.log", max_bytes=30, files=5)
    code = (
        "import time, sys\n"
        "from squire_pipelines.observability.log_files import follow_process_log\n"
        "from pathlib import Path\n"
        "follow_process_log()\n"
        "print('more than thirty bytes of a line', flush=True)\n"
        f"while not Path({str(older_file(log.path, 1))!r}).exists(): time.sleep(0.01)\n"
        f"while not Path({str(log.path)!r}).exists(): time.sleep(0.01)\n"
        "print('after', flush=True)\n"
    )
    with log.path.open("ab") as sink:
        environment = {**os.environ, VARIABLE: log.variable()}
        subprocess.run([sys.executable, "-c", code], stdout=sink, env=environment, timeout=PATIENCE_S, check=True)
    assert lines_of(log)[0] == "more than thirty bytes of a line"
    assert lines_of(log)[1:] == ["after"]
