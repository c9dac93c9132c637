"""SIGTERM is the host's wall clock: it reaches the agent, and the result says what happened."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.worker import ENTRYPOINT, Desk

DeskFor = Callable[..., Desk]
Script = Callable[[str], list[str]]


@contextmanager
def started(desk: Desk, **more: str) -> Iterator[subprocess.Popen[str]]:
    """The entrypoint, up to the first line that its agent prints."""
    process = subprocess.Popen(
        [sys.executable, str(ENTRYPOINT)],
        env=desk.environment(PYTHONUNBUFFERED="1", **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=10)


def test_sigterm_reaches_the_agent_and_what_it_made_is_handed_out(
    desk_for: DeskFor, script: Script, tmp_path: Path
) -> None:
    output = tmp_path / "said"
    source = (
        "import signal, sys, time\n"
        f"def bye(*_): open({str(output)!r}, 'w').write('bye'); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, bye)\n"
        "open('app.py', 'a').write('# more\\n')\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    desk = desk_for(script(source))
    with started(desk) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 143
    result = desk.result()
    assert output.read_text() == "bye"
    assert (result["status"], result["error"]["code"]) == ("changed", "terminated")
    assert (result["commits"], result["uncommitted_committed"]) == (1, True)
    assert result["timings"]["agent_end"] is not None
    assert desk.has_bundle


def test_an_agent_deaf_to_sigterm_is_killed_after_the_grace_with_its_children(
    desk_for: DeskFor, script: Script
) -> None:
    source = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    desk = desk_for(script(source))
    with started(desk, SQUIRE_STOP_GRACE_S="0.2") as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 143
    status = Path(f"/proc/{child}/stat")
    assert not status.exists() or status.read_text().split()[2] == "Z" or not _is_ours(child)


def _is_ours(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_sigterm_before_the_agent_ends_the_attempt_too(desk_for: DeskFor, tmp_path: Path) -> None:
    desk = desk_for(["true"])
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    slow_git = tmp_path / "bin" / "git"
    slow_git.parent.mkdir()
    slow_git.write_text(f"#!/bin/sh\necho here > {ready}\nexec sleep 60\n", encoding="utf-8")
    slow_git.chmod(0o755)
    with started(desk, PATH=f"{slow_git.parent}:{os.environ['PATH']}") as process:
        assert ready.read_text() == "here\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 143
    assert desk.result()["error"]["code"] == "terminated"
    assert desk.result()["timings"]["agent_start"] is None


def test_what_an_agent_left_in_the_background_dies_before_the_commit(desk_for: DeskFor, script: Script) -> None:
    source = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid, flush=True)\n"
    )
    desk = desk_for(script(source))
    with started(desk) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        assert process.wait(20) == 0
    status = Path(f"/proc/{child}/stat")
    assert not status.exists() or status.read_text().split()[2] == "Z"
