"""Finds what tools left in the clone and nobody meant as work: caches, dependencies, core dumps, nested repositories.

Git leaves it out by `info/exclude`, which the repository's own `.gitignore` can overrule. What is tracked stays: of a
pattern that a tracked file has, nothing is left out.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    # Git's arguments and its standard input, to its standard output.
    Git = Callable[[list[str], bytes], bytes]

MAX_NAMES = 20
_MAX_NAME_CHARS = 200
_MAX_FURTHER = 1000
_COMMIT_MODE = b"160000"
# What tools put into a folder that is theirs alone, wherever it lies and whatever it is called:
# https://docs.python.org/3/library/venv.html and https://bford.info/cachedir/
_MARKS = (b"pyvenv.cfg", b"CACHEDIR.TAG")
_ELF, _ELF_CORE = b"\x7fELF", 4
_SPECIAL = b"\\*?[ "


def untracked_patterns(git: Git, patterns: Iterable[str]) -> tuple[str, ...]:
    """Return the patterns that match no tracked file: what a repository keeps on purpose is its work."""

    def match_tracked(*some: str) -> bool:
        return bool(git(["ls-files", "-z", "--cached", "--ignored", *(f"--exclude={line}" for line in some)], b""))

    every = tuple(patterns)
    if not every or not match_tracked(*every):
        return every
    return tuple(pattern for pattern in every if not match_tracked(pattern))


def write_exclude(git_dir: Path, lines: Iterable[bytes]) -> None:
    """Has git ignore these patterns too, in the order of `gitignore`."""
    (git_dir / "info").mkdir(exist_ok=True)
    (git_dir / "info" / "exclude").write_bytes(b"".join(line + b"\n" for line in lines))


def added_repositories(git: Git, base_sha: str) -> bytes:
    """Return the paths, each with a zero byte, at which the index has a commit of another repository anew."""
    listed = git(["diff-index", "--cached", "--raw", "-z", "--no-renames", "--diff-filter=A", base_sha], b"")
    fields = listed.split(b"\0")[:-1]
    added = (fields[n + 1] for n in range(0, len(fields) - 1, 2) if fields[n].split(b" ")[1] == _COMMIT_MODE)
    return b"".join(path + b"\0" for path in added)


def further_leftovers(git: Git, root: Path) -> Iterator[bytes]:
    """Yield a pattern for each leftover that has no name to know it by: it says by its content what it is.

    Nested repositories, which git would refuse or keep as a commit that nobody has; virtual environments; folders that
    are marked as a cache; core dumps. At most 1,000 are looked for.
    """
    seen = 0
    for path in git(["ls-files", "-z", "--others", "--exclude-standard"], b"").split(b"\0")[:-1]:
        folder, _, name = path.rpartition(b"/")
        if not name:  # git lists the folder of a repository alone, and no other
            yield _pattern(folder) + b"/"
        elif name in _MARKS and folder:
            if not git(["ls-files", "-z", "--", f":(top,literal){os.fsdecode(folder)}"], b""):
                yield _pattern(folder) + b"/"
        elif not _may_be_core(name):
            continue
        elif _is_core(os.path.join(os.fsencode(root), path)):  # noqa: PTH118 - bytes
            yield _pattern(path)
        seen += 1
        if seen >= _MAX_FURTHER:
            return


def left_out(git: Git, git_dir: Path) -> list[str]:
    """Return what is left out by our patterns alone, and not by the repository's own: at most 20 names and a count."""
    exclude = f"--exclude-from={git_dir / 'info' / 'exclude'}"
    listed = git(["ls-files", "-z", "--others", "--ignored", "--directory", exclude], b"")
    fields = git(["check-ignore", "--verbose", "-z", "--no-index", "--stdin"], listed).split(b"\0")[:-1]
    # Of each path: the file that has the pattern, its line, the pattern, the path.
    names = [fields[n + 3] for n in range(0, len(fields) - 3, 4) if fields[n].endswith(b"info/exclude")]
    shown = [name.decode(errors="replace")[:_MAX_NAME_CHARS] for name in names[:MAX_NAMES]]
    return [*shown, f"and {len(names) - MAX_NAMES} more"] if len(names) > MAX_NAMES else shown


def _pattern(path: bytes) -> bytes:
    """Return the pattern of `gitignore` that matches one path from the root alone; `?` stands for an end of a line."""
    signs = (b"\\" + bytes((sign,)) if sign in _SPECIAL else bytes((sign,)) for sign in path)
    return b"/" + b"".join(signs).replace(b"\n", b"?").replace(b"\r", b"?")


def _may_be_core(name: bytes) -> bool:
    first, _, rest = name.partition(b".")
    return first in (b"core", b"vgcore") and (not rest or rest.isdigit())


def _is_core(path: bytes) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False  # a link, or closed to us: git says what it makes of it
    try:
        head = os.read(descriptor, 18)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    # Bytes 16 and 17 are the file's type, in the order that byte 5 names: https://man7.org/linux/man-pages/man5/elf.5.html
    return head.startswith(_ELF) and _ELF_CORE in head[16:18]
