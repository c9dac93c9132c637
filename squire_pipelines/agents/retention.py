"""Removes the folders of attempts that ended long ago."""

import contextlib
import stat
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

from squire_pipelines.files import remove_tree
from squire_pipelines.observability.logging import Component, get_logger

_log = get_logger(Component.AGENT)
# A sweep is bounded; what is left is found by the next one.
MAX_FOLDERS = 5_000
_BATCH = 500


def sweep(
    attempts_dir: Path,
    ended_at: Callable[[Collection[str]], Mapping[str, datetime | None]],
    *,
    keep: timedelta,
    now: datetime,
    max_folders: int = MAX_FOLDERS,
) -> int:
    """Remove the folders of attempts that ended over `keep` ago; return how many.

    A folder whose attempt is not in the ledger (any more) goes by its own age. One that has not ended stays.

    Args:
        attempts_dir: Holds one folder for each attempt, named by its id.
        ended_at: When these attempts ended, None for one under way; without those that are not in the ledger.
        keep: For how long.
        now: By the ledger's clock.
        max_folders: How many are looked at, the oldest first.
    """
    before = now - keep
    folders = sorted(_folders(attempts_dir))
    # No folder is changed after its attempt's end, so that younger ones need not be looked up.
    old = [entry for changed, entry in islice(folders, max_folders) if changed < before.timestamp()]
    removed = 0
    for start in range(0, len(old), _BATCH):
        batch = old[start : start + _BATCH]
        known = ended_at([entry.name for entry in batch])
        for entry in batch:
            if entry.name in known:
                ended = known[entry.name]
                if ended is None or ended >= before:
                    continue
            removed += _remove(entry)
    return removed


def _folders(attempts_dir: Path) -> Iterator[tuple[float, Path]]:
    """Yield when each folder was changed last, and the folder; one that another process removes meanwhile is none."""
    with contextlib.suppress(FileNotFoundError):
        for entry in attempts_dir.iterdir():
            with contextlib.suppress(FileNotFoundError):
                status = entry.lstat()
                if stat.S_ISDIR(status.st_mode):
                    yield status.st_mtime, entry


def _remove(folder: Path) -> bool:
    try:
        remove_tree(folder)
    except OSError as error:
        _log.warning("agent.folder_left_behind", folder=str(folder), reason=str(error))
        return False
    return True
