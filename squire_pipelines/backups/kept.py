"""Which backups are kept in the folder of the settings, by their names. Loads neither the ledger nor a backup."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from squire_pipelines.settings.model import Settings

_NAME = re.compile(r"squire-(\d{8}T\d{6})Z\.tar\.gz")
_FORM = "%Y%m%dT%H%M%S"


@dataclass(frozen=True, slots=True)
class KeptBackup:
    """A backup that is in the folder, and when it was made by its name."""

    path: Path
    made_at: datetime


def backup_folder(settings: Settings) -> Path:
    """Return where backups are kept."""
    return settings.backup.folder or settings.home.backups


def kept_backups(folder: Path) -> tuple[KeptBackup, ...]:
    """Return the backups in a folder, newest first; other files there do not count."""
    if not folder.is_dir():
        return ()
    moments = ((path, made_at_by_name(path.name)) for path in folder.iterdir())
    kept = (KeptBackup(path, moment) for path, moment in moments if moment is not None)
    return tuple(sorted(kept, key=lambda backup: backup.made_at, reverse=True))


def made_at_by_name(name: str) -> datetime | None:
    """Return when a backup of this name was made; None for a name that is no backup's."""
    match = _NAME.fullmatch(name)
    return datetime.strptime(match[1], _FORM).replace(tzinfo=UTC) if match else None


def backup_name(moment: datetime) -> str:
    """Return the name of a backup that is made at a moment."""
    return f"squire-{moment:{_FORM}}Z.tar.gz"
