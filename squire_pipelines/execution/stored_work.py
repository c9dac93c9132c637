"""Puts an attempt's files into the store that machines share: finished work before the ledger says so, then the rest.

Without `files.url` nothing here does anything: the attempt's folder is what lasts.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from squire_pipelines.agents.attempt_files import BUNDLE_FILE
from squire_pipelines.agents.model import AttemptFolder
from squire_pipelines.deadline import Deadline
from squire_pipelines.domain.states import EventSubject
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.errors import ConfigError, SquireError
from squire_pipelines.execution.lease import LeasedAttempt
from squire_pipelines.execution.usage_recorder import call_log_folder
from squire_pipelines.file_store import layout
from squire_pipelines.file_store.errors import FileStoreError, StoredFileLargeError, StoredFileTakenError
from squire_pipelines.file_store.opening import store_of
from squire_pipelines.file_store.store import FileStore
from squire_pipelines.ledger import adoption
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.transitions import EventContext, record_event
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.repeating_thread import RepeatingThread
from squire_pipelines.settings.model import Settings

STORED_FILE = "stored"
"""In the folder of an attempt all of whose files are in the store."""

MAX_LEFTOVERS = 50
"""So many attempts, which could not be put into the store when they ended, are put there at once."""

MAX_SEGMENT_BYTES = 2**20
_MAX_FILES = 50
_LONGEST_WAIT_S = 5.0
_log = get_logger(Component.PIPELINE)


def record_in_history(leased: LeasedAttempt, reason: str) -> None:
    """Write a sentence into the history of the attempt's task."""
    context = EventContext(
        task_id=leased.task.id,
        attempt_id=leased.attempt.id,
        actor=f"run:{leased.attempt.run_id}",
        reason=reason,
        trace_id=leased.attempt.trace_id,
    )
    with leased.ledger.write() as tx:
        record_event(tx, EventSubject.TASK, TaskStatus.RUNNING, TaskStatus.RUNNING, context)


def store_finished_work(
    leased: LeasedAttempt, folder: AttemptFolder, *, wait: Callable[[float], object] = time.sleep
) -> None:
    """Put what was kept of the agent's work into the store, before the ledger says that it is there to be published.

    Where the store is in trouble, the work waits for it for `files.patience_s` and is then published from this machine:
    that another one could take it over is worth less than the work itself. The task's history says so.

    Args:
        leased: The attempt.
        folder: Its folder.
        wait: Called with the seconds between two tries.

    Raises:
        StoredFileTakenError: The store has another work of this attempt's.
        LeaseLostError: The attempt is another run's.
    """
    if not leased.settings.files.url:
        return
    deadline, is_waiting = Deadline.after(leased.settings.files.patience_s), False
    while (error := _why_not_stored(leased, folder)) is not None:
        may_pass = not isinstance(error, StoredFileLargeError)
        if not may_pass or deadline.is_past or not leased.go_on():
            record_in_history(leased, f"the work is published from the machine that did it: {error.message}")
            return
        if not is_waiting:
            record_in_history(leased, f"the work waits for the store of files: {error.message}; {error.hint}")
        is_waiting = True
        wait(min(_LONGEST_WAIT_S, deadline.remaining_s))
    if is_waiting:
        record_in_history(leased, "the store of files has the work")


def _why_not_stored(leased: LeasedAttempt, folder: AttemptFolder) -> SquireError | None:
    """Put the work and its log into the store; return what was wrong. Raises StoredFileTakenError."""
    try:
        store = store_of(leased.settings)
        if store is not None:
            _put_kept(store, folder, leased.attempt.id)
            _put_log(store, folder, leased.attempt.id)
    except StoredFileTakenError:
        raise
    except (FileStoreError, ConfigError) as error:
        return error
    return None


def mark_pushing(settings: Settings, attempt_id: str, file: Path) -> None:
    """Say in the store, too, that the work may have been pushed; a failure is logged."""
    try:
        store = store_of(settings)
        if store is not None:
            store.put(layout.of_attempt(attempt_id, layout.PUSHING), file)
    except (FileStoreError, ConfigError) as error:
        _log.warning("files.not_stored", attempt=attempt_id, file=layout.PUSHING, reason=error.message)


def store_attempt(settings: Settings, attempt_id: str, *, quick: bool = False) -> bool:
    """Put all that lasts of an attempt into the store, when it has ended or is about to; return whether it is there.

    What fails is logged, and is tried again by `store_leftovers`.

    Args:
        settings: Name the home and the store.
        attempt_id: Of an attempt of this machine.
        quick: Whether its end waits for this, so that a store that does not answer is given up soon.
    """
    folder = AttemptFolder(settings.home.attempts / attempt_id)
    if not settings.files.url or not folder.root.is_dir():
        return False
    try:
        store = store_of(settings)
        if store is not None:
            store = store.quick() if quick else store
            _put_kept(store, folder, attempt_id)
            _put_log(store, folder, attempt_id)
            for path in _regular_files(call_log_folder(settings, attempt_id)):
                if path.suffix in {".jsonl", ".log"}:
                    _put(store, layout.of_attempt(attempt_id, f"{layout.CALLS}/{path.name}"), path)
            store.remove(layout.of_attempt(attempt_id, f"{layout.SEGMENTS}/"))
    except (FileStoreError, ConfigError, OSError) as error:
        _log.warning("files.attempt_not_stored", attempt=attempt_id, reason=str(error))
        return False
    (folder.root / STORED_FILE).touch(mode=0o600)
    return True


def store_leftovers(ledger: Ledger, settings: Settings, *, most: int = MAX_LEFTOVERS) -> int:
    """Put ended attempts of this machine into the store that could not be put there when they ended; return how many.

    The first that fails ends it: the store is still in trouble.
    """
    if not settings.files.url:
        return 0
    with contextlib.suppress(FileNotFoundError):
        waiting = [path.name for path in settings.home.attempts.iterdir() if not (path / STORED_FILE).exists()]
        with ledger.read() as tx:
            ended = [name for name, moment in adoption.ended_at(tx, waiting).items() if moment is not None]
        for count, attempt_id in enumerate(sorted(ended)[:most]):
            if not store_attempt(settings, attempt_id):
                return count
        return min(len(ended), most)
    return 0


class LogSegments(RepeatingThread):
    """Puts what an agent's log grows by into the store every few seconds, so that other machines can follow it.

    Args:
        settings: Name the store, and how often.
        attempt_id: Whose log it is.
        log: The file, which need not exist yet.
    """

    def __init__(self, settings: Settings, attempt_id: str, log: Path) -> None:
        super().__init__("squire-log-segments")
        self._settings = settings
        self._attempt_id = attempt_id
        self._log = log
        self._size: int | None = None
        self._is_failing = False

    def repeat(self) -> float:
        """Put the next piece into the store; see `RepeatingThread`."""
        every_s = self._settings.files.log_every_s
        try:
            if self._put_piece():
                every_s = 0.0  # there is more already
        except (FileStoreError, ConfigError, OSError) as error:
            if not self._is_failing:
                _log.warning("files.log_not_stored", attempt=self._attempt_id, reason=str(error))
            self._is_failing = True
        else:
            self._is_failing = False
        return every_s

    def _put_piece(self) -> bool:
        store = store_of(self._settings)
        if store is None or not self._log.is_file():
            return False
        if self._size is None:
            self._size = _size_of_segments(store, self._attempt_id)
        with self._log.open("rb") as file:
            file.seek(self._size)
            piece = file.read(MAX_SEGMENT_BYTES)
        if piece:
            store.put_content(layout.segment_key(self._attempt_id, self._size), piece)
            self._size += len(piece)
        return len(piece) == MAX_SEGMENT_BYTES


@contextlib.contextmanager
def shared_log(settings: Settings, attempt_id: str, log: Path) -> Iterator[None]:
    """Share a log with other machines for as long as the block lasts, where a store is set."""
    if not settings.files.url:
        yield
        return
    with LogSegments(settings, attempt_id, log):
        yield


def _size_of_segments(store: FileStore, attempt_id: str) -> int:
    """Return how much of a log is in the store: an earlier run of the attempt may have put some of it there."""
    last = None
    for last in store.files(layout.of_attempt(attempt_id, f"{layout.SEGMENTS}/")):  # noqa: B007 - the last one is used
        pass
    return layout.start_of(last.key) + last.size if last is not None else 0


def _put_kept(store: FileStore, folder: AttemptFolder, attempt_id: str) -> None:
    """Put the files of `keep`, of which the bundle must be the same as the one that may be there already."""
    for path in _regular_files(folder.keep):
        key = layout.of_attempt(attempt_id, f"{layout.KEEP}/{path.name}")
        if path.name == BUNDLE_FILE:
            store.put(key, path)
        else:
            _put(store, key, path)


def _put_log(store: FileStore, folder: AttemptFolder, attempt_id: str) -> None:
    for name in (layout.LOG, layout.TIMES):
        if (folder.root / name).is_file():
            _put(store, layout.of_attempt(attempt_id, name), folder.root / name)


def _put(store: FileStore, key: str, path: Path) -> None:
    """Put a file, of which the first version stays: a later run of the same attempt may have written another."""
    try:
        store.put(key, path)
    except (StoredFileTakenError, StoredFileLargeError) as error:
        _log.warning("files.not_stored", file=key, reason=error.message)


def _regular_files(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder of ours: no links, and none that is being written."""
    with contextlib.suppress(FileNotFoundError):
        paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
        yield from islice((path for path in paths if path.is_file() and not path.is_symlink()), _MAX_FILES)
