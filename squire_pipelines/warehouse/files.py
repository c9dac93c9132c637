"""The warehouse's file on the disk: one publisher at a time, a new file in place by rename, foreign WALs aside.

What is in the file belongs to `schema` and `publish`.
"""

import errno
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from squire_pipelines.errors import WarehouseError
from squire_pipelines.files import lock, write_atomically
from squire_pipelines.files import put_in_place as rename_durably

READ_ONLY_MODE = 0o444
_COPIED_AT_ONCE = 1 << 30
_READ_AT_ONCE = 1 << 22
KEPT_WALS = 3


@contextmanager
def publication_lock(path: Path, *, wait_s: float) -> Iterator[None]:
    """Hold the lock of the warehouse at `path`; the kernel gives it back when its holder dies.

    Raises:
        WarehouseError: Somebody else held it for `wait_s` seconds.
    """
    try:
        publishing = lock(path.with_name(f".{path.name}.lock"), timeout_s=wait_s)
    except TimeoutError:
        raise WarehouseError(
            f"another process has been publishing {path} for more than {wait_s:g} s",
            hint="wait for it, then publish again",
        ) from None
    with publishing:
        yield


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A name beside `path` for a file to be built; whatever is left there in the end is removed.

    The caller holds the lock, so that all files of this kind which lie here are a dead process's: they are removed
    first.
    """
    for left in path.parent.glob(f".{path.name}.*.building*"):
        remove(left)
    building = path.with_name(f".{path.name}.{secrets.token_hex(4)}.building")
    try:
        yield building
    finally:
        # What cannot be removed now is removed by the next publication; the error under way matters more.
        with suppress(OSError):
            for left in path.parent.glob(f"{building.name}*"):
                remove(left)


def copy_sealed(path: Path, copy: Path) -> bool:
    """Copy the file at `path` if it is byte for byte what we put there; whether it was.

    A client that opened it for writing may have changed it, or be changing it just now. Raises OSError.
    """
    if not _is_sealed(path):
        return False
    with path.open("rb") as source, copy.open("xb") as target:
        left = os.fstat(source.fileno()).st_size
        while left > 0:  # within the kernel: shared blocks where the file system has them
            done = _copy_some(source.fileno(), target.fileno(), left)
            if done == 0:
                return False
            left -= done
    return _is_sealed(path)


def pad_to_size(path: Path, built: Path, *, up_to: int) -> None:
    """Append to `built` what the file at `path` has beyond its end, up to `up_to` bytes of both. Raises OSError.

    DuckDB opens a path once for the header and again for the rest. A client that is between the two when `built` takes
    the place of `path` looks for the blocks of the old header in the new file. What is added to a copy leaves them
    where they were, but for those that were cut off at its end.
    """
    with path.open("rb") as source, built.open("ab") as target:
        source.seek(target.tell())
        while (left := up_to - target.tell()) > 0 and (piece := source.read(min(left, _READ_AT_ONCE))):
            target.write(piece)


def least_interval_s(size: int, *, min_interval_s: float, write_rate: int) -> float:
    """Seconds from one publication to the next for a file of `size` bytes, of which all are written each time."""
    return max(min_interval_s, size / write_rate)


def put_in_place(built: Path, path: Path) -> None:
    """Rename the closed file `built` over `path`, durably and read-only. Raises OSError."""
    built.chmod(READ_ONLY_MODE)
    quarantine_wals(path)
    # Before the rename, for both files: whenever we die, the seal is of the one that is there.
    marks = [mark_of(file) for file in (built, path) if file.exists()]
    write_atomically(_seal_of(path), json.dumps(marks).encode(), durable=False)
    rename_durably(built, path)
    # A client that had the old file open read-write may have begun a WAL since.
    quarantine_wals(path)


def quarantine_wals(path: Path) -> tuple[Path, ...]:
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
        remove(old)
    return tuple(moved)


def _seal_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.seal")


def mark_of(path: Path) -> list[int]:
    """What changes whenever somebody writes to the file, or puts another in its place. Raises OSError."""
    status = path.stat()
    return [status.st_ino, status.st_size, status.st_mtime_ns]


def _is_sealed(path: Path) -> bool:
    try:
        return mark_of(path) in json.loads(_seal_of(path).read_text())
    except (FileNotFoundError, ValueError):
        return False


def _copy_some(source: int, target: int, count: int) -> int:
    try:
        return os.copy_file_range(source, target, min(count, _COPIED_AT_ONCE))
    except OSError as error:
        if error.errno not in {errno.ENOSYS, errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM}:
            raise
    except AttributeError:  # not on every system
        pass
    return os.write(target, os.read(source, min(count, _COPIED_AT_ONCE >> 8)))


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there. Raises OSError."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
