"""The operations on a store: each within a time limit, tried again where that may help, with errors that name causes.

A file is put once: the same content again is a success, another one under its name is refused. Only small files that
point to others are replaced.
"""

import contextlib
import functools
import queue
import random
import secrets
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TypeVar

from squire_pipelines.domain.store_urls import check_key, check_prefix
from squire_pipelines.errors import SquireError
from squire_pipelines.file_store.errors import (
    FileStoreError,
    StoreDeniedError,
    StoredFileLargeError,
    StoredFileMissingError,
    StoredFileTakenError,
    StoreUnreachableError,
)
from squire_pipelines.file_store.model import MAX_SMALL, PAGE, Fingerprint, StoreBackend, StoredObject
from squire_pipelines.files import fsync
from squire_pipelines.home import make_folder
from squire_pipelines.observability.logging import Component, get_logger

MAX_HANGING = 16
"""So many requests of a process may hang at once, such as those to a file system that does not answer."""

_BYTES_PER_S = 2**20
_QUICK_S = 5.0
_FIRST_WAIT_S = 0.2
_LONGEST_WAIT_S = 5.0
_T = TypeVar("_T")
_log = get_logger(Component.PIPELINE)


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """The bounds of requests: seconds of each without those for its bytes, tries of each, bytes of one file."""

    timeout_s: float
    tries: int
    max_object: int


class FileStore:
    """A store. It may be used in several threads.

    Args:
        backend: What reads and writes.
        limits: See `StoreLimits`.
        place: Its URL, as people may see it.
        wait: Called with the seconds between two tries.
    """

    def __init__(
        self, backend: StoreBackend, limits: StoreLimits, place: str, wait: Callable[[float], object] = time.sleep
    ) -> None:
        self._backend = backend
        self._limits = limits
        self._wait = wait
        self._free = threading.BoundedSemaphore(MAX_HANGING)
        self.place = place
        self.was_denied = False
        """Whether it has refused the credentials, so that others should be looked for before the next request."""

    def quick(self) -> "FileStore":
        """Return the same store for somebody who waits: each request is made once, and is given up soon."""
        limits = replace(self._limits, tries=1, timeout_s=min(_QUICK_S, self._limits.timeout_s))
        return FileStore(self._backend, limits, self.place)

    def find(self, key: str) -> StoredObject | None:
        """Return a file; None where there is none. Raises FileStoreError."""
        return self._ask(functools.partial(self._backend.find, check_key(key), with_digest=False))

    def put(self, key: str, source: Path) -> StoredObject:
        """Put a local file into the store, and return when the store has confirmed it.

        Raises:
            StoredFileTakenError: Another content is there under this name.
            StoredFileLargeError: The file is larger than the bound.
            FileStoreError: The store does not take it.
            OSError: The file cannot be read.
        """
        check_key(key)
        fingerprint = Fingerprint.of_file(source)
        if fingerprint.size > self._limits.max_object:
            raise StoredFileLargeError(
                f"{source.name} has {fingerprint.size} bytes, more than files.max_object of {self._limits.max_object}",
                hint="raise files.max_object; the file stays on this machine",
            )
        known = self._same(key, fingerprint)
        if known is not None:
            return known
        self._ask(functools.partial(self._backend.put, key, source, fingerprint), fingerprint.size)
        # Also where another process was quicker, or our own first try whose answer was lost.
        known = self._same(key, fingerprint)
        if known is None:
            raise StoreUnreachableError(
                f"the store {self.place} has confirmed {key} and does not have it",
                hint="check that nothing else removes files there",
            )
        return known

    def put_content(self, key: str, content: bytes) -> StoredObject:
        """Put a content of memory into the store; see `put`."""
        with tempfile.NamedTemporaryFile(prefix="squire-") as file:
            file.write(content)
            file.flush()
            return self.put(key, Path(file.name))

    def _same(self, key: str, fingerprint: Fingerprint) -> StoredObject | None:
        """Return the file where it is there with this content. Raises StoredFileTakenError for another content."""
        find = functools.partial(self._backend.find, key, with_digest=True)
        known = self._ask(find, fingerprint.size)
        if known is not None and (known.size, known.sha256) != (fingerprint.size, fingerprint.sha256):
            raise StoredFileTakenError(
                f"the store {self.place} has another content under {key}: {known.size} bytes, not {fingerprint.size}",
                hint="a file is put once: look at both, and remove the one in the store if it is the wrong one",
                context={"key": key},
            )
        return known

    def replace(self, key: str, content: bytes) -> None:
        """Write a small file of at most `MAX_SMALL` bytes, over the one that may be there. Raises FileStoreError."""
        if len(content) > MAX_SMALL:
            raise ValueError(f"{key} has {len(content)} bytes, and is for small files")
        self._ask(functools.partial(self._backend.replace, check_key(key), content))

    def read_small(self, key: str) -> bytes | None:
        """Return the content of a small file; None where there is none. Raises FileStoreError."""
        known = self.find(key)
        if known is None:
            return None
        if known.size > MAX_SMALL:
            raise StoredFileLargeError(f"{key} has {known.size} bytes", hint="it is no file of Squire's: remove it")
        return self._ask(functools.partial(self._backend.read_range, key, 0, MAX_SMALL), MAX_SMALL)

    def get(self, key: str, target: Path, *, max_bytes: int | None = None, durable: bool = True) -> StoredObject:
        """Write a file to the local `target`, which appears whole or not at all.

        Args:
            key: Of the file.
            target: Its folder is made if need be; a file that is there is replaced.
            max_bytes: What it may have; the store's own bound by default.
            durable: Whether to sync it.

        Raises:
            StoredFileMissingError: There is no such file.
            StoredFileLargeError: It is larger than it may be; nothing was read.
            FileStoreError: The store does not give it.
            OSError: `target` cannot be written.
        """
        known = self._ask(functools.partial(self._backend.find, check_key(key), with_digest=False))
        if known is None:
            raise StoredFileMissingError(f"the store {self.place} has no {key}", hint="it may have been removed by now")
        most = self._limits.max_object if max_bytes is None else max_bytes
        if known.size > most:
            raise StoredFileLargeError(f"{key} has {known.size} bytes, more than {most}", hint="raise the bound")
        make_folder(target.parent)

        def fetch() -> None:
            # With a name of its own for each try: an earlier one that hangs may go on.
            part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
            try:
                self._backend.fetch(key, part)
                seen = Fingerprint.of_file(part)
                Fingerprint(known.size, known.sha256 or seen.sha256).check(seen, key)
                part.chmod(0o600)
                if durable:
                    fsync(part)
                part.replace(target)
                if durable:
                    fsync(target.parent)
            finally:
                part.unlink(missing_ok=True)

        self._ask(fetch, known.size)
        return known

    def read_range(self, key: str, start: int, length: int) -> bytes:
        """Return up to `length` bytes of a file from `start` on. Raises FileStoreError."""
        return self._ask(functools.partial(self._backend.read_range, check_key(key), start, length), length)

    def files(self, prefix: str, *, after: str = "") -> Iterator[StoredObject]:
        """Yield the files whose names begin with `prefix`, by their names, page by page. Raises FileStoreError."""
        check_prefix(prefix)
        while True:
            page = self._ask(functools.partial(self._backend.files, prefix, after))
            yield from page
            if len(page) < PAGE:
                return
            after = page[-1].key

    def folders(self, prefix: str) -> Iterator[str]:
        """Yield the names of the folders directly below `prefix`, page by page. Raises FileStoreError."""
        check_prefix(prefix)
        page = ""
        while True:
            names = self._ask(functools.partial(self._backend.folders, prefix, page))
            yield from names.names
            if not names.next_page:
                return
            page = names.next_page

    def remove(self, prefix: str) -> int:
        """Remove all files whose names begin with `prefix`; return how many. Raises FileStoreError, ValueError."""
        if not prefix:
            raise ValueError("a whole store is never removed")
        return self.remove_files(file.key for file in self.files(prefix))

    def remove_files(self, keys: Iterable[str]) -> int:
        """Remove files; return how many. One that is not there counts as removed. Raises FileStoreError."""
        count, remaining = 0, iter(keys)
        while some := tuple(map(check_key, islice(remaining, PAGE))):
            self._ask(functools.partial(self._backend.remove, some))
            count += len(some)
        return count

    def close(self) -> None:
        """Close connections."""
        self._backend.close()

    def _ask(self, action: Callable[[], _T], size: int = 0) -> _T:
        timeout_s = self._limits.timeout_s + size / _BYTES_PER_S
        for number in range(self._limits.tries):
            try:
                return self._within(action, timeout_s)
            except FileStoreError as error:
                self.was_denied = self.was_denied or isinstance(error, StoreDeniedError)
                if not error.retryable or number + 1 == self._limits.tries:
                    raise
                wait_s = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2**number) * random.uniform(0.5, 1.0)  # noqa: S311 - a wait
                _log.warning("files.request_repeated", cause=error.code, retry=number + 1, wait_s=round(wait_s, 1))
            self._wait(wait_s)
        raise AssertionError  # the last try has returned or raised

    def _within(self, action: Callable[[], _T], timeout_s: float) -> _T:
        """Do it in a thread of its own: what waits for a dead file system cannot be interrupted, only left."""
        if not self._free.acquire(blocking=False):
            raise StoreUnreachableError(
                f"the store {self.place}: {MAX_HANGING} requests hang already",
                hint="check that it answers, and start this process again",
            )
        results: queue.SimpleQueue[tuple[_T | None, Exception | None]] = queue.SimpleQueue()

        def run() -> None:
            try:
                result: tuple[_T | None, Exception | None] = action(), None
            except Exception as error:  # noqa: BLE001 - handed to the thread that waits
                result = None, error
            finally:
                self._free.release()
            results.put(result)

        threading.Thread(target=run, name="squire-files", daemon=True).start()
        with contextlib.suppress(queue.Empty):
            value, error = results.get(timeout=timeout_s)
            if error is None:
                return value  # type: ignore[return-value] # what the action has returned
            raise self._explained(error) from error
        raise StoreUnreachableError(
            f"the store {self.place} has not answered within {timeout_s:.0f} s",
            hint="check the network and the store, or raise files.timeout_s",
        )

    def _explained(self, error: Exception) -> Exception:
        if isinstance(error, SquireError):
            return error
        return self._backend.explain(error) or error
