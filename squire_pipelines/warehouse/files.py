"""The warehouse's file on the disk: one publisher at a time, a new file in place by rename, foreign WALs aside.

What is in the file belongs to `schema` and `publish`.
"""

import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from squire_pipelines.errors import WarehouseError

READ_ONLY_MODE = 0o444
KEPT_WALS = 3
_POLL_S = 0.05


@contextmanager
def publication_lock(path: Path, *, wait_s: float) -> Iterator[None]:
    """Hold the lock of the warehouse at `path`; the kernel gives it back when its holder dies.

    Raises:
        WarehouseError: Somebody else held it for `wait_s` seconds.
    """
    lock = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    message = f"another process has been publishing {path} for more than {wait_s:g} s"
                    raise WarehouseError(message, hint="wait for it, then publish again") from None
                time.sleep(_POLL_S)
        yield
    finally:
        os.close(lock)


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A name beside `path` for a file to be built; whatever is left there in the end is removed.

    The caller holds the lock, so that all files of this kind which lie here are a dead process's: they are removed
    first.
    """
    for left in path.parent.glob(f".{path.name}.*.building*"):
        _remove(left)
    building = path.with_name(f".{path.name}.{secrets.token_hex(4)}.building")
    try:
        yield building
    finally:
        # What cannot be removed now is removed by the next publication; the error under way matters more.
        with suppress(OSError):
            for left in path.parent.glob(f"{building.name}*"):
                _remove(left)


def put_in_place(built: Path, path: Path) -> None:
    """Rename the closed file `built` over `path`, durably and read-only. Raises OSError."""
    built.chmod(READ_ONLY_MODE)
    _fsync(built)
    set_wals_aside(path)
    built.replace(path)
    # A client that had the old file open read-write may have begun a WAL since.
    set_wals_aside(path)
    _fsync(path.parent)


def set_wals_aside(path: Path) -> tuple[Path, ...]:
    """Move write-ahead logs that lie at `path` out of the way, and return where they are now.

    We never leave one: it is of somebody's read-write client, and DuckDB refuses to open a file with a log that is
    not its own. The newest `KEPT_WALS` are kept, should somebody miss them.
    """
    moved = []
    for suffix in (".wal", ".wal.checkpoint", ".wal.recovery"):
        wal = path.with_name(path.name + suffix)
        aside = path.with_name(f"{path.name}.{time.time_ns()}{suffix}.aside")
        with suppress(FileNotFoundError):
            wal.rename(aside)
            moved.append(aside)
    for old in sorted(path.parent.glob(f"{path.name}.*.aside"))[:-KEPT_WALS]:
        _remove(old)
    return tuple(moved)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
