"""Counts the deliveries that the receiver refused, and records the counts in the audit trail."""

import threading
from collections import Counter
from datetime import UTC, datetime

from sqlalchemy.exc import SQLAlchemyError

from squire_pipelines.errors import LedgerError
from squire_pipelines.ledger import deliveries
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.metrics import counting as metrics
from squire_pipelines.metrics import families


class RefusalCounts:
    """Counts of refusals by status and reason; the reasons are the receiver's own, and few.

    Args:
        ledger: Where they are recorded.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
        self._counts: Counter[tuple[int, str]] = Counter()
        self._since = datetime.now(UTC)

    def count(self, status: int, reason: str) -> None:
        """Count one refusal."""
        metrics.count(families.DELIVERIES_REFUSED, str(status))
        with self._lock:
            self._counts[status, reason] += 1

    def record(self) -> None:
        """Record what was counted since the last time, a row for each status and reason. Raises LedgerError."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
            since, self._since = self._since, datetime.now(UTC)
        if not counts:
            return
        try:
            deliveries.record_refusals(self._ledger, counts, since=since)
        except (LedgerError, SQLAlchemyError):
            with self._lock:  # counted on, for the next time
                self._counts.update(counts)
                self._since = since
            raise
