"""Names of files that a change adds: whether every machine can hold them, and whether they are what they seem. Pure."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from posixpath import dirname, join, normpath

MAX_PATH_LENGTH = 4096
_MAX_WINDOWS_PATH = 250
"""Characters of a path: Windows holds 260, of which its drive and a folder for the clone take some."""
_MAX_NAME_BYTES = 255
_WINDOWS_DEVICE = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])", re.IGNORECASE)
# By which Windows also finds a longer name: `VSCODE~1` is `.vscode`.
_SHORT_NAME = re.compile(r"[^.]{1,6}~[0-9]{1,6}(?:\.[^.]{0,3})?")
_NOT_ON_WINDOWS = frozenset('<>:"|?*')


def is_dot_git(component: str) -> bool:
    """Return whether some file system reads the component as `.git`: HFS+ ignores marks, NTFS dots and streams."""
    visible = "".join(c for c in unicodedata.normalize("NFKC", component) if unicodedata.category(c) != "Cf")
    plain = visible.casefold().split(":", 1)[0].rstrip(". ")
    return plain == ".git" or re.fullmatch(r"git~\d+", plain) is not None


def unportable(path: str) -> str | None:
    """Say why some machine cannot hold a path, or a program takes it for an option; None when all can."""
    if len(path) > _MAX_WINDOWS_PATH:
        return "is longer than Windows can hold"
    for name in path.split("/"):
        if name.startswith("-"):
            return "has a name that programs take for an option"
        is_device = _WINDOWS_DEVICE.fullmatch(name.partition(".")[0].rstrip()) is not None
        if is_device or name != name.rstrip(". ") or _SHORT_NAME.fullmatch(name):
            return "has a name that Windows cannot hold, or by which it finds another file"
        if not _NOT_ON_WINDOWS.isdisjoint(name):
            return "has a sign in its name that Windows cannot hold"
        if len(name.encode("utf-8", "replace")) > _MAX_NAME_BYTES:
            return "has a name that is too long for most file systems"
    return None


def _folded(path: str) -> str:
    """Return what file systems take a path for that know neither case nor the way in which accents are written."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", path).casefold())


def prefixes(path: str) -> Iterator[str]:
    """Yield a path and the folders above it."""
    parts = path.split("/")
    yield from ("/".join(parts[:count]) for count in range(len(parts), 0, -1))


def folders_and_files(tree: Iterable[str]) -> frozenset[str]:
    """Return the paths of a tree's files, and of the folders above them."""
    known: set[str] = set()
    for path in tree:
        for prefix in prefixes(path):
            if prefix in known:
                break
            known.add(prefix)
    return frozenset(known)


def collisions(added: Collection[str], known: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Yield each added path with one of the files and folders that macOS or Windows take for the same."""
    if not added:
        return
    alike: dict[str, list[str]] = defaultdict(list)
    for path in known:
        alike[_folded(path)].append(path)
    for path in added:
        others = (other for prefix in prefixes(path) for other in alike[_folded(prefix)] if other != prefix)
        if other := next(others, None):
            yield path, other


def leads_out(path: str, target: str) -> bool:
    """Return whether a symbolic link may lead out of the repository, or into a `.git` folder."""
    up, depth, named = 0, len([part for part in dirname(path).split("/") if part]), False
    for part in target.split("/"):
        if part == "..":
            # After a named folder, which may be a link itself, `..` leads nobody knows where.
            up = up + 1 if not named else MAX_PATH_LENGTH
        elif part not in {"", "."}:
            named = True
    outside = not target or target.startswith(("/", "~")) or "\\" in target or ":" in target or up > depth
    return outside or any(is_dot_git(part) for part in target.split("/"))


def leads_to(path: str, target: str) -> str:
    """Return the path within the repository that a symbolic link leads to; `.` for the repository itself."""
    return normpath(join(dirname(path), target))
