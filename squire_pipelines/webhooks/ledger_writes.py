"""Whether the ledger takes writes, which readiness has to know: on a full disk it answers, and stores nothing."""

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

    The thread that stores deliveries says how its commits went, and a thread of a probe asks. Neither waits for the
    other: at worst one commit more is made.

    Args:
        ledger: Open.
        clock: Gives the time in seconds.
    """

    ledger: Ledger
    clock: Callable[[], float] = time.monotonic
    _has_failed: bool = False
    _known_at: float = field(default=float("-inf"))

    def note(self, *, has_failed: bool) -> None:
        """Say how a commit went that has just ended."""
        self._has_failed, self._known_at = has_failed, self.clock()

    def can_write(self) -> bool:
        """Return whether the ledger takes writes; a small commit finds it out where none was made lately."""
        if self.clock() - self._known_at >= (FAILED_FOR_S if self._has_failed else KNOWN_FOR_S):
            try:
                self.ledger.commit_nothing()
            except LedgerError as error:
                _log.error("the ledger cannot be written", reason=str(error))
                self.note(has_failed=True)
            else:
                self.note(has_failed=False)
        return not self._has_failed
