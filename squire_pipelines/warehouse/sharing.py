"""The archive, the warehouse and the report on several machines: put into the store of files, and fetched from there.

Without `files.url` nothing here does anything: all of it lies in the one home.
"""

import contextlib
import json
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import select

from squire_pipelines.errors import ConfigError
from squire_pipelines.file_store import layout
from squire_pipelines.file_store.errors import FileStoreError, StoredFileDamagedError, StoredFileMissingError
from squire_pipelines.file_store.fetched import FetchedFiles
from squire_pipelines.file_store.model import Fingerprint
from squire_pipelines.file_store.opening import store_of
from squire_pipelines.file_store.store import FileStore
from squire_pipelines.home import make_folder
from squire_pipelines.ledger.budgets import LimitsOf
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import archives
from squire_pipelines.ledger.tenants import record_tenants
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.settings.model import Settings
from squire_pipelines.warehouse.publish import Publication, publish_warehouse
from squire_pipelines.warehouse.settings_tables import PublishedTargets
from squire_pipelines.warehouse.tenant_files import publish_tenant_files

SharedKind = str
"""`warehouse` or `report`, and behind a hyphen the tenant whose alone it is."""

_ENDINGS = {"warehouse": "duckdb", "report": "html"}
_log = get_logger(Component.PIPELINE)


@dataclass(frozen=True, slots=True)
class SharedPublication:
    """What the small file beside the publications of a kind says: which is the newest."""

    key: str
    size: int
    sha256: str
    published_at: datetime

    def document(self) -> bytes:
        """Return it as JSON."""
        return json.dumps({**asdict(self), "published_at": self.published_at.isoformat()}).encode()

    @classmethod
    def read(cls, store: FileStore, kind: SharedKind) -> "SharedPublication | None":
        """Return the newest of a kind; None where there is none. Raises FileStoreError."""
        content = store.read_small(_pointer(kind))
        try:
            values = json.loads(content) if content is not None else None
            if values is None:
                return None
            # By their names: a newer version may say more.
            return cls(values["key"], values["size"], values["sha256"], _moment(values["published_at"]))
        except (ValueError, TypeError, KeyError):  # of another version: the next publication replaces it
            return None


def publish_shared(ledger: Ledger, settings: Settings, *, limits_of: LimitsOf, full: bool = False) -> Publication:
    """Publish the warehouse in the home, and put it into the store where one is set; see `publish_warehouse`.

    Raises:
        FileStoreError: A part of the archive is in the store, which does not give it.
        WarehouseError, LedgerError: See `publish_warehouse`.
    """
    record_tenants(ledger, settings.recorded_tenants)
    publication = publish_warehouse(
        ledger,
        settings.home.warehouse,
        settings.warehouse,
        limits_of=limits_of,
        targets=PublishedTargets.of(settings),
        full=full,
        archive=archive_of(settings, ledger),
    )
    share_publication(settings, "warehouse", settings.home.warehouse, publication.published_at)
    tenants = settings.tenant_names if settings.tenants else ()
    paths = publish_tenant_files(settings.home.warehouse, tenants, settings.home.warehouse_of, settings.warehouse)
    for path in paths:
        share_publication(settings, path.stem, path, publication.published_at)
    return publication


def share_publication(settings: Settings, kind: SharedKind, path: Path, published_at: datetime) -> bool:
    """Put a published file into the store; return whether it is there now.

    It is left out while the newest one there is younger than `files.publish_every_s`. A store in trouble is logged: the
    next publication tries again.
    """
    try:
        store = store_of(settings)
        if store is None:
            return False
        newest, least_age = SharedPublication.read(store, kind), timedelta(seconds=settings.files.publish_every_s)
        if newest is not None and published_at < newest.published_at + least_age:
            return False
        key = f"{layout.PUBLISHED}{kind}/{published_at:%Y%m%dT%H%M%S%fZ}.{_ENDINGS[kind.partition('-')[0]]}"
        with _as_it_is(path, settings.home.stored_files) as kept:
            stored = store.put(key, kept)
        pointer = SharedPublication(key, stored.size, stored.sha256 or "", published_at)
        store.replace(_pointer(kind), pointer.document())
    except (FileStoreError, ConfigError, OSError) as error:
        _log.warning("files.publication_not_stored", kind=kind, reason=str(error))
        return False
    return True


def readable_publication(settings: Settings, kind: SharedKind, path: Path) -> Path:
    """Return the published file to read: this home's own, or a copy of the newer one that another machine published.

    Raises:
        FileStoreError: There is none in this home, and the store does not answer.
    """
    store = store_of(settings)
    if store is None:
        return path
    try:
        newest = SharedPublication.read(store.quick(), kind)
        if newest is None or _published_at(path) >= newest.published_at:
            return path
        cache = FetchedFiles(settings.home.stored_files, settings.files.max_cache)
        return cache.fetch(store, newest.key) or path
    except FileStoreError as error:
        if not path.exists():
            raise
        _log.warning("files.older_publication_read", kind=kind, reason=error.message)
        return path


def archive_of(settings: Settings, ledger: Ledger) -> Path:
    """Return the archive's folder, with all files that the ledger knows and the store has.

    Raises:
        FileStoreError: A file that is missing here cannot be fetched.
    """
    archive, store = settings.home.archive, store_of(settings)
    if store is None:
        return archive
    with ledger.read() as tx:
        known = tx.execute(select(archives.c.name, archives.c.sha256)).all()
    for name, digest in known:
        path = archive / name
        if path.is_file():
            continue
        part = make_folder(path.parent) / f".{path.name}.{secrets.token_hex(4)}.building"
        try:
            store.get(f"{layout.ARCHIVE}{name}", part)
            if Fingerprint.of_file(part).sha256 != digest:
                raise StoredFileDamagedError(
                    f"the archive's file {name} in the store is not the one that was put there",
                    hint="restore it from a backup, or remove it there to go on without its rows",
                )
            part.replace(path)
        except StoredFileMissingError:
            _log.warning("files.archive_incomplete", file=name)
        finally:
            part.unlink(missing_ok=True)
    return archive


def share_archive(settings: Settings, ledger: Ledger) -> int:
    """Put the archive's files that the store lacks there, such as those from before it was set; return how many.

    Raises:
        FileStoreError: The store does not take them.
    """
    store = store_of(settings)
    if store is None:
        return 0
    with ledger.read() as tx:
        known = set(tx.execute(select(archives.c.name)).scalars())
    known -= {file.key.removeprefix(layout.ARCHIVE) for file in store.files(layout.ARCHIVE)}
    count = 0
    for name in sorted(known):
        if (settings.home.archive / name).is_file():
            store.put(f"{layout.ARCHIVE}{name}", settings.home.archive / name)
            count += 1
    return count


def _pointer(kind: SharedKind) -> str:
    return f"{layout.PUBLISHED}{kind}.json"


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _published_at(path: Path) -> datetime:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except FileNotFoundError:
        return datetime.min.replace(tzinfo=UTC)


@contextlib.contextmanager
def _as_it_is(path: Path, folder: Path) -> Iterator[Path]:
    """Yield another name of a file that may be replaced meanwhile. Raises OSError."""
    kept = make_folder(folder) / f".{path.name}.{secrets.token_hex(4)}"
    try:
        try:
            kept.hardlink_to(path)
        except FileNotFoundError:
            raise
        except OSError:  # another file system
            shutil.copyfile(path, kept)
        yield kept
    finally:
        kept.unlink(missing_ok=True)
