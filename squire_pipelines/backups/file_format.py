"""The file of a backup: a tar, compressed by gzip, whose first member is the manifest and names all that follow.

`tar` unpacks it too. Here it is read member by member without any of tar's extensions: each has to be the regular file
that the manifest names next, of the size that it says, so that no name, link or length in the file leads anywhere else.
"""

import gzip
import hashlib
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError

from squire_pipelines.backups.manifest import BackupManifest, BackupMember
from squire_pipelines.domain.terminal_text import one_line
from squire_pipelines.errors import LedgerError, NotFoundError, SquireError
from squire_pipelines.files import open_regular

MANIFEST = "manifest.json"
MAX_MANIFEST_BYTES = 64 * 2**20
CHUNK_BYTES = 2**20
_BLOCK = tarfile.BLOCKSIZE
_MAGIC = b"\x1f\x8b"
_LEVEL = 1  # the archive's files are compressed already, and a ledger becomes a fifth of it at the lowest level
_HINT = "take another backup; nothing was changed"


class BackupFormatError(SquireError):
    """A file is no backup of ours, or is damaged."""

    code = "backup"


class BackupWriter:
    """Writes the members of a manifest in their order."""

    def __init__(self, file: BinaryIO, manifest: BackupManifest) -> None:
        self._file = gzip.GzipFile(fileobj=file, mode="wb", compresslevel=_LEVEL, mtime=0, filename="")
        self._time = int(manifest.made_at.timestamp())
        content = manifest.model_dump_json(indent=1).encode()
        self._header(MANIFEST, len(content))
        self._file.write(content)
        self._pad(len(content))

    def add(self, member: BackupMember, source: BinaryIO) -> Iterator[int]:
        """Write a member, yielding the bytes written after each piece.

        Raises:
            LedgerError: The source is not as the manifest says: it has changed since.
        """
        self._header(member.name, member.size)
        digest, left = hashlib.sha256(), member.size
        while left and (chunk := source.read(min(left, CHUNK_BYTES))):
            digest.update(chunk)
            self._file.write(chunk)
            left -= len(chunk)
            yield len(chunk)
        if left or source.read(1) or digest.hexdigest() != member.sha256:
            raise LedgerError(f"{member.name} has changed while it was copied", hint="make the backup again")
        self._pad(member.size)

    def close(self) -> None:
        """Write the end of the file."""
        self._file.write(bytes(2 * _BLOCK))
        self._file.close()

    def _header(self, name: str, size: int) -> None:
        info = tarfile.TarInfo(name)
        info.size, info.mode, info.mtime = size, 0o600, self._time
        self._file.write(info.tobuf(tarfile.GNU_FORMAT))  # which has room for sizes of 8 GiB and more

    def _pad(self, size: int) -> None:
        self._file.write(bytes(-size % _BLOCK))


@dataclass(slots=True)
class MemberContent:
    """One member while it is read; all of it is to be read, or the next one cannot be."""

    member: BackupMember
    _file: gzip.GzipFile

    def copy_to(self, target: BinaryIO) -> Iterator[int]:
        """Write the content to `target`, yielding the bytes written after each piece.

        Raises:
            BackupFormatError: It is not what the manifest says.
        """
        digest, left = hashlib.sha256(), self.member.size
        while left:
            chunk = _read(self._file, min(left, CHUNK_BYTES))
            digest.update(chunk)
            target.write(chunk)
            left -= len(chunk)
            yield len(chunk)
        if digest.hexdigest() != self.member.sha256:
            raise BackupFormatError(f"{self.member.name} in the backup is damaged: its digest differs", hint=_HINT)
        _read(self._file, -self.member.size % _BLOCK)


class BackupReader:
    """An open backup: its manifest, and then its members, once and in their order."""

    def __init__(self, file: gzip.GzipFile) -> None:
        self._file = file
        name, size = self._next_header()
        if name != MANIFEST or size > MAX_MANIFEST_BYTES:
            raise BackupFormatError("the file does not begin with a manifest", hint=_NOT_OURS)
        content = _read(file, size)
        _read(file, -size % _BLOCK)
        try:
            self.manifest = BackupManifest.model_validate_json(content)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            text = first["msg"].removeprefix("Value error, ")
            reason = one_line(f"{'.'.join(map(str, first['loc'])) or 'it'}: {text}")
            raise BackupFormatError(f"the manifest cannot be used: {reason}", hint=_NOT_OURS) from error

    def members(self) -> Iterator[MemberContent]:
        """Yield each member. Raises BackupFormatError for one that the manifest does not name next."""
        for member in self.manifest.members:
            name, size = self._next_header()
            if (name, size) != (member.name, member.size):
                reason = f"the manifest names {member.name} of {member.size} bytes, and the file has {name} of {size}"
                raise BackupFormatError(reason, hint=_HINT)
            yield MemberContent(member, self._file)
        if _read(self._file, 2 * _BLOCK).strip(b"\0") or _read_some(self._file, 1):
            raise BackupFormatError("the file has more than its manifest names", hint=_HINT)

    def _next_header(self) -> tuple[str, int]:
        block = _read(self._file, _BLOCK)
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        except (tarfile.HeaderError, ValueError) as error:
            raise BackupFormatError("the file has a header that is none", hint=_HINT) from error
        if info.type != tarfile.REGTYPE or info.size < 0:
            raise BackupFormatError(f"{info.name!r} in the backup is no regular file", hint=_HINT)
        return info.name, info.size


_NOT_OURS = "name a file that `squire backup` made, with a Squire that is not older"


def _read_some(file: gzip.GzipFile, count: int) -> bytes:
    try:
        return file.read(count)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:  # the first is an OSError, but not of the disk
        raise BackupFormatError(f"the file is damaged: {error}", hint=_HINT) from error


def _read(file: gzip.GzipFile, count: int) -> bytes:
    content = _read_some(file, count)
    if len(content) < count:
        raise BackupFormatError("the file ends in the middle", hint=_HINT)
    return content


def _check_magic(file: BinaryIO) -> None:
    if file.read(len(_MAGIC)) not in {_MAGIC, b""}:
        raise BackupFormatError("it is no backup: it is not compressed by gzip", hint=_NOT_OURS)
    file.seek(0)


@contextmanager
def open_backup(path: Path) -> Iterator[BackupReader]:
    """Open a backup for reading.

    Raises:
        NotFoundError: There is no such file.
        BackupFormatError: It is none, or is damaged; also raised while it is read.
    """
    try:
        file = open_regular(path)
    except FileNotFoundError:
        raise NotFoundError(f"there is no file {path}") from None
    except OSError as error:
        raise BackupFormatError(f"{path} cannot be read: {error.strerror}", hint="check the file") from error
    with file, gzip.GzipFile(fileobj=file, mode="rb") as unpacked:
        try:
            _check_magic(file)
            yield BackupReader(unpacked)
        except BackupFormatError as error:
            raise BackupFormatError(f"{path}: {error.message}", hint=error.hint) from error
