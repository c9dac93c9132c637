"""A store in a folder, which may be on a file system that several machines have mounted. What is put is synced."""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from squire_pipelines.file_store.errors import (
    StoreDeniedError,
    StoredFileMissingError,
    StoreFullError,
    StoreMissingError,
    StoreUnreachableError,
)
from squire_pipelines.file_store.model import PAGE, Fingerprint, StoredNames, StoredObject
from squire_pipelines.files import fsync, open_atomically, write_atomically
from squire_pipelines.home import make_folder

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_TRIES = 3


class FolderBackend:
    """See `StoreBackend`.

    Args:
        root: The folder. It is never made here: where it is missing, it is not mounted.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def find(self, key: str, *, with_digest: bool) -> StoredObject | None:
        """Return a file; see `StoreBackend`."""
        path = self._path(key)
        try:
            status = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        digest = Fingerprint.of_file(path).sha256 if with_digest else None
        return StoredObject(key, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC), digest)

    def put(self, key: str, source: Path, fingerprint: Fingerprint) -> bool:
        """Write a new file, sync it and its name; see `StoreBackend`."""
        path = self._path(key)
        for tries_left in reversed(range(_TRIES)):
            self._make_folder(path.parent)
            try:
                with open_atomically(path, replace=False) as file:
                    fingerprint.check_copy(source, file)
            except FileExistsError:
                return False
            except FileNotFoundError:  # whoever removes files removes empty folders, maybe this one just now
                if path.parent.is_dir() or not tries_left:
                    raise
            else:
                return True
        return False

    def replace(self, key: str, content: bytes) -> None:
        """Write a small file; see `StoreBackend`."""
        path = self._path(key)
        self._make_folder(path.parent)
        write_atomically(path, content)

    def fetch(self, key: str, target: Path) -> None:
        """Copy a file; see `StoreBackend`."""
        shutil.copyfile(self._path(key), target)

    def read_range(self, key: str, start: int, length: int) -> bytes:
        """Return a part of a file; see `StoreBackend`."""
        with self._path(key).open("rb") as file:
            file.seek(start)
            return file.read(length)

    def files(self, prefix: str, after: str) -> tuple[StoredObject, ...]:
        """Return a page of files; see `StoreBackend`."""
        return tuple(islice(self._files(self._path(prefix), prefix, after), PAGE))

    def folders(self, prefix: str, page: str) -> StoredNames:
        """Return a page of folders' names; see `StoreBackend`."""
        names = [entry.name for entry in _entries(self._path(prefix)) if entry.is_dir() and entry.name > page]
        names.sort()
        shown = tuple(names[:PAGE])
        return StoredNames(shown, shown[-1] if len(names) > PAGE else "")

    def remove(self, keys: tuple[str, ...]) -> None:
        """Remove files, and the folders that are empty then; see `StoreBackend`."""
        for key in keys:
            path = self._path(key)
            path.unlink(missing_ok=True)
            for folder in path.parents:
                if folder == self._root:
                    break
                try:
                    folder.rmdir()
                except OSError:  # it has other files, or is gone already
                    break

    def explain(self, error: Exception) -> Exception | None:
        """Return what an error of the system means; see `StoreBackend`."""
        if not isinstance(error, OSError):
            return None
        words = f"the store {self._root}: {error.strerror or error}"
        if error.errno in _FULL:
            return StoreFullError(words, hint="free some space there, or raise the quota; nothing was changed")
        if error.errno in _DENIED:
            return StoreDeniedError(words, hint="let this user write there: each machine needs the same user id")
        if isinstance(error, FileNotFoundError):
            return StoredFileMissingError(words, hint="it may have been removed meanwhile, by its retention")
        return StoreUnreachableError(words, hint="check that the file system is mounted and answers")

    def close(self) -> None:
        """Do nothing: no connection is kept."""

    def _path(self, key: str) -> Path:
        if not self._root.is_dir():
            raise StoreMissingError(
                f"the store {self._root} is not there", hint="mount the file system, or make the folder; see files.url"
            )
        return self._root / key

    def _make_folder(self, folder: Path) -> None:
        missing = [path for path in (folder, *folder.parents) if not path.is_dir()]
        make_folder(folder)
        for path in missing:
            fsync(path.parent)

    def _files(self, folder: Path, prefix: str, after: str) -> Iterator[StoredObject]:
        """Yield the files below a folder in the order of their names, as a bucket has it."""
        # With the slash that folders' names end with in the names of their files.
        entries = sorted((f"{entry.name}/" if entry.is_dir() else entry.name, entry) for entry in _entries(folder))
        for name, entry in entries:
            key = f"{prefix}{name}"
            if name.endswith("/"):
                if key > after or after.startswith(key):
                    yield from self._files(Path(entry.path), key, after)
            elif key > after:
                with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                    status = entry.stat()
                    yield StoredObject(key, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))


def _entries(folder: Path) -> list["os.DirEntry[str]"]:
    """Return what is in a folder, without files that are being written, whose names begin with a dot."""
    try:
        with os.scandir(folder) as listing:
            return [entry for entry in listing if not entry.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return []
