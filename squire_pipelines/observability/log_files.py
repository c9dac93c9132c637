"""Process logs that rotate: the processes that write one through descriptors 1 and 2 rename it when it is full.

Each line goes to the file by one write of its own process, whoever lives; a rename takes none away. The file is not
copied and cut, which would lose what is written in between, and no parent reads a pipe, which would block or end its
children when the parent hangs or dies.
"""

import contextlib
import json
import os
import stat
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from squire_pipelines.files import lock

VARIABLE = "SQUIRE_PROCESS_LOG"
"""The environment's name for the log of a process and of those that it starts, as JSON."""

CHECK_EVERY_S = 1.0
MAX_FILES = 100
_OUTPUT = (1, 2)
FileKey = tuple[int, int]
"""A file's device and inode, which stay the same when it is renamed."""


@dataclass(frozen=True, slots=True)
class ProcessLog:
    """Where a process writes its lines.

    Args:
        path: The newest file; older ones have `.1`, `.2` and so on behind their name.
        max_bytes: Of a file that is then renamed; one second's lines may be beyond it.
        files: How many there are at most, the newest among them.
    """

    path: Path
    max_bytes: int
    files: int

    def variable(self) -> str:
        """Return the value of `VARIABLE` for the processes that write it."""
        return json.dumps([str(self.path), self.max_bytes, self.files])

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self | None:
        """Return the log of this process; None for a process without one."""
        try:
            path, max_bytes, files = json.loads(environment.get(VARIABLE, "null"))
            return cls(Path(path), int(max_bytes), int(files))
        except (ValueError, TypeError):
            return None

    def older(self) -> Iterator[Path]:
        """Yield the names of the older files that there may be, the newest first."""
        for number in range(1, self.files):
            yield older_file(self.path, number)


def older_file(path: Path, number: int) -> Path:
    """Return the name of a log's older file."""
    return path.with_name(f"{path.name}.{number}")


def file_key(path: Path) -> FileKey | None:
    """Return which file has this name; None where there is none, or where it cannot be looked at."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def rotate_if_full(log: ProcessLog) -> bool:
    """Rename the log's files when the newest is full, and return whether that was done.

    Any process may ask at any time: one at a time does it. A kill in between leaves a gap in the numbers and no newest
    file, which the next one who writes makes. An error of the system leaves all as it is.
    """
    if _size(log.path) < log.max_bytes:
        return False
    with contextlib.suppress(OSError, TimeoutError), lock(log.path.with_name(f"{log.path.name}.lock")):
        if _size(log.path) < log.max_bytes:
            return False  # another process was first
        for number in range(max(1, log.files - 1), MAX_FILES):  # more of them are there when the setting was larger
            with contextlib.suppress(FileNotFoundError):
                older_file(log.path, number).unlink()
        for number in range(log.files - 2, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                older_file(log.path, number).replace(older_file(log.path, number + 1))
        if log.files > 1:
            log.path.replace(older_file(log.path, 1))
        else:
            log.path.unlink()
        return True
    return False


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


class LogFollower:
    """Keeps this process's output in its log's newest file, whoever has renamed the one it wrote to.

    Dagster puts a file of its own in the place of descriptors 1 and 2 while a step runs: what is no file of the log is
    left alone, and looked at again later.

    Args:
        log: The log.
        descriptors: That may lead to it.
    """

    def __init__(self, log: ProcessLog, descriptors: tuple[int, ...] = _OUTPUT) -> None:
        self._log = log
        self._descriptors = descriptors
        self._written: deque[FileKey] = deque(maxlen=MAX_FILES)
        self._stop = threading.Event()

    def check(self) -> None:
        """Rotate the log if it is full, and go on in its newest file. An error of the system changes nothing."""
        rotate_if_full(self._log)
        with contextlib.suppress(OSError):
            self._go_on()

    def _go_on(self) -> None:
        newest = file_key(self._log.path)
        outdated = []
        for descriptor in self._descriptors:
            status = os.fstat(descriptor)
            key = (status.st_dev, status.st_ino)
            if stat.S_ISREG(status.st_mode) and key != newest and self._is_of_log(key, has_name=status.st_nlink > 0):
                outdated.append(descriptor)
        if outdated:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            newest_file = os.open(self._log.path, flags, 0o600)
            try:
                for descriptor in outdated:
                    os.dup2(newest_file, descriptor)
            finally:
                os.close(newest_file)
            newest = file_key(self._log.path)
        if newest is not None and newest not in self._written:
            self._written.append(newest)

    def _is_of_log(self, key: FileKey, *, has_name: bool) -> bool:
        # What has no name any more was rotated away, or somebody has removed it. Only then is its inode not another's.
        return any(key == file_key(path) for path in self._log.older()) if has_name else key in self._written

    def start(self) -> None:
        """Check once a second from now on, in a thread that does not keep the process alive."""
        threading.Thread(target=self._follow, name="squire-process-log", daemon=True).start()

    def _follow(self) -> None:
        self.check()
        while not self._stop.wait(CHECK_EVERY_S):
            self.check()

    def stop(self) -> None:
        """Check no more."""
        self._stop.set()


_started = threading.Lock()
_followers: list[LogFollower] = []


def follow_process_log() -> None:
    """Have this process follow its log, if its parent has given it one; may be called again."""
    log = ProcessLog.from_environment()
    with _started:
        if log is not None and not _followers:
            _followers.append(LogFollower(log))
            _followers[0].start()
