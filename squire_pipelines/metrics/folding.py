"""The counters of all processes of a home: those that live, and one file for those that have ended.

A process that has ended leaves its file. Its numbers are added to `totals.json`, which names the files that are in it,
and then the file is removed. Whoever is killed in between has added nothing, or everything: the next one sees the
file's name in `totals.json`, and removes it without adding it again.
"""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from squire_pipelines.files import lock_descriptor, write_atomically
from squire_pipelines.home import make_folder
from squire_pipelines.metrics.series import add_values
from squire_pipelines.metrics.values_file import FILE_BYTES, NEW_SUFFIX, PREFIX, SUFFIX, read_values

FOLD_AT = 64
"""Files from which on a process that begins to count adds those of ended processes up, where no endpoint does."""

MAX_FILES = 1024
"""A process that finds as many does not count; that many are read at once."""

MAX_TOTALS = 20_000
"""Different series in `totals.json`; those of versions that named others are not kept beyond that."""

_TOTALS, _LOCK = "totals.json", "lock"
_MAX_TOTALS_BYTES = 8 * 2**20
_LOCK_WAIT_S = 5.0
_PAUSE_S = 0.02
_LEFT_OVER_S = 3600.0
_UNFINISHED = (NEW_SUFFIX, ".part")  # a file of a process, and those that are written whole


@dataclass(frozen=True, slots=True)
class AllValues:
    """What all processes of a home have counted, by the series' names, and how many of them live."""

    values: dict[str, float]
    living: int


def read_all(folder: Path) -> AllValues:
    """Return what was ever counted, after the files of ended processes were added up.

    Raises:
        TimeoutError: Another process adds them up all the time.
        OSError: The folder cannot be read or written.
    """
    make_folder(folder)
    with _locked(folder, wait_s=_LOCK_WAIT_S):
        totals, living = _fold(folder)
        for content in living:
            add_values(totals, read_values(content))
    return AllValues(totals, len(living))


def fold_if_many(folder: Path) -> None:
    """Add up the files of ended processes when there are many, unless another process does so just now.

    Raises:
        OSError: There are so many files of living processes that this one may not have one, or the folder is not ours.
    """
    make_folder(folder)
    count = len(_files(folder))
    if count >= FOLD_AT:
        with contextlib.suppress(TimeoutError), _locked(folder, wait_s=0):
            _fold(folder)
            count = len(_files(folder))
    if count >= MAX_FILES:
        raise OSError(f"{count} processes are counted already")


def _fold(folder: Path) -> tuple[dict[str, float], list[bytes]]:
    """Add up ended processes' files; return their totals, and the content of the files of living ones."""
    totals, folded = _read_totals(folder / _TOTALS)
    dead: list[Path] = []
    living: list[bytes] = []
    names: list[str] = []
    for path in _files(folder):
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            is_dead = lock_descriptor(descriptor)
            content = os.pread(descriptor, FILE_BYTES, 0)
        finally:
            os.close(descriptor)
        if not is_dead:
            living.append(content)
            continue
        dead.append(path)
        names.append(path.name)
        if path.name not in folded:
            add_values(totals, read_values(content))
    if set(names) - folded:
        document = {"folded": names, "values": dict(list(totals.items())[:MAX_TOTALS])}
        write_atomically(folder / _TOTALS, json.dumps(document).encode(), durable=True)
    for path in dead:
        path.unlink(missing_ok=True)
    return totals, living


def _files(folder: Path) -> list[Path]:
    paths: list[Path] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(PREFIX) and entry.name.endswith(SUFFIX):
                paths.append(Path(entry.path))
            elif entry.name.endswith(_UNFINISHED):
                _remove_leftover(Path(entry.path))
            if len(paths) == MAX_FILES:
                break
    return paths


def _remove_leftover(path: Path) -> None:
    """Remove what a process began to make, and was killed before it had its name."""
    with contextlib.suppress(OSError):
        if time.time() - path.stat().st_mtime > _LEFT_OVER_S:
            path.unlink()


def _read_totals(path: Path) -> tuple[dict[str, float], frozenset[str]]:
    """Return the totals and the names of the files in them; a damaged file begins anew, and is kept beside it."""
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(_MAX_TOTALS_BYTES))
        values = {str(name): float(value) for name, value in document["values"].items()}
        return values, frozenset(map(str, document["folded"]))
    except FileNotFoundError:
        return {}, frozenset()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        with contextlib.suppress(OSError):
            path.replace(path.with_suffix(".damaged"))
        return {}, frozenset()


@contextlib.contextmanager
def _locked(folder: Path, *, wait_s: float) -> Iterator[None]:
    deadline = time.monotonic() + wait_s
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        while not lock_descriptor(descriptor):
            if time.monotonic() >= deadline:
                raise TimeoutError("another process adds up the counters")
            time.sleep(_PAUSE_S)
        yield
    finally:
        os.close(descriptor)
