"""Makes the archive of an attempt's `in/` that its container fetches: regular files and folders, and nothing beside.

Every folder and file is opened by its parent's descriptor without following a symlink, so that no name leads out of
`in/`, whatever is put there meanwhile. The size is known before the first byte, so that a cut is noticed.
"""

import contextlib
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from squire_pipelines.errors import WorkspaceError
from squire_pipelines.files import open_untrusted

MAX_ENTRIES = 10_000
MAX_DEPTH = 16
CHUNK_BYTES = 256 * 1024
_PARTIAL = ".part"
_FOLDER_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC
_ANY_EXECUTES = 0o111


@dataclass(frozen=True, slots=True)
class _InputEntry:
    header: bytes
    path: PurePosixPath
    size: int | None

    @property
    def padding(self) -> int:
        return -(self.size or 0) % tarfile.BLOCKSIZE

    @property
    def total(self) -> int:
        return len(self.header) + (self.size or 0) + self.padding


class InputArchive:
    """What is in a folder `in/` now, as a tar archive of `size` bytes.

    Raises:
        WorkspaceError: It cannot be read, or has more entries or deeper folders than inputs ever have.
    """

    def __init__(self, inbox: Path) -> None:
        self._inbox = inbox
        self._entries: list[_InputEntry] = []
        try:
            root = os.open(inbox, _FOLDER_FLAGS)
            try:
                self._list(root, PurePosixPath())
            finally:
                os.close(root)
        except OSError as error:
            raise WorkspaceError(
                f"the attempt's inputs cannot be read: {error.strerror}", context={"path": str(inbox)}
            ) from error
        # Two empty blocks end an archive.
        self.size = sum(entry.total for entry in self._entries) + 2 * tarfile.BLOCKSIZE

    def _list(self, folder: int, path: PurePosixPath) -> None:
        with os.scandir(folder) as listing:
            for entry in sorted(listing, key=lambda entry: entry.name):
                if len(self._entries) >= MAX_ENTRIES or len(path.parts) >= MAX_DEPTH:
                    raise WorkspaceError(
                        f"the attempt's inputs have more than {MAX_ENTRIES} entries or are deeper than {MAX_DEPTH}"
                    )
                inner = path / entry.name
                if entry.is_dir(follow_symlinks=False):
                    self._entries.append(_InputEntry(_header(inner, None, 0o755), inner, None))
                    child = os.open(entry.name, _FOLDER_FLAGS, dir_fd=folder)
                    try:
                        self._list(child, inner)
                    finally:
                        os.close(child)
                elif entry.is_file(follow_symlinks=False) and not entry.name.endswith(_PARTIAL):
                    status = entry.stat(follow_symlinks=False)
                    mode = 0o755 if status.st_mode & _ANY_EXECUTES else 0o644
                    self._entries.append(_InputEntry(_header(inner, status.st_size, mode), inner, status.st_size))

    def chunks(self) -> Iterator[bytes]:
        """Yield the archive in pieces. Raises OSError where a file is another than it was when it was listed."""
        for entry in self._entries:
            yield entry.header
            if entry.size is not None:
                yield from self._content(entry.path, entry.size)
                yield bytes(entry.padding)
        yield bytes(2 * tarfile.BLOCKSIZE)

    def _content(self, path: PurePosixPath, size: int) -> Iterator[bytes]:
        with contextlib.ExitStack() as stack:
            folder = os.open(self._inbox, _FOLDER_FLAGS)
            stack.callback(os.close, folder)
            for part in path.parts[:-1]:
                folder = os.open(part, _FOLDER_FLAGS, dir_fd=folder)
                stack.callback(os.close, folder)
            file = stack.enter_context(open_untrusted(path.name, dir_fd=folder))
            left = size
            while left:
                chunk = file.read(min(CHUNK_BYTES, left))
                if not chunk:
                    raise OSError(f"{path} has become shorter while it was sent")
                yield chunk
                left -= len(chunk)


def _header(path: PurePosixPath, size: int | None, mode: int) -> bytes:
    """Return an entry's header: nobody's, without a time, and of no other kind than a file or a folder."""
    info = tarfile.TarInfo(path.as_posix())
    info.mode = mode
    info.size = size or 0
    info.type = tarfile.DIRTYPE if size is None else tarfile.REGTYPE
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
