"""Handles the warehouse's file on the disk: the publishers' lock, the replacement by rename, and foreign WALs.

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

READ_ONLY_MODE = 0o400
_COPIED_AT_ONCE = 1 << 30
_READ_AT_ONCE = 1 << 22
KEPT_WALS = 3


@contextmanager
def publication_lock(path: Path, *, wait_s: float) -> Iterator[None]:
    """Hold the lock of the warehouse at `path`; the kernel releases it when its holder dies.

    Raises:
        WarehouseError: Another process held it for `wait_s` seconds.
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
    """Yield a name beside `path` for a file to be built; whatever is left there in the end is removed.

    The caller holds the lock, so that other files of this kind are a dead process's: they are removed first.
    """
    for leftover in path.parent.glob(f".{path.name}.*.building*"):
        remove(leftover)
    building = path.with_name(f".{path.name}.{secrets.token_hex(4)}.building")
    try:
        yield building
    finally:
        # What cannot be removed now is removed by the next publication; the exception being raised matters more.
        with suppress(OSError):
            for leftover in path.parent.glob(f"{building.name}*"):
                remove(leftover)


def copy_sealed(path: Path, copy: Path) -> bool:
    """Copy the file at `path` if nobody has written to it since we put it there, and return whether that is so.

    A client that opened it for writing may have changed it, or be changing it right now. Raises OSError.
    """
    if not _is_sealed(path):
        return False
    with path.open("rb") as source, copy.open("xb") as target:
        remaining = os.fstat(source.fileno()).st_size
        while remaining > 0:  # within the kernel, which shares blocks where the file system can
            copied = _copy_some(source.fileno(), target.fileno(), remaining)
            if copied == 0:
                return False
            remaining -= copied
    return _is_sealed(path)


def pad_to_size(path: Path, built: Path, *, up_to: int) -> None:
    """Append to `built` what the file at `path` has beyond its end, up to `up_to` bytes of both. Raises OSError.

    DuckDB opens a path once for the header and again for the rest. A client that is between the two when `built`
    replaces `path` looks for the blocks of the old header in the new file. Adding to a copy leaves those blocks where
    they were, except for those that were cut off at its end.
    """
    with path.open("rb") as source, built.open("ab") as target:
        source.seek(target.tell())
        while (missing := up_to - target.tell()) > 0 and (piece := source.read(min(missing, _READ_AT_ONCE))):
            target.write(piece)


def least_interval_s(size: int, *, min_interval_s: float, write_rate: int) -> float:
    """Return the seconds from one publication to the next for a file of `size` bytes, all of which are written."""
    return max(min_interval_s, size / write_rate)


def put_in_place(built: Path, path: Path) -> None:
    """Rename the closed file `built` over `path`, durably and read-only. Raises OSError."""
    quarantine_wals(path)
    # Before the rename, for both files: if we die in between, the seal fits the file that is there.
    identities = [identity(file) for file in (built, path) if file.exists()]
    write_atomically(_seal_path(path), json.dumps(identities).encode(), durable=False)
    rename_durably(built, path, mode=READ_ONLY_MODE)
    # A client that had the old file open read-write may have begun a WAL since.
    quarantine_wals(path)


def quarantine_wals(path: Path) -> tuple[Path, ...]:
    """Rename write-ahead logs beside `path`, and return their new names.

    We never leave one, so that it is a read-write client's; DuckDB refuses to open a file with another file's log. The
    newest `KEPT_WALS` are kept, in case somebody needs them.
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


def _seal_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.seal")


def identity(path: Path) -> list[int]:
    """Return what changes whenever somebody writes to the file or replaces it. Raises OSError."""
    status = path.stat()
    return [status.st_ino, status.st_size, status.st_mtime_ns]


def _is_sealed(path: Path) -> bool:
    try:
        return identity(path) in json.loads(_seal_path(path).read_text())
    except (FileNotFoundError, ValueError):
        return False


def _copy_some(source: int, target: int, count: int) -> int:
    try:
        return os.copy_file_range(source, target, min(count, _COPIED_AT_ONCE))
    except OSError as error:
        if error.errno not in {errno.ENOSYS, errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM}:
            raise
    except AttributeError:  # this system has no such call
        pass
    return os.write(target, os.read(source, min(count, _COPIED_AT_ONCE >> 8)))


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there. Raises OSError."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
