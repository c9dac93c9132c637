"""A thread that prolongs the lease of an attempt while a step works, and that notices when the task is cancelled."""

import threading
import time
from types import TracebackType
from typing import Self

from squire_pipelines.errors import LeaseLostError, LedgerError
from squire_pipelines.ledger import attempts
from squire_pipelines.ledger.store import Ledger


class Heartbeat:
    """Prolongs a lease every third of its length until the block ends.

    `cancel_requested` is set when somebody cancelled the task, `lost` when the lease is another's. When the ledger does
    not answer for a while, the work goes on, and `last_error` says why the lease was not prolonged. When it has run out
    meanwhile, another attempt may be under way, so that it counts as lost.

    Args:
        lease_s: For how many seconds each beat prolongs the lease.
        handover_s: For how many the last one does, which leaves the lease to the next step; as the others if not given.
    """

    def __init__(
        self, ledger: Ledger, attempt_id: str, token: str, *, lease_s: float, handover_s: float | None = None
    ) -> None:
        self._ledger = ledger
        self._attempt_id = attempt_id
        self._token = token
        self._lease_s = lease_s
        self._handover_s = lease_s if handover_s is None else handover_s
        self._renewed = time.monotonic()
        self._stop = threading.Event()
        self.cancel_requested = threading.Event()
        self.lost = threading.Event()
        self.last_error: LedgerError | None = None
        self._thread = threading.Thread(target=self._beat, name=f"heartbeat-{attempt_id}", daemon=True)

    def __enter__(self) -> Self:
        self.beat_once()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=self._lease_s)
        if kind is None and not self.lost.is_set():
            # The whole lease is left to the next step, which may have to start a process or a container first.
            self._try_to_beat(self._handover_s)

    def beat_once(self, lease_s: float | None = None) -> None:
        """Prolong the lease now, by a beat's seconds if no others are given. Raises LeaseLostError, LedgerError."""
        started, lease_s = time.monotonic(), self._lease_s if lease_s is None else lease_s
        with self._ledger.write() as tx:
            cancelled = attempts.heartbeat(tx, self._attempt_id, self._token, lease_s=lease_s)
        self._renewed = started
        if cancelled:
            self.cancel_requested.set()

    def _beat(self) -> None:
        while not self._stop.wait(self._lease_s / 3) and not self.lost.is_set():
            self._try_to_beat()

    def _try_to_beat(self, lease_s: float | None = None) -> None:
        try:
            self.beat_once(lease_s)
            self.last_error = None
        except LeaseLostError:
            self.lost.set()
        except LedgerError as error:
            self.last_error = error
            if time.monotonic() - self._renewed > self._lease_s:
                self.lost.set()
