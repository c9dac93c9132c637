"""What leaves the store of files, and how large it is: old attempts, surplus backups and publications.

Run once a day, by one process; what a run does not reach is reached by the next.
"""

import json
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from itertools import islice

from squire_pipelines.domain.store_urls import is_key
from squire_pipelines.file_store import layout
from squire_pipelines.file_store.store import FileStore
from squire_pipelines.ledger import adoption
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.settings.model import Settings

MAX_ATTEMPTS = 20_000
"""So many attempts are looked at in one run."""

MAX_COUNTED = 500_000
KEPT_PUBLICATIONS = 2
"""So many of the warehouse and of the report: whoever fetches one when the next is published comes to its end."""

SIZES_FILE = "sizes.json"
"""In the store: what the newest run has counted in it, which is asked for more often than counting is cheap."""

_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class StoreSizes:
    """How much there is in a store. `overdue` attempts are there longer than they may be, with a grace."""

    files: int
    bytes: int
    attempts: int
    overdue: int


@dataclass(frozen=True, slots=True)
class StoreRemovals:
    """How many attempts and files left the store."""

    attempts: int
    backups: int
    publications: int


def remove_from_store(ledger: Ledger, settings: Settings, store: FileStore) -> StoreRemovals:
    """Remove what the rules for the home's own folders remove there. Raises FileStoreError, LedgerError."""
    store.remove(layout.DOCTOR)  # of one that was interrupted
    return StoreRemovals(
        attempts=_remove_attempts(ledger, store, keep=timedelta(days=settings.agent.log_retention_days)),
        backups=_remove_all_but_newest(store, layout.BACKUPS, settings.backup.keep),
        publications=sum(
            _remove_all_but_newest(store, f"{layout.PUBLISHED}{name}/", KEPT_PUBLICATIONS)
            for name in list(store.folders(layout.PUBLISHED))
        ),
    )


def _remove_attempts(ledger: Ledger, store: FileStore, *, keep: timedelta) -> int:
    """Remove the attempts that ended over `keep` ago; one that is not in the ledger any more goes by its own age."""
    removed = 0
    names = islice(filter(is_key, store.folders(layout.ATTEMPTS)), MAX_ATTEMPTS)
    while some := list(islice(names, _AT_ONCE)):
        with ledger.read() as tx:
            before, ended = tx.now - keep, adoption.ended_at(tx, some)
        for name in some:
            prefix = layout.of_attempt(name)
            if name not in ended:
                is_old = all(file.changed_at < before for file in store.files(prefix))
            else:
                moment = ended[name]
                is_old = moment is not None and moment < before
            if is_old:
                store.remove(prefix)
                removed += 1
    return removed


def _remove_all_but_newest(store: FileStore, prefix: str, keep: int) -> int:
    """Remove all but the newest files of a folder, whose names are in the order of time."""
    names = [file.key for file in store.files(prefix)]
    return store.remove_files(names[: max(0, len(names) - keep)])


def measure_store(store: FileStore, *, old: datetime) -> StoreSizes:
    """Count what is in a store, and write it into the store for others. Raises FileStoreError.

    Args:
        store: The store.
        old: Attempts all of whose files were put there before this moment are overdue.
    """
    count = size = 0
    newest: dict[str, datetime] = {}
    for file in islice(store.files(""), MAX_COUNTED):
        count += 1
        size += file.size
        if file.key.startswith(layout.ATTEMPTS):
            name = file.key.split("/", 2)[1]
            newest[name] = max(newest.get(name, file.changed_at), file.changed_at)
    sizes = StoreSizes(count, size, len(newest), sum(moment < old for moment in newest.values()))
    store.replace(SIZES_FILE, json.dumps(asdict(sizes)).encode())
    return sizes


def stored_sizes(store: FileStore) -> StoreSizes | None:
    """Return what was counted last; None where nothing was. Raises FileStoreError."""
    content = store.read_small(SIZES_FILE)
    try:
        return StoreSizes(**json.loads(content)) if content is not None else None
    except (ValueError, TypeError):  # of another version
        return None
