"""Signals to us, and child processes: bounded commands of ours, process groups of the agent's."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import FrameType


class TerminatedError(BaseException):
    """SIGTERM or SIGINT arrived. A BaseException, so that no handler of ordinary errors takes it."""


class Termination:
    """Turns the first SIGTERM or SIGINT into `TerminatedError` in the main thread; later ones are ignored."""

    requested = deferring = False

    def __init__(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        first, self.requested = not self.requested, True
        if first and not self.deferring:
            raise TerminatedError

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Holds the error back until the block is over: a child that starts in it is never lost sight of."""
        self.deferring = True
        try:
            yield
        finally:
            self.deferring = False

    def check(self) -> None:
        """Raises what was held back."""
        if self.requested:
            raise TerminatedError


def capture(command: list[str], env: dict[str, str], cwd: Path, timeout_s: float) -> tuple[int, str, str]:
    """Runs a command of ours to its end: exit code, stdout, stderr, both stripped."""
    streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "errors": "replace"}
    done = subprocess.run(command, env=env, cwd=cwd, timeout=timeout_s, check=False, **streams)
    return done.returncode, done.stdout.strip(), done.stderr.strip()


def pipe(command: list[str], env: dict[str, str], cwd: Path, timeout_s: float, data: bytes) -> tuple[int, bytes, str]:
    """Runs a command of ours on `data`: exit code, stdout as it is, stderr stripped."""
    done = subprocess.run(command, env=env, cwd=cwd, timeout=timeout_s, check=False, input=data, capture_output=True)
    return done.returncode, done.stdout, done.stderr.decode(errors="replace").strip()


def feed(first: list[str], second: list[str], env: dict[str, str], cwd: Path, timeout_s: float) -> tuple[int, str]:
    """Give the whole output of one command of ours to another: the exit code of who failed, or 0, and its stderr."""
    output = b""
    for command in (first, second):
        done = subprocess.run(
            command, env=env, cwd=cwd, timeout=timeout_s, check=False, input=output, capture_output=True
        )
        output = done.stdout
        if done.returncode:
            break
    return done.returncode, done.stderr.decode(errors="replace").strip()


def kill_group(group: int, number: signal.Signals) -> None:
    """Signals every process of a group that may be gone already (macOS says EPERM for zombies)."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
