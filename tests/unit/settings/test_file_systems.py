"""SQLite on a file system that machines share is refused by its kind, as the system names it."""

from pathlib import Path

import pytest

from squire_pipelines.errors import ConfigError
from squire_pipelines.settings.file_systems import file_system_of, is_shared, refuse_shared_databases, shared_databases
from squire_pipelines.settings.model import Settings

LINE = "{id} 1 0:{id} / {point} rw,relatime shared:1 master:2 - {kind} source rw\n"


def mounts(**points: str) -> str:
    lines = [("/", "ext4"), *((f"/{name.replace('__', '/')}", kind) for name, kind in points.items())]
    return "".join(LINE.format(id=number, point=point, kind=kind) for number, (point, kind) in enumerate(lines))


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("/srv/squire/new/ledger.sqlite", "ext4"),
        ("/mnt/team/ledger.sqlite", "nfs4"),
        ("/mnt/team", "nfs4"),
        ("/mnt/teams/x", "ext4"),
        ("/mnt/team/local/x", "xfs"),
    ],
)
def test_the_nearest_mount_above_a_place_has_it(place: str, kind: str) -> None:
    assert file_system_of(Path(place), mounts(mnt__team="nfs4", mnt__team__local="xfs")) == kind


def test_of_two_mounts_at_one_point_the_later_one_counts_and_escapes_are_read() -> None:
    assert file_system_of(Path("/mnt/x"), mounts(mnt="nfs") + mounts(mnt="tmpfs")) == "tmpfs"
    assert file_system_of(Path("/a b/x"), LINE.format(id=1, point="/a\\040b", kind="cifs")) == "cifs"
    assert file_system_of(Path("/x"), "no mounts\n\n1 2 3 - \n") is None


@pytest.mark.parametrize(
    "kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "glusterfs", "lustre", "fuse.sshfs", "fuse"]
)
def test_kinds_that_machines_share(kind: str) -> None:
    assert is_shared(kind)


@pytest.mark.parametrize(
    "kind", ["ext4", "xfs", "btrfs", "tmpfs", "overlay", "zfs", "fuseblk", "fuse.fuse-overlayfs", None]
)
def test_kinds_of_one_machine(kind: str | None) -> None:
    assert not is_shared(kind)


def test_what_sqlite_keeps_there_is_refused_with_the_next_step_and_postgres_is_not() -> None:
    everywhere_nfs = LINE.format(id=1, point="/", kind="nfs4")
    with pytest.raises(ConfigError, match=r"the ledger is SQLite, and .*\(nfs4\): what is written") as caught:
        refuse_shared_databases(Settings(), everywhere_nfs)
    assert "SQUIRE_HOME" in caught.value.hint
    assert [name for name, _, _ in shared_databases(Settings(), everywhere_nfs)] == ["ledger", "storage of Dagster"]
    on_postgres = Settings.model_validate({"ledger_url": "postgresql://squire@db.test/squire"})
    refuse_shared_databases(on_postgres, everywhere_nfs)
    refuse_shared_databases(Settings.model_validate({"pipeline": {"allow_shared_folder": True}}), everywhere_nfs)
    refuse_shared_databases(Settings(), mounts())
