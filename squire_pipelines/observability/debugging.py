"""What is debugged until when: by a file of the home, at which each process looks when it has something to debug.

A command that was started with `--debug` hands on to the processes that it starts that all they do is debugged. A look
at the file costs a call of stat(2), at most once a second. A file that cannot be read debugs nothing, and is no error.
"""

import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from squire_pipelines.domain.debugging import COMMAND_FOR, MAX_WINDOWS, DebugWindow, end_of_debugging
from squire_pipelines.errors import SquireError
from squire_pipelines.files import write_atomically
from squire_pipelines.home import Home, make_folder

COMMAND_VARIABLE = "SQUIRE_DEBUG_SINCE"
"""The environment's name for when a command with `--debug` began, which the processes that it starts inherit."""

_LOOK_EVERY_S = 1.0
_MAX_BYTES = 64 * 1024


def read_windows(path: Path) -> tuple[DebugWindow, ...]:
    """Return what a home's file says; nothing where there is none, or none that can be read."""
    try:
        with path.open("rb") as file:
            rows = json.loads(file.read(_MAX_BYTES))
        return tuple(
            DebugWindow(
                str(row["repository"]),
                datetime.fromisoformat(row["since"]).astimezone(UTC),
                datetime.fromisoformat(row["until"]).astimezone(UTC),
                str(row["actor"]),
            )
            for row in rows[:MAX_WINDOWS]
        )
    except (OSError, ValueError, TypeError, KeyError, OverflowError):
        return ()


def debug_this_command(now: datetime) -> None:
    """Debug all that this process does, and those that it starts from now on."""
    os.environ[COMMAND_VARIABLE] = now.isoformat()


def window_of_command() -> tuple[DebugWindow, ...]:
    """Return the time in which the command is debugged that this process belongs to; none where it is not."""
    try:
        since = datetime.fromisoformat(os.environ.get(COMMAND_VARIABLE, "")).astimezone(UTC)
    except (ValueError, OverflowError):
        return ()
    return (DebugWindow("", since, since + COMMAND_FOR),)


def is_anything_debugged(home: Home, now: datetime) -> bool:
    """Return whether anything is debugged in a home, as far as this process knows."""
    return any(window.is_open(now) for window in (*read_windows(home.debug_file), *window_of_command()))


def write_windows(path: Path, windows: tuple[DebugWindow, ...]) -> None:
    """Replace the home's file. Raises OSError."""
    rows = [
        {**asdict(window), "since": window.since.isoformat(), "until": window.until.isoformat()} for window in windows
    ]
    make_folder(path.parent)
    write_atomically(path, json.dumps(rows).encode())


class DebugFile:
    """What is debugged, as the file says within a second. May be used from any thread.

    Args:
        path: The file.
        monotonic: Seconds, for how often to look.
        now: The time on the wall.
    """

    def __init__(
        self,
        path: Path,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._path = path
        self._monotonic = monotonic
        self._now = now
        self._lock = threading.Lock()
        self._looked_at = float("-inf")
        self._file_mark: tuple[int, int] | None = None
        self._windows: tuple[DebugWindow, ...] = ()

    def until(self, repository: str) -> datetime | None:
        """Return until when a repository is debugged; None where it is not."""
        with self._lock:
            self._read_if_changed()
            windows = (*self._windows, *window_of_command())
            return end_of_debugging(windows, repository, self._now()) if windows else None

    def _read_if_changed(self) -> None:
        if self._monotonic() - self._looked_at < _LOOK_EVERY_S:
            return
        self._looked_at = self._monotonic()
        try:
            status = self._path.stat()
            file_mark = (status.st_ino, status.st_mtime_ns)
        except OSError:
            file_mark = None
        if file_mark != self._file_mark:
            self._file_mark = file_mark
            self._windows = read_windows(self._path) if file_mark is not None else ()


@lru_cache(maxsize=8)
def _file_at(path: Path) -> DebugFile:
    return DebugFile(path)


def debugged_until(home: Home, repository: str) -> datetime | None:
    """Return until when a repository is debugged in a home, as its file says now; None where it is not."""
    windows = (*read_windows(home.debug_file), *window_of_command())
    return end_of_debugging(windows, repository, datetime.now(UTC))


def is_debugged(repository: str) -> bool:
    """Return whether lines about a repository are debugged in this process's home, as its file said within a second."""
    try:
        return _file_at(Home.from_environment().debug_file).until(repository) is not None
    except SquireError:
        return False  # no home: whoever needs one says so
