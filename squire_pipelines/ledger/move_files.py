"""The file of a ledger that moves to SQLite: built beside its place, and put there while its old file is kept."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

from squire_pipelines.errors import LedgerError
from squire_pipelines.files import fsync
from squire_pipelines.home import make_folder

_BESIDE = ("", "-wal", "-shm", "-journal")
_PART = ".moving.part"


@contextmanager
def file_beside(target: Path) -> Iterator[Path]:
    """Yield the place of a file in the folder of `target`, which is removed at the end unless it was renamed."""
    part = target.with_name(f".{target.name}{_PART}")
    try:
        make_folder(target.parent)
        _remove(part)  # of a move that was killed
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
    except OSError as error:
        raise LedgerError(
            f"the ledger {target} cannot be made: {error.strerror}", hint="check the folder and the disk"
        ) from error
    try:
        yield part
    finally:
        _remove(part)


@contextmanager
def in_place(part: Path, target: Path, now: datetime, *, keeps: bool) -> Iterator[Path | None]:
    """Put a closed file in its place; yield where the one that was there is kept. Undone where the block fails."""
    with closing(sqlite3.connect(part)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")  # all of it is in the one file
    if not keeps:
        _remove(target)
    aside = target.with_name(f"{target.name}.before-move-{now:%Y%m%dT%H%M%S.%fZ}") if target.exists() else None
    if aside is not None:
        for end in _BESIDE:
            if (file := target.with_name(target.name + end)).exists():
                file.rename(aside.with_name(aside.name + end))
    fsync(part)
    part.rename(target)
    fsync(target.parent)
    try:
        yield aside
    except Exception:  # whatever failed: the file of before takes its place again, and the failure goes on
        _remove(target)
        if aside is not None:
            for end in _BESIDE:
                if (file := aside.with_name(aside.name + end)).exists():
                    file.rename(target.with_name(target.name + end))
        raise


def _remove(path: Path) -> None:
    for end in _BESIDE:
        path.with_name(path.name + end).unlink(missing_ok=True)
