"""What the store of files remembers of pushed work, for a ledger that was restored from a backup of before.

Before a head is pushed, the task with its history is put into the store, named by that head. A ledger that was restored
knows neither attempts nor tasks of after its backup; by these files it takes them over again, and a later attempt knows
that the head of a pull request is ours.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

from squire_pipelines.domain import identity
from squire_pipelines.domain.change import Decision
from squire_pipelines.errors import ConfigError
from squire_pipelines.execution.lease import LeasedAttempt
from squire_pipelines.execution.stored_work import record_in_history
from squire_pipelines.file_store import layout
from squire_pipelines.file_store.errors import FileStoreError, StoredFileTakenError
from squire_pipelines.file_store.opening import store_of
from squire_pipelines.file_store.store import FileStore
from squire_pipelines.ledger import adoption
from squire_pipelines.ledger.exporting import export_task
from squire_pipelines.ledger.importing import ImportReport, import_tasks
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.observability.logging import Component, get_logger

_MAX_FILES = 1000
_MAX_LOST = 20
"""So many attempts of one task that the ledger does not know are looked for."""

_AT_ONCE = 500
_MAX_LINE = 64 * 2**20
_log = get_logger(Component.PIPELINE)


def record_pushed(leased: LeasedAttempt, head_sha: str, decision: str) -> None:
    """Put the task with its history into the store, before the head is pushed; a failure is logged.

    The ledger has it all: this is for the day on which that is lost, and its backup is older.
    """
    try:
        store = store_of(leased.settings)
        if store is None:
            return
        with leased.ledger.read() as tx:
            line = json.dumps(export_task(tx, leased.task.id), separators=(",", ":"))
        store.put_content(layout.of_pushed(leased.attempt.id, head_sha, decision), f"{line}\n".encode())
    except StoredFileTakenError:
        return  # an earlier try of this attempt has put it there
    except (FileStoreError, ConfigError) as error:
        _log.warning("files.not_stored", attempt=leased.attempt.id, file=layout.PUSHED, reason=error.message)


def pushed_heads(leased: LeasedAttempt) -> Mapping[str, Decision]:
    """Return the heads that attempts of the task have pushed or were about to, and how the policy had judged them.

    Attempts that the ledger does not know count too. A store in trouble is logged, and knows none.
    """
    heads: dict[str, Decision] = {}
    for number in range(1, leased.attempt.number + _MAX_LOST):
        attempt_id = identity.attempt_id(leased.task.id, number)
        keys = _files_of(leased, layout.of_attempt(attempt_id, f"{layout.PUSHED}/"))
        if keys is None or (not keys and number > leased.attempt.number):
            break
        pushed = (layout.pushed_of(key) for key in keys)
        heads |= {one[0]: Decision(one[1]) for one in pushed if one is not None and one[1] in set(Decision)}
    return heads


def _files_of(leased: LeasedAttempt, folder: str) -> list[str] | None:
    """Return the names of the files in a folder of the store; None where there is no store, or it does not answer."""
    try:
        store = store_of(leased.settings)
        return None if store is None else [file.key for file in islice(store.quick().files(folder), _MAX_FILES)]
    except (FileStoreError, ConfigError) as error:
        _log.warning("files.not_asked", task=leased.task.id, reason=error.message)
        return None


def set_aside_earlier(leased: LeasedAttempt) -> None:
    """Make room in the store where an attempt of the same name, which the ledger has lost, has left files there.

    An attempt without a workspace has put nothing there itself.

    Raises:
        FileStoreError: The store does not do it, and would not take this attempt's own work.
        OSError: There is no room for a copy.
    """
    if leased.attempt.base_sha is not None:
        return
    own = layout.of_attempt(leased.attempt.id)
    kept = (f"{own}{layout.EARLIER}/", f"{own}{layout.PUSHED}/")
    earlier = [key for key in _files_of(leased, own) or () if not key.startswith(kept)]
    store = store_of(leased.settings) if earlier else None
    if store is None:
        return
    run = (leased.attempt.run_id or "run")[:8]
    with tempfile.TemporaryDirectory(prefix="squire-earlier-") as name:
        for key in earlier:
            copy = Path(name) / "file"
            store.get(key, copy, durable=False)
            store.put(f"{own}{layout.EARLIER}/{run}/{key.removeprefix(own)}", copy)
    store.remove_files(earlier)
    record_in_history(
        leased,
        f"the store of files has {len(earlier)} files of an attempt of this name that the ledger does not know, as "
        f"after a restore; they are kept in {own}{layout.EARLIER}/{run}/",
    )


def take_over_pushed(ledger: Ledger, store: FileStore, *, max_attempts: int) -> ImportReport:
    """Take the tasks into the ledger that had work pushed after the backup from which the ledger was restored.

    Each comes with the attempts that it had by then; those it has already stay as they are.

    Args:
        ledger: It may be in use.
        store: Where the attempts are.
        max_attempts: Of tasks that may be tried again.

    Raises:
        FileStoreError: The store does not give them.
        LedgerError: The ledger does not answer.
    """
    newest: dict[str, tuple[int, str]] = {}  # by task: a later attempt's file has all that an earlier one's has
    for attempt_id in _unknown_attempts(ledger, store):
        task_id, _, number = attempt_id.rpartition("-")
        for file in store.files(layout.of_attempt(attempt_id, f"{layout.PUSHED}/")):
            if number.isdecimal():
                newest[task_id] = max(newest.get(task_id, (0, "")), (int(number), file.key))
    with tempfile.TemporaryDirectory(prefix="squire-tasks-") as name:
        export, part = Path(name) / "tasks.jsonl", Path(name) / "part"
        with export.open("wb") as lines:
            for _, key in (newest[task_id] for task_id in sorted(newest)):
                store.get(key, part, max_bytes=_MAX_LINE, durable=False)
                lines.write(part.read_bytes())
        return import_tasks(ledger, export, max_attempts=max_attempts)


def _unknown_attempts(ledger: Ledger, store: FileStore) -> Iterator[str]:
    names = store.folders(layout.ATTEMPTS)
    while some := list(islice(names, _AT_ONCE)):
        with ledger.read() as tx:
            known = adoption.ended_at(tx, some)
        yield from (attempt_id for attempt_id in some if attempt_id not in known)
