"""The check of the store of files: whether it takes a file, gives it back and lets it go."""

import secrets
import time
from collections.abc import Iterator

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.diagnosis import Diagnosis
from squire_pipelines.errors import SquireError
from squire_pipelines.file_store.layout import DOCTOR
from squire_pipelines.file_store.model import Fingerprint
from squire_pipelines.file_store.opening import store_of
from squire_pipelines.file_store.store import FileStore

_CONTENT = b"squire doctor was here\n"


def check_files(context: CliContext) -> Iterator[Diagnosis]:
    """Write, read and remove a small file; nothing where no store is set, which the check of workers tells."""
    try:
        store = store_of(context.settings)
        if store is None:
            return
        took_s = try_store(store.quick())
    except SquireError as error:
        yield Diagnosis.of_error("files", error)
        return
    yield Diagnosis("files", "ok", f"{store.place}: a file was written, read and removed in {took_s:.1f} s")


def try_store(store: FileStore) -> float:
    """Write, read and remove a file of a name that no other check has; return the seconds. Raises FileStoreError."""
    began, prefix = time.monotonic(), f"{DOCTOR}{secrets.token_hex(8)}/"
    try:
        store.put_content(f"{prefix}file", _CONTENT)
        Fingerprint.of_content(_CONTENT).check(Fingerprint.of_content(store.read_small(f"{prefix}file") or b""), "it")
    finally:
        store.remove(prefix)
    return time.monotonic() - began
