"""Opens stores: by any URL, for exports, and the one of the settings, which a process opens once."""

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from squire_pipelines.domain.store_urls import EXTRAS, shown_url
from squire_pipelines.errors import ConfigError
from squire_pipelines.file_store.folder import FolderBackend
from squire_pipelines.file_store.model import StoreBackend
from squire_pipelines.file_store.store import FileStore, StoreLimits
from squire_pipelines.secret_names import FILES_KEY, FILES_KEY_ID
from squire_pipelines.secrets.lookup import find_secret
from squire_pipelines.settings.model import Settings

if TYPE_CHECKING:
    from squire_pipelines.secrets.sources import SecretSources
    from squire_pipelines.sections.files import FileSettings

_S3 = frozenset({"s3", "s3a"})
_MAX_STORES = 4


def folder_of(url: str) -> Path | None:
    """Return the folder that a path or a URL with `file://` means; None for a store."""
    return None if "://" in url and not url.startswith("file://") else Path(url.removeprefix("file://"))


def open_filesystem(url: str, **options: Any) -> tuple[Any, str]:
    """Return fsspec's file system for a URL, and the path that the URL means there.

    Args:
        url: With a scheme.
        options: The library's own.

    Raises:
        ConfigError: The library for such stores is not installed.
    """
    import fsspec  # type: ignore[import-untyped]  # noqa: PLC0415 - only where a store is named

    scheme = urlsplit(url).scheme
    try:
        filesystem, root = fsspec.core.url_to_fs(url, **options)
    except ImportError as error:
        extra = EXTRAS.get(scheme)
        hint = f"install squire-pipelines[{extra}]" if extra else str(error)
        raise ConfigError(f"the library for {scheme}:// is not installed", hint=hint) from error
    return filesystem, str(root)


def open_store(files: "FileSettings", sources: "SecretSources") -> FileStore:
    """Open the store of these settings, whose URL is set; nothing is asked of it yet.

    Raises:
        ConfigError: Its library is not installed, or a secret cannot be read.
    """
    limits = StoreLimits(files.timeout_s, files.tries, files.max_object)
    place = shown_url(files.url)
    folder = folder_of(files.url)
    backend = FolderBackend(folder) if folder is not None else _open_bucket(files, sources, place)
    return FileStore(backend, limits, place)


def _open_bucket(files: "FileSettings", sources: "SecretSources", place: str) -> StoreBackend:
    from squire_pipelines.file_store.objects import BucketBackend, FilesystemBackend  # noqa: PLC0415 - not for folders

    if urlsplit(files.url).scheme not in _S3:
        return FilesystemBackend(*open_filesystem(files.url, skip_instance_cache=True), place)
    key_id, key = find_secret(FILES_KEY_ID, sources), find_secret(FILES_KEY, sources)
    filesystem, root = open_filesystem(
        files.url,
        key=key_id.reveal() if key_id else None,
        secret=key.reveal() if key else None,
        endpoint_url=files.endpoint_url,
        # Tries are ours alone, so that they have one bound, and each is logged.
        config_kwargs={
            "connect_timeout": files.timeout_s,
            "read_timeout": files.timeout_s,
            "retries": {"mode": "standard", "total_max_attempts": 1},
        },
        use_listings_cache=False,
        skip_instance_cache=True,
    )
    filesystem.retries = 1
    return BucketBackend(filesystem, root, place)


_stores: dict[tuple[int, "FileSettings"], FileStore] = {}
_lock = threading.Lock()


def _release_lock() -> None:
    """Make a new lock in a process that was forked while another thread of its parent had the old one."""
    global _lock  # noqa: PLW0603 - one for each process
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_release_lock)


def store_of(settings: Settings) -> FileStore | None:
    """Return the store of the settings, opened once in a process; None where there is none but the home.

    Raises:
        ConfigError: Its library is not installed, or a secret cannot be read.
    """
    files = settings.files
    if not files.url:
        return None
    with _lock:
        place = os.getpid(), files  # connections of another process, from which this one was forked, are not ours
        store = _stores.get(place)
        if store is None or store.was_denied:  # the credentials may have been changed since
            store = open_store(files, settings.house_sources)
            while len(_stores) >= _MAX_STORES:
                _stores.pop(next(iter(_stores)))
            _stores[place] = store
        return store
