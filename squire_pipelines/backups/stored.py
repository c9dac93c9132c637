"""The backups in the store of files: which there are, and fetching one, where no home is left that has it."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath

from squire_pipelines.backups.kept import made_at_by_name
from squire_pipelines.errors import NotFoundError, RefusedError
from squire_pipelines.file_store.layout import BACKUPS
from squire_pipelines.file_store.store import FileStore


@dataclass(frozen=True, slots=True)
class StoredBackup:
    """A backup in the store: its name, when it was made by that, and its size in bytes."""

    name: str
    made_at: datetime
    bytes: int


def stored_backups(store: FileStore) -> tuple[StoredBackup, ...]:
    """Return the backups in the store, newest first; other files there do not count. Raises FileStoreError."""
    known = []
    for file in store.files(BACKUPS):
        name = PurePosixPath(file.key).name
        made_at = made_at_by_name(name)
        if made_at is not None:
            known.append(StoredBackup(name, made_at, file.size))
    return tuple(sorted(known, key=lambda backup: backup.made_at, reverse=True))


def fetch_backup(store: FileStore, target: Path, name: str | None = None) -> Path:
    """Copy a backup from the store; it appears whole or not at all, and is compared with the store's digest.

    Args:
        store: That has it.
        target: The new file, or the folder that it is put into.
        name: Of the backup; None for the newest.

    Raises:
        NotFoundError: There is no such backup, or none at all.
        RefusedError: The file is there already.
        FileStoreError: The store does not give it.
        OSError: It cannot be written.
    """
    known = stored_backups(store)
    backup = next((one for one in known if name in {None, one.name}), None)
    if backup is None:
        title = "backup" if name is None else f"backup {name}"
        raise NotFoundError(f"the store {store.place} has no {title}", hint="`squire backup list --store` shows all")
    file = target / backup.name if target.is_dir() else target
    if file.exists():
        raise RefusedError(f"{file} is there already", hint="name a new file, or a folder")
    store.get(f"{BACKUPS}{backup.name}", file)
    return file
