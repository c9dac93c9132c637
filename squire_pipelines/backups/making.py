"""Makes a backup of a home while Squire runs: the ledger as one moment has it, then the files beside it."""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from squire_pipelines import __version__
from squire_pipelines.backups.contents import archive_files, settings_files
from squire_pipelines.backups.file_format import CHUNK_BYTES, BackupWriter
from squire_pipelines.backups.manifest import LEDGER, BackupManifest, BackupMember
from squire_pipelines.errors import LedgerError, RefusedError
from squire_pipelines.files import open_atomically, open_regular
from squire_pipelines.home import make_folder
from squire_pipelines.ledger.backup import Backup, count_rows, make_backup
from squire_pipelines.ledger.store import Ledger, utc_now
from squire_pipelines.ledger.transfer import copy_rows
from squire_pipelines.settings.model import Settings

SPARE_BYTES = 64 * 2**20
"""Room that a backup or a restore leaves on the disk."""

Progress = Callable[[str, int, int], None]
"""Called after each piece of work: what is done, how much of it, of how much."""


@dataclass(frozen=True, slots=True)
class HomeBackup:
    """A backup of a home; `bytes` is the size of its file."""

    path: Path
    bytes: int
    manifest: BackupManifest


def back_up_home(
    settings: Settings, ledger: Ledger, target: Path, *, config: Path, with_archive: bool, progress: Progress
) -> HomeBackup:
    """Write the new file `target`, which only its owner may read; it appears whole or not at all.

    Args:
        settings: Of the home.
        ledger: Its ledger.
        target: Its folder is made if need be.
        config: The file that the settings come from.
        with_archive: Whether to take what has left the ledger too.
        progress: See `Progress`.

    Raises:
        RefusedError: `target` is there already, or the disk has not enough room.
        NotFoundError: There is no ledger yet.
        LedgerError: It cannot be read, or the file cannot be written.
    """
    if target.exists() or target.is_symlink():
        raise _taken(target)
    with _explained(target):
        folder = make_folder(target.absolute().parent)
        _check_room(folder, settings, with_archive=with_archive)
        # In the folder of the backup: a disk that has room for the one is to have room for the other.
        with tempfile.TemporaryDirectory(dir=folder, prefix=f".{target.name}.") as name:
            made = _copy_ledger(ledger, Path(name) / LEDGER, progress)
            contents = [settings_files(settings, config)]
            contents += [archive_files(settings.home.archive)] if with_archive else []
            left_out = [text for part in contents for text in part.left_out]
            left_out += [] if with_archive else ["the archive of what has left the ledger, as was asked for"]
            files = [(LEDGER, made.path), *(file for part in contents for file in part.files)]
            manifest = BackupManifest(
                squire=__version__,
                made_at=utc_now(),
                revision=made.revision,
                database="sqlite" if ledger.is_sqlite else "postgresql",
                counts=count_rows(made.path),
                not_included=tuple(left_out),
                members=tuple(_digests(files, progress)),
            )
            _write(target, manifest, [path for _, path in files], progress)
    return HomeBackup(target, target.stat().st_size, manifest)


def _copy_ledger(ledger: Ledger, copy: Path, progress: Progress) -> Backup:
    """Write the ledger, wherever it is, as one file of SQLite, and check it."""

    def report(done: int, total: int) -> None:
        progress("copying the ledger", done, total)

    if ledger.is_sqlite:
        return make_backup(ledger, copy, progress=report)
    with closing(Ledger(f"sqlite:///{copy.with_name('rows.sqlite')}")) as store:
        store.ensure_schema()
        copy_rows(ledger, store, progress=report)
        return make_backup(store, copy)


def _check_room(folder: Path, settings: Settings, *, with_archive: bool) -> None:
    """Raise RefusedError where the disk cannot hold the backup and, meanwhile, a copy of the ledger."""
    file = settings.ledger_file
    needed = SPARE_BYTES + 2 * (_size(file) + _size(file.with_name(f"{file.name}-wal")) if file else 0)
    if with_archive:
        needed += sum(_size(path) for _, path in archive_files(settings.home.archive).files)
    check_room(folder, needed)


def check_room(folder: Path, needed: int) -> None:
    """Raise RefusedError where the disk of a folder has less room than that. Raises OSError."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise RefusedError(
            f"the disk of {folder} has {free // 2**20} MiB free, and up to {needed // 2**20} MiB are needed",
            hint="free some space, or name a folder on another disk; nothing was changed",
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _digests(files: Sequence[tuple[str, Path]], progress: Progress) -> Iterator[BackupMember]:
    for number, (name, path) in enumerate(files, 1):
        digest, size = hashlib.sha256(), 0
        with open_regular(path) as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
                size += len(chunk)
        yield BackupMember(name=name, size=size, sha256=digest.hexdigest())
        progress("reading files", number, len(files))


def _write(target: Path, manifest: BackupManifest, paths: Sequence[Path], progress: Progress) -> None:
    done, total = 0, manifest.bytes
    try:
        with open_atomically(target, replace=False) as file:
            writer = BackupWriter(file, manifest)
            for member, path in zip(manifest.members, paths, strict=True):
                with open_regular(path) as source:
                    for written in writer.add(member, source):
                        done += written
                        progress("writing", done, total)
            writer.close()
    except FileExistsError as error:
        raise _taken(target) from error


def _taken(target: Path) -> RefusedError:
    return RefusedError(f"{target} is there already", hint="name a new file, or a folder")


@contextmanager
def _explained(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LedgerError(
            f"the backup {target} cannot be made: {error.strerror or error}",
            hint="check the folder and the disk; nothing was changed",
        ) from error
