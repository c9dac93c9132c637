"""The lock by which one process of a home evaluates and sends its alerts, while the others look on."""

import os
import threading
from pathlib import Path

from squire_pipelines.files import lock_descriptor
from squire_pipelines.home import make_folder
from squire_pipelines.observability.logging import Component, get_logger

ALERT_LOCK = "alerts.lock"
_log = get_logger(Component.ENDPOINT)


class AlertLock:
    """Is taken once it is free, and kept until `close` or the end of the process, whatever ends it.

    Without it two processes of one home would both send what they notice while the ledger is away, which is where each
    would see what the other has sent.

    Args:
        path: The lock's file. Nothing is written to it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._guard = threading.Lock()  # it is asked for by the thread that looks and by the one that sends
        self._descriptor: int | None = None
        self._is_told = False

    def is_ours(self) -> bool:
        """Return whether this process has the lock, after an attempt to take it.

        In a home that cannot be written each process sends: an alert that comes twice is better than none.
        """
        with self._guard:
            if self._descriptor is not None:
                return True
            try:
                make_folder(self._path.parent)
                descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            except OSError as error:
                self._log_once("alerts may come twice", reason=f"{self._path} cannot be opened: {error.strerror}")
                return True
            if lock_descriptor(descriptor):
                self._descriptor = descriptor
                return True
            os.close(descriptor)
            self._log_once("alerts are sent by another process of this home", path=str(self._path))
            return False

    def close(self) -> None:
        """Leave it to another process."""
        with self._guard:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None

    def _log_once(self, event: str, **values: str) -> None:
        if not self._is_told:
            _log.warning(event, **values)
        self._is_told = True
