"""Files that appear whole or not at all, files of strangers, and locks between processes.

Nothing here knows what a file holds. Errors are the system's own (OSError); callers say what they mean.
"""

import contextlib
import errno
import fcntl
import itertools
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

from squire_pipelines.home import make_folder

_CHUNK_BYTES = 1024 * 1024
_POLL_S = 0.05
_NAMES_AT_ONCE = 1000
_OWNERS = 0o700


def fsync(path: Path) -> None:
    """Write a file, or the names in a folder, through to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def put_in_place(built: Path, path: Path, *, mode: int = 0o600) -> None:
    """Rename the closed file `built` over `path` on the same file system, so that a loss of power undoes neither."""
    built.chmod(mode)
    fsync(built)
    built.replace(path)
    fsync(path.parent)


@contextlib.contextmanager
def open_atomically(path: Path, *, mode: int = 0o600, durable: bool = True, replace: bool = True) -> Iterator[BinaryIO]:
    """Open a new file that gets the name `path` when the block ends; when the block fails, it is removed.

    Args:
        path: A symlink there is replaced and not followed.
        mode: The file's permissions, whatever the umask.
        durable: Whether to sync the file and its name, so that a loss of power leaves the old file or the new one.
        replace: Whether a file that is there may be replaced; without it FileExistsError is raised at the end.
    """
    # O_EXCL, O_NOFOLLOW and 0600, under a name that no other writer of the same file has.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            yield file
        if durable:
            fsync(temporary)
        if replace:
            temporary.replace(path)
        else:
            path.hardlink_to(temporary)  # unlike a rename, never over what another process wrote meanwhile
        if durable:
            fsync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes, *, mode: int = 0o600, durable: bool = True) -> None:
    """Write a small file as `open_atomically` does."""
    with open_atomically(path, mode=mode, durable=durable) as file:
        file.write(content)


def open_untrusted(path: Path | str, *, dir_fd: int | None = None) -> BinaryIO:
    """Open for reading what a stranger may have put at `path`: no symlink is followed, no pipe is waited for.

    Raises:
        OSError: It cannot be opened, or is no regular file.
    """
    return _open_regular(path, os.O_NOFOLLOW, dir_fd)


def open_regular(path: Path) -> BinaryIO:
    """Open a file of the user's for reading: a symlink is followed, no pipe is waited for.

    Raises:
        OSError: It cannot be opened, or is no regular file.
    """
    return _open_regular(path, 0, None)


def _open_regular(path: Path | str, flags: int, dir_fd: int | None) -> BinaryIO:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | flags, dir_fd=dir_fd)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is a folder" if stat.S_ISDIR(mode) else "it is no regular file")
    return os.fdopen(descriptor, "rb")


def copy_bounded(source: BinaryIO, target: BinaryIO, max_bytes: int) -> bool:
    """Copy at most `max_bytes`, and return whether that was all of the source."""
    left = max_bytes
    while left > 0 and (chunk := source.read(min(left, _CHUNK_BYTES))):
        target.write(chunk)
        left -= len(chunk)
    return not source.read(1)


def remove_tree(path: Path) -> None:
    """Remove a folder in which strangers wrote, however deep it is and whatever its permissions are; none is no error.

    No recursion, no symlink that is followed, and three open folders at most: what lies deeper than one level is
    moved up and removed from there.

    Raises:
        OSError: Something in it cannot be removed.
    """
    try:
        root = _open_folder(path)
    except FileNotFoundError:
        return
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, root)
        moved = 0
        while names := _some_names(root):
            for name in names:
                with contextlib.suppress(FileNotFoundError):  # another process removes it too
                    moved = _remove_entry(root, name, moved)
    with contextlib.suppress(FileNotFoundError):
        path.rmdir()


def _remove_entry(root: int, name: str, moved: int) -> int:
    """Remove a file, or a folder after its own folders were moved up beside it; return how many have been moved."""
    if not stat.S_ISDIR(os.stat(name, dir_fd=root, follow_symlinks=False).st_mode):
        os.unlink(name, dir_fd=root)
        return moved
    folder = _open_folder(name, dir_fd=root)
    try:
        while inner_names := _some_names(folder):
            for inner in inner_names:
                if stat.S_ISDIR(os.stat(inner, dir_fd=folder, follow_symlinks=False).st_mode):
                    os.close(_open_folder(inner, dir_fd=folder))  # only who may write in a folder can move it
                    moved += 1
                    os.rename(inner, _free_name(root, moved), src_dir_fd=folder, dst_dir_fd=root)
                else:
                    os.unlink(inner, dir_fd=folder)
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=root)
    return moved


def _free_name(folder: int, number: int) -> str:
    """Return a name that the stranger has not given to anything else."""
    name = f".removed-{number}"
    while True:
        try:
            os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return name
        name += "-"


def _some_names(folder: int) -> list[str]:
    with os.scandir(folder) as listing:
        return [entry.name for entry in itertools.islice(listing, _NAMES_AT_ONCE)]


def _open_folder(path: Path | str, *, dir_fd: int | None = None) -> int:
    """Open a folder and make sure that we may read and change it."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        folder = os.open(path, flags, dir_fd=dir_fd)
    except PermissionError:
        os.chmod(path, _OWNERS, dir_fd=dir_fd)
        folder = os.open(path, flags, dir_fd=dir_fd)
    if os.fstat(folder).st_mode & _OWNERS != _OWNERS:
        os.fchmod(folder, _OWNERS)
    return folder


def lock(path: Path, *, timeout_s: float = 0.0, shared: bool = False) -> AbstractContextManager[object]:
    """Take the lock whose file is `path`, and return what releases it at the end of a `with` block.

    The kernel releases it when its holder dies. It is not re-entrant: a second call waits for the first, in the same
    process too. The file is made, with its folder, and stays.

    Args:
        path: The lock's own file; nothing is written to it.
        timeout_s: How long to wait for other holders; 0 tries once.
        shared: Whether other shared holders may have it at the same time.

    Raises:
        TimeoutError: Another holder kept it.
    """
    make_folder(path.parent)
    if shared:
        return _lock_shared(path, timeout_s)
    from filelock import FileLock  # noqa: PLC0415 - 60 ms, which a command that locks nothing need not spend

    # Not thread-local: a thread may release what another has taken. No soft lock, which would outlive a killed holder.
    return FileLock(path, mode=0o600, thread_local=False, fallback_to_soft=False).acquire(
        timeout=timeout_s, poll_interval=_POLL_S
    )


def _lock_shared(path: Path, timeout_s: float) -> AbstractContextManager[object]:
    """Take flock(2)'s shared lock, which filelock does not offer; it and `lock`'s exclusive one exclude each other."""
    deadline = time.monotonic() + timeout_s
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600), "rb")
    while not lock_descriptor(file.fileno(), shared=True):
        if time.monotonic() >= deadline:
            file.close()
            raise TimeoutError
        time.sleep(_POLL_S)
    return file


def lock_descriptor(descriptor: int, *, shared: bool = False) -> bool:
    """Lock an open file until it is closed; return False when another process has it locked.

    For a file whose lock says that its writer lives: the lock ends with the descriptor, and needs no file of its own.
    """
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
