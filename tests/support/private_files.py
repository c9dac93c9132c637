"""What others than the owner may read of a folder, found by walking through it."""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@contextlib.contextmanager
def umask(mask: int) -> Iterator[None]:
    """Set this process's umask while the block runs."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def open_to_others(root: Path, *, but: tuple[str, ...] = ()) -> dict[str, str]:
    """Return what lies below `root` and has permissions for others, and which, but for names that match `but`.

    Sockets and links are left out: connecting needs the folder, and a link has no permissions.
    """
    return {
        str(path.relative_to(root)): oct(stat.S_IMODE(path.lstat().st_mode))
        for path in sorted(root.rglob("*"))
        if path.lstat().st_mode & _OTHERS
        and (path.is_dir() or path.is_file())
        and not path.is_symlink()
        and not any(path.relative_to(root).match(pattern) for pattern in but)
    }


def reachable_by_others(root: Path) -> list[str]:
    """Return the files below `root`, which others may enter, that others can reach and read."""
    reachable = []
    for path in sorted(root.iterdir()):
        mode = path.lstat().st_mode
        if path.is_symlink():
            continue
        if path.is_dir() and mode & (stat.S_IXGRP | stat.S_IXOTH):
            reachable += [f"{path.name}/{name}" for name in reachable_by_others(path)]
        elif path.is_file() and mode & _OTHERS:
            reachable.append(path.name)
    return reachable
