"""What a file looks like without reading it, and when a change of it is over. Pure rules and one call of stat(2)."""

from dataclasses import dataclass
from pathlib import Path

SETTLE_S = 0.5
"""So long a file must have been left alone before it is read: editors save in place, in several writes."""

_NANOSECONDS = 1e9


@dataclass(frozen=True, slots=True)
class FileMark:
    """What differs between two states of a file: whoever writes, renames or links one changes some of it."""

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int


def mark_of(path: Path) -> FileMark | None:
    """Return the mark of the file that `path` leads to; None where there is none, or where it cannot be looked at."""
    try:
        status = path.stat()
    except OSError:
        return None  # whoever reads the file says why
    return FileMark(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def is_settled(file_mark: FileMark | None, *, seen_for_s: float, wall_s: float) -> bool:
    """Return whether a file has been left alone for long enough to be read.

    The time of its last write says so at once, unless that lies in the future, as on a file system of another machine.
    A file that is gone has none: between removing and renaming, an editor leaves a moment in which there is no file.

    Args:
        file_mark: What it looks like.
        seen_for_s: For how long it has been seen to look like that, in seconds.
        wall_s: The time by the clock on the wall, in seconds since 1970.
    """
    if seen_for_s >= SETTLE_S:
        return True
    if file_mark is None:
        return False
    return wall_s - file_mark.modified_ns / _NANOSECONDS >= SETTLE_S
