"""Makes backups one at a time in the folder of the settings, removes the oldest ones, and records each."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from squire_pipelines.backups.kept import backup_folder, backup_name, kept_backups
from squire_pipelines.backups.making import HomeBackup, Progress, back_up_home
from squire_pipelines.errors import RefusedError
from squire_pipelines.file_store.layout import BACKUPS
from squire_pipelines.file_store.opening import store_of
from squire_pipelines.files import lock
from squire_pipelines.home import make_folder
from squire_pipelines.ledger import HEAD_REVISION
from squire_pipelines.ledger.backup import record_backup
from squire_pipelines.ledger.store import Ledger, utc_now
from squire_pipelines.settings.model import Settings
from squire_pipelines.warehouse.sharing import archive_of

_UNFINISHED = re.compile(r"\.squire-\d{8}T\d{6}Z\.tar\.gz\.\w+(\.part)?")


def back_up_to(
    target: Path,
    settings: Settings,
    ledger: Ledger,
    *,
    config: Path,
    with_archive: bool,
    actor: str,
    progress: Progress,
) -> HomeBackup:
    """Make a backup and record in the audit trail that there is one. Raises as `back_up_home`, or FileStoreError.

    Nothing is written to a ledger of an earlier version: that is what a backup before an upgrade is of.
    """
    if with_archive:
        archive_of(settings, ledger)  # another machine may have written a part of it
    made = back_up_home(settings, ledger, target, config=config, with_archive=with_archive, progress=progress)
    if made.manifest.revision == HEAD_REVISION:
        tasks = made.manifest.counts.get("tasks", 0)
        record_backup(ledger, made.path, tasks=tasks, size=made.bytes, actor=actor)
    return made


def back_up_regularly(
    settings: Settings, ledger: Ledger, *, config: Path, with_archive: bool, actor: str, progress: Progress
) -> tuple[HomeBackup, tuple[Path, ...]]:
    """Make a backup in the folder of the settings, then remove the oldest ones there; return it and what was removed.

    Where a store of files is set, the backup is put there too; the job `clean` removes the oldest ones from it.

    Raises:
        RefusedError: Another process makes one, or as `back_up_home`.
        LedgerError: As `back_up_home`.
        FileStoreError: The backup is made, and the store does not take it.
    """
    folder = make_folder(backup_folder(settings))
    with _alone_in(folder):
        _remove_unfinished(folder)
        target = folder / backup_name(utc_now())
        made = back_up_to(
            target, settings, ledger, config=config, with_archive=with_archive, actor=actor, progress=progress
        )
        surplus = tuple(backup.path for backup in kept_backups(folder)[settings.backup.keep :])
        for path in surplus:
            path.unlink(missing_ok=True)
    store = store_of(settings)
    if store is not None:
        store.put(f"{BACKUPS}{made.path.name}", made.path)
    return made, surplus


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    try:
        making = lock(folder / ".lock")
    except TimeoutError:
        raise RefusedError(f"another process makes a backup in {folder}", hint="wait for it to end") from None
    with making:
        yield


def _remove_unfinished(folder: Path) -> None:
    """Remove what a killed backup left: nobody else makes one here now."""
    for path in folder.iterdir():
        if _UNFINISHED.fullmatch(path.name):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
