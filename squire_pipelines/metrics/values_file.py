"""The file in which one process keeps its counters: mapped into its memory, so that a kill of the process loses none.

    8 bytes      the form's name
    8 bytes      how many bytes of names there are
    MAX_SERIES   numbers of 8 bytes, one for each name
    the rest     names, one a line: `+family|value|value` is added to others' numbers, `^…` counts if it is greater

A lock on the file says that its process lives. That holds in every container that shares the home, and outlasts no
process, unlike a process's number, which another may have by then. Nothing is fsynced: losing power loses what the
system had not written.
"""

import mmap
import os
import secrets
from pathlib import Path

from squire_pipelines.files import lock_descriptor
from squire_pipelines.home import make_folder

MAX_SERIES = 1024
"""Different names in one process; more are not counted."""

FILE_BYTES = 64 * 1024
PREFIX, SUFFIX = "process-", ".values"
NEW_SUFFIX = ".new"

_FORM = b"squire1\n"
_LENGTH, _FIRST = 1, 2  # which number has the names' length, and which is the first counter
_NAMES = (_FIRST + MAX_SERIES) * 8


class ValuesFile:
    """The counters of this process, from now to its end. Not for several threads at a time.

    Args:
        folder: Where to make it.

    Raises:
        OSError: It cannot be made, or the disk has no room for it. The room is taken at once, since writing to a
            mapped file on a full disk would end the process.
    """

    def __init__(self, folder: Path) -> None:
        make_folder(folder)
        path = folder / f"{PREFIX}{secrets.token_hex(8)}{SUFFIX}"
        new = path.with_suffix(NEW_SUFFIX)
        self._descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            lock_descriptor(self._descriptor)  # before it has its name: who sees that without a lock takes it for dead
            os.posix_fallocate(self._descriptor, 0, FILE_BYTES)
            self._map = mmap.mmap(self._descriptor, FILE_BYTES)
            self._map[: len(_FORM)] = _FORM
            new.rename(path)
        except OSError:
            os.close(self._descriptor)
            new.unlink(missing_ok=True)
            raise
        self.path = path
        self.numbers = memoryview(self._map)[:_NAMES].cast("d")
        """The counters; one is written at once, so that no reader sees half of it."""
        self._lengths = memoryview(self._map)[:_NAMES].cast("Q")
        self._used = 0
        self._series = 0

    def add_series(self, name: str) -> int | None:
        """Return the index in `numbers` of a new counter, None when there is no room for it."""
        line = name.encode() + b"\n"
        start = _NAMES + self._used
        if self._series == MAX_SERIES or start + len(line) > FILE_BYTES:
            return None
        self._map[start : start + len(line)] = line
        self._used += len(line)
        self._lengths[_LENGTH] = self._used  # a reader sees whole names only
        self._series += 1
        return _FIRST + self._series - 1

    def close(self) -> None:
        """Let go of the file, which then counts as a dead process's."""
        self.numbers.release()
        self._lengths.release()
        self._map.close()
        os.close(self._descriptor)


def read_values(content: bytes) -> dict[str, float]:
    """Return the numbers of a file by their names; of one that is cut short or damaged, those that can be read."""
    if not content.startswith(_FORM) or len(content) < _NAMES:
        return {}
    numbers = memoryview(content)[:_NAMES].cast("d")
    used = memoryview(content)[:_NAMES].cast("Q")[_LENGTH]
    names = content[_NAMES : _NAMES + min(used, FILE_BYTES)].decode(errors="replace").split("\n")[:-1]
    return {name: numbers[_FIRST + index] for index, name in enumerate(names[:MAX_SERIES])}
