"""Backups for tests: homes to make them of, and files that no Squire would write."""

import hashlib
import io
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from squire_pipelines.backups.file_format import BackupWriter
from squire_pipelines.backups.making import HomeBackup, back_up_home
from squire_pipelines.backups.manifest import BackupManifest, BackupMember
from squire_pipelines.home import Home
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.settings.model import Settings


def home_at(folder: Path) -> Home:
    """A home in one folder, as SQUIRE_HOME makes it."""
    return Home(config=folder, data=folder, cache=folder / "cache", state=folder)


def ignore_progress(_label: str, _done: int, _total: int) -> None:
    """Show nothing."""


def back_up(ledger: Ledger, target: Path, *, settings: Settings | None = None, archive: bool = True) -> HomeBackup:
    """Back up the home that the environment names, with this ledger."""
    settings = settings or Settings()
    return back_up_home(
        settings,
        ledger,
        target,
        config=settings.home.config_file,
        with_archive=archive,
        progress=ignore_progress,
    )


def manifest_of(files: dict[str, bytes], *, revision: str = "0001") -> BackupManifest:
    """A manifest that tells the truth about these files."""
    members = tuple(
        BackupMember(name=name, size=len(content), sha256=hashlib.sha256(content).hexdigest())
        for name, content in files.items()
    )
    return BackupManifest(
        squire="9.9",
        made_at=datetime(2026, 3, 1, tzinfo=UTC),
        revision=revision,
        database="sqlite",
        counts={},
        members=members,
    )


def write_backup(path: Path, files: dict[str, bytes], *, revision: str = "0001") -> Path:
    """Write a backup of these files, which are in their order."""
    manifest = manifest_of(files, revision=revision)
    with path.open("wb") as file:
        writer = BackupWriter(file, manifest)
        for member in manifest.members:
            for _ in writer.add(member, io.BytesIO(files[member.name])):
                pass
        writer.close()
    return path


@dataclass(frozen=True, slots=True)
class TarEntry:
    """An entry of a tar, of whatever type and name."""

    name: str
    content: bytes = b""
    type: bytes = tarfile.REGTYPE
    link: str = ""


def write_tar(path: Path, entries: Sequence[TarEntry]) -> Path:
    """Write a compressed tar with these entries."""
    with tarfile.open(path, "w:gz", format=tarfile.GNU_FORMAT) as tar:
        for entry in entries:
            info = tarfile.TarInfo(entry.name)
            info.size, info.type, info.linkname = len(entry.content), entry.type, entry.link
            tar.addfile(info, io.BytesIO(entry.content))
    return path
