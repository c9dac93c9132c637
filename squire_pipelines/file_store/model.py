"""What a store knows of its files, and what its backends can do. No I/O."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol

from squire_pipelines.file_store.errors import StoredFileDamagedError

MAX_SMALL = 64 * 2**10
"""Bytes of a file that may be replaced, such as a pointer to the newest of others."""

PAGE = 1000
"""Names in one page of a listing, as S3 bounds it."""

_CHUNK_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a content is known by: its `size` in bytes and its SHA-256 in hexadecimal digits."""

    size: int
    sha256: str

    @classmethod
    def of_file(cls, path: Path) -> "Fingerprint":
        """Read a file. Raises OSError."""
        with path.open("rb") as file:
            return cls.of_stream(file)

    @classmethod
    def of_stream(cls, stream: BinaryIO, copy: BinaryIO | None = None) -> "Fingerprint":
        """Read a stream to its end, and write it to `copy` meanwhile. Raises OSError."""
        digest, size = hashlib.sha256(), 0
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
            if copy is not None:
                copy.write(chunk)
        return cls(size, digest.hexdigest())

    @classmethod
    def of_content(cls, content: bytes) -> "Fingerprint":
        """Return that of a content in memory."""
        return cls(len(content), hashlib.sha256(content).hexdigest())

    def check_copy(self, source: Path, copy: BinaryIO) -> None:
        """Copy a file that must have this fingerprint. Raises StoredFileDamagedError where it has not, OSError."""
        with source.open("rb") as stream:
            self.check(Fingerprint.of_stream(stream, copy), source.name)

    def check(self, seen: "Fingerprint", name: str) -> None:
        """Raise StoredFileDamagedError unless what was seen is the same."""
        if seen != self:
            raise StoredFileDamagedError(
                f"{name} has {seen.size} bytes with SHA-256 {seen.sha256[:12]} in place of {self.size} with "
                f"{self.sha256[:12]}",
                hint="it was written half, or changed meanwhile; it is tried again",
            )


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A file in a store: its name, its size in bytes and when it was put there.

    `sha256` is None where the store does not know it without reading the file, and in listings.
    """

    key: str
    size: int
    changed_at: datetime
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class StoredNames:
    """A page of names of folders; `next_page` is what the next one is asked for with, empty after the last."""

    names: tuple[str, ...]
    next_page: str


class StoreBackend(Protocol):
    """What a kind of store can do. Errors are the system's own or the library's; `store` says what they mean."""

    def find(self, key: str, *, with_digest: bool) -> StoredObject | None:
        """Return a file, with its digest where that is asked for, whatever it costs; None where there is none."""

    def put(self, key: str, source: Path, fingerprint: Fingerprint) -> bool:
        """Write a file that is not there yet, and return when the store has confirmed that its content is the same.

        False is returned where another is there meanwhile.
        """

    def replace(self, key: str, content: bytes) -> None:
        """Write a small file, over the one that may be there."""

    def fetch(self, key: str, target: Path) -> None:
        """Write a file to the new local file `target`."""

    def read_range(self, key: str, start: int, length: int) -> bytes:
        """Return up to `length` bytes of a file from `start` on."""

    def files(self, prefix: str, after: str) -> tuple[StoredObject, ...]:
        """Return the first `PAGE` files whose names begin with `prefix` and come after `after`, by their names."""

    def folders(self, prefix: str, page: str) -> StoredNames:
        """Return a page of the names of the folders directly below `prefix`."""

    def remove(self, keys: tuple[str, ...]) -> None:
        """Remove up to `PAGE` files; those that are not there count as removed."""

    def explain(self, error: Exception) -> Exception | None:
        """Return one of our errors for one of the library's; None for an error that is nobody's to explain."""

    def close(self) -> None:
        """Close connections."""
