"""Counts the requests that the receiver refused by minute, and records the counts in the ledger."""

import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy.exc import SQLAlchemyError

from squire_pipelines.domain.deliveries import UNKNOWN_SENDER
from squire_pipelines.errors import LedgerError
from squire_pipelines.ledger import inbox
from squire_pipelines.ledger.inbox import CountedRefusal
from squire_pipelines.ledger.store import Ledger, utc_now
from squire_pipelines.metrics import counting as metrics
from squire_pipelines.metrics import families

MAX_COUNTS = 5000
"""While the ledger takes none, so many are counted by minute; further ones count for the last minute."""

_BAD_REQUEST, _NO_HTTP = 400, "it is no HTTP request"


class RefusalCounts:
    """Counts of refusals by minute, source, status and reason; the reasons are the receiver's own, and few.

    Args:
        ledger: Where they are recorded.
        clock: Gives the time.
        most: How many are counted by minute until they are recorded.
    """

    def __init__(self, ledger: Ledger, clock: Callable[[], datetime] = utc_now, *, most: int = MAX_COUNTS) -> None:
        self._ledger = ledger
        self._clock = clock
        self._most = most
        self._lock = threading.Lock()
        self._recording = threading.Lock()
        self._counts: Counter[CountedRefusal] = Counter()
        self._minute = datetime.min.replace(tzinfo=UTC)

    def count(self, status: int, reason: str, *, source: str) -> None:
        """Count one refusal."""
        metrics.count(families.DELIVERIES_REFUSED, str(status))
        with self._lock:
            if len(self._counts) < self._most:
                self._minute = self._clock().replace(second=0, microsecond=0)
            self._counts[CountedRefusal(self._minute, source, status, reason)] += 1

    def count_wrong_request(self) -> None:
        """Count a request that is no HTTP, of which nobody knows for whom it was meant."""
        self.count(_BAD_REQUEST, _NO_HTTP, source=UNKNOWN_SENDER)

    def record(self) -> None:
        """Record what was counted since the last time. Raises LedgerError.

        One that is under way is waited for, so that after the last one, at the end, all are in the ledger.
        """
        with self._recording:
            self._record()

    def _record(self) -> None:
        with self._lock:
            counts, self._counts = self._counts, Counter()
        if not counts:
            return
        try:
            inbox.record_refusals(self._ledger, counts)
        except (LedgerError, SQLAlchemyError):
            with self._lock:  # counted on, for the next time
                self._counts.update(counts)
            raise
