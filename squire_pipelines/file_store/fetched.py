"""The files that were fetched from the store, kept in a folder of the home's cache up to a bound."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from squire_pipelines.file_store.errors import StoredFileMissingError
from squire_pipelines.file_store.store import FileStore

_IN_USE_S = 60.0
"""A file that was used so short a time ago is not removed: somebody is about to open it."""


class FetchedFiles:
    """A cache of files that do not change. Whoever uses one makes it the newest.

    Args:
        folder: Made if need be.
        max_bytes: What all files may have; the oldest go.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes

    def path(self, key: str) -> Path:
        """Return where a file is, or would be."""
        return self._folder / key

    def fetch(self, store: FileStore, key: str) -> Path | None:
        """Return a file's copy here, which is fetched if need be; None where the store has none.

        Raises:
            FileStoreError: The store does not give it.
            OSError: It cannot be written here.
        """
        path = self.path(key)
        try:
            os.utime(path)
        except FileNotFoundError:
            try:
                store.get(key, path, max_bytes=None, durable=False)
            except StoredFileMissingError:
                return None
            self.make_room()
        return path

    def make_room(self) -> None:
        """Remove the files that were not used for longest, until the others fit."""
        files = sorted(_files_below(self._folder))
        total = sum(size for _, size, _ in files)
        for used_at, size, path in files:
            if total <= self._max_bytes or used_at > time.time() - _IN_USE_S:
                return
            path.unlink(missing_ok=True)
            total -= size
            with contextlib.suppress(OSError):  # other files are in it
                path.parent.rmdir()


def _files_below(folder: Path) -> Iterator[tuple[float, int, Path]]:
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            with contextlib.suppress(FileNotFoundError):  # another process makes room too
                status = path.stat()
                yield status.st_mtime, status.st_size, path
