"""The files of an attempt wherever they are read: in its folder on this machine, else from the store.

This is the one way to read them. Writing them is for the machine that runs the attempt.
"""

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from squire_pipelines.agents.model import AttemptFolder
from squire_pipelines.file_store import layout
from squire_pipelines.file_store.fetched import FetchedFiles
from squire_pipelines.file_store.opening import store_of
from squire_pipelines.file_store.store import FileStore
from squire_pipelines.home import make_folder
from squire_pipelines.settings.model import Settings

MAX_FILES = 50
"""So many files of a folder of an attempt are fetched; Squire writes fewer than ten."""

PIECE_BYTES = 2**20
LOOK_S = 2.0
"""How often a log on another machine is looked at."""


class AttemptCopy:
    """The files of one attempt.

    Args:
        settings: Name the home and the store.
        attempt_id: Of the attempt.
        quick: Whether a person waits, for whom a store that does not answer is asked once and for a short time.
    """

    def __init__(self, settings: Settings, attempt_id: str, *, quick: bool = False) -> None:
        self._settings = settings
        self._is_quick = quick
        self._attempt_id = attempt_id
        self._own = AttemptFolder(settings.home.attempts / attempt_id)

    def kept(self, name: str) -> Path | None:
        """Return a file of `keep`; None where there is none anywhere. Raises FileStoreError."""
        own = self._own.keep / name
        if own.is_file():
            return own
        store = self._store()
        return None if store is None else self._fetched.fetch(store, self._key(f"{layout.KEEP}/{name}"))

    def has_kept(self, name: str) -> bool:
        """Return whether there is such a file, which is not fetched. Raises FileStoreError."""
        return (self._own.keep / name).is_file() or self._is_stored(f"{layout.KEEP}/{name}")

    def may_be_pushed(self) -> bool:
        """Return whether the store says that the work may have been pushed. Raises FileStoreError."""
        return self._is_stored(layout.PUSHING)

    def keep(self) -> Path:
        """Return the folder with all that was kept; it need not exist. Raises FileStoreError."""
        return self._folder(self._own.keep, layout.KEEP)

    def call_logs(self) -> Path:
        """Return the folder with the logs of the gateway's calls; it need not exist. Raises FileStoreError."""
        return self._folder(self._own.root / layout.CALLS, layout.CALLS)

    def log(self) -> "AttemptLogFile":
        """Return where the log is read. Nothing is fetched before it is refreshed."""
        store = None if self._own.log.is_file() else self._store()
        path = self._own.log if store is None else self._fetched.path(self._key(layout.LOG))
        return AttemptLogFile(path, self._attempt_id, store)

    def bring_logs(self) -> None:
        """Bring all logs of an attempt that another machine has run. Raises FileStoreError."""
        store = None if self._own.log.is_file() else self._store()
        if store is not None:
            self.log().refresh(at_once=True)
            self._fetched.fetch(store, self._key(layout.TIMES))
            self.call_logs()

    def _store(self) -> FileStore | None:
        store = store_of(self._settings)
        return store.quick() if store is not None and self._is_quick else store

    def _key(self, name: str) -> str:
        return layout.of_attempt(self._attempt_id, name)

    def _is_stored(self, name: str) -> bool:
        store = self._store()
        return store is not None and store.find(self._key(name)) is not None

    @property
    def _fetched(self) -> FetchedFiles:
        return FetchedFiles(self._settings.home.stored_files, self._settings.files.max_cache)

    def _folder(self, own: Path, name: str) -> Path:
        # Where its agent has run here, what is not here is nowhere.
        is_here = self._own.log.is_file() or (own.is_dir() and any(own.iterdir()))
        store = None if is_here else self._store()
        if store is None:
            return own
        prefix = self._key(f"{name}/")
        for number, file in enumerate(store.files(prefix)):
            if number >= MAX_FILES:
                break
            self._fetched.fetch(store, file.key)
        return self._fetched.path(prefix)


class AttemptLogFile:
    """The log of an attempt as a file on this machine: its own, or a copy that grows as pieces of it arrive.

    Args:
        path: The file, which need not exist yet.
        attempt_id: Of the attempt.
        store: Where it comes from; None where the file is the log itself.
        clock: Seconds, by which the store is not asked too often.
    """

    def __init__(
        self, path: Path, attempt_id: str, store: FileStore | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.path = path
        self._attempt_id = attempt_id
        self._store = store
        self._clock = clock
        self._looked_at = float("-inf")

    @property
    def is_copy(self) -> bool:
        """Whether it has to be refreshed."""
        return self._store is not None

    def refresh(self, *, at_once: bool = False) -> None:
        """Bring what has been added, unless that was done a moment ago. Raises FileStoreError."""
        store, now = self._store, self._clock()
        if store is None or (not at_once and now - self._looked_at < LOOK_S):
            return
        self._looked_at = now
        make_folder(self.path.parent)
        with contextlib.suppress(FileNotFoundError):
            os.utime(self.path)
        # Of no use to two followers of one file that write the same bytes at the same places.
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._bring(store, descriptor)
        finally:
            size = os.fstat(descriptor).st_size
            os.close(descriptor)
            if not size:
                self.path.unlink(missing_ok=True)

    def _bring(self, store: FileStore, descriptor: int) -> None:
        size = os.fstat(descriptor).st_size
        after = layout.segment_key(self._attempt_id, size - 1) if size else ""
        for segment in store.files(layout.of_attempt(self._attempt_id, f"{layout.SEGMENTS}/"), after=after):
            start = layout.start_of(segment.key)
            if start > size:
                break  # one before it was removed meanwhile: the whole log is there by now
            content = store.read_range(segment.key, 0, segment.size)
            os.pwrite(descriptor, content, start)
            size = max(size, start + len(content))
        whole = layout.of_attempt(self._attempt_id, layout.LOG)
        final = store.find(whole)
        while final is not None and size < final.size:
            content = store.read_range(whole, size, min(PIECE_BYTES, final.size - size))
            if not content:
                return
            os.pwrite(descriptor, content, size)
            size += len(content)
