"""Whether the ledger takes writes, which readiness has to know: on a full disk it answers, and stores nothing."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from squire_pipelines.errors import LedgerError
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.observability.logging import Component, get_logger

KNOWN_FOR_S = 30.0
"""So long after a commit that succeeded the ledger counts as one that takes writes, without a further one."""

FAILED_FOR_S = 2.0
"""So long after one that failed it is not tried again: probes may come without pause."""

_log = get_logger(Component.WEBHOOKS)


@dataclass(slots=True)
class LedgerWrites:
    """How the last commit went, and a small one where that is not known.

    The thread that stores deliveries says how its commits went, and the threads of probes ask. Nobody waits:
    one probe at a time commits, however many come, since a locked ledger keeps its thread for seconds.

    Args:
        ledger: Open.
        clock: Gives the time in seconds.
    """

    ledger: Ledger
    clock: Callable[[], float] = time.monotonic
    _has_failed: bool = False
    _known_at: float = field(default=float("-inf"))
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def note(self, *, has_failed: bool) -> None:
        """Say how a commit went that has just ended."""
        self._has_failed, self._known_at = has_failed, self.clock()

    def can_write(self) -> bool:
        """Return whether the ledger takes writes; a small commit finds it out where none was made lately."""
        is_old = self.clock() - self._known_at >= (FAILED_FOR_S if self._has_failed else KNOWN_FOR_S)
        if is_old and self._turn.acquire(blocking=False):
            try:
                self.ledger.commit_nothing()
            except LedgerError as error:
                _log.error("the ledger cannot be written", reason=str(error))
                self.note(has_failed=True)
            else:
                self.note(has_failed=False)
            finally:
                self._turn.release()
        return not self._has_failed
