"""Which file system a folder is on, and whether other machines may have it too, where SQLite loses what is written.

SQLite's locks and its log in shared memory work among the processes of one machine alone
(https://www.sqlite.org/wal.html, https://www.sqlite.org/faq.html#q5).
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from squire_pipelines.errors import ConfigError
from squire_pipelines.settings.model import Settings

_MOUNTS = Path("/proc/self/mountinfo")
_MAX_MOUNTS_BYTES = 4 * 2**20
_SHARED = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "smb2", "9p", "ceph", "glusterfs", "lustre", "gpfs", "beegfs"),
        *("afs", "coda", "ocfs2", "gfs", "gfs2", "pvfs2", "orangefs", "panfs", "wekafs", "moosefs", "prl_fs"),
        *("vboxsf", "vmhgfs", "ncpfs", "davfs", "acfs"),
    }
)
# Of FUSE, those that are of this machine alone; all others are taken for shared.
_LOCAL_FUSE = frozenset(
    {
        *("fuseblk", "fuse.fuse-overlayfs", "fuse.bindfs", "fuse.mergerfs", "fuse.gocryptfs", "fuse.encfs"),
        *("fuse.cryfs", "fuse.lxcfs", "fuse.ntfs-3g", "fuse.zfs", "fuse.ext2fuse", "fuse.unionfs", "fuse.exfat"),
    }
)
_ESCAPE = re.compile(r"\\([0-7]{3})")
_FIELDS_BEFORE = 5


def file_system_of(path: Path, mounts: str | None = None) -> str | None:
    """Return the kind of the file system that has a path, or is to have it; None where the system does not say.

    Args:
        path: Of a file or folder; what of it is not there yet will be where its folder is.
        mounts: The text of `/proc/self/mountinfo`, for tests.
    """
    if mounts is None:
        try:
            with _MOUNTS.open("rb") as file:
                mounts = os.fsdecode(file.read(_MAX_MOUNTS_BYTES))
        except OSError:
            return None  # this is no Linux
    place = os.path.realpath(path)
    best, kind = -1, None
    for point, mounted in _mounts(mounts):
        inside = point in {"/", place} or place.startswith(f"{point}/")
        if inside and len(point) >= best:  # of two at one point the later one lies above
            best, kind = len(point), mounted
    return kind


def _mounts(text: str) -> Iterator[tuple[str, str]]:
    """Yield each mount's point and kind, see proc(5)."""
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields, kinds = before.split(" "), after.split(" ")
        if len(fields) >= _FIELDS_BEFORE and kinds[0]:
            yield _ESCAPE.sub(lambda sign: chr(int(sign[1], 8)), fields[4]), kinds[0]


def is_shared(kind: str | None) -> bool:
    """Return whether other machines may have a file system of this kind too."""
    if kind is None:
        return False
    return kind in _SHARED or (kind.startswith("fuse") and kind not in _LOCAL_FUSE)


def shared_databases(settings: Settings, mounts: str | None = None) -> Iterator[tuple[str, Path, str]]:
    """Yield what SQLite is used for on a file system that machines may share: its name, its place, the file system."""
    places = {"ledger": settings.ledger_file}
    if settings.dagster_storage_url is None:
        places["storage of Dagster"] = settings.home.dagster
    for name, place in places.items():
        if place is not None and is_shared(kind := file_system_of(place, mounts)):
            yield name, place, str(kind)


def refuse_shared_databases(settings: Settings, mounts: str | None = None) -> None:
    """Raise ConfigError where SQLite would be used on a file system that machines may share."""
    if settings.pipeline.allow_shared_folder:
        return
    for name, place, kind in shared_databases(settings, mounts):
        raise ConfigError(
            f"the {name} is SQLite, and {place} is on a file system that machines may share ({kind}): what is written "
            "there can be lost",
            hint=SHARED_STEP,
        )


SHARED_STEP = (
    "set SQUIRE_HOME to a folder on a disk of this machine, or name a Postgres database in ledger_url; where no other "
    "machine has this folder, set pipeline.allow_shared_folder"
)
"""What to do about SQLite on such a file system."""
