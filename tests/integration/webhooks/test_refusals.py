"""Counts of refused deliveries are kept until the ledger has them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from squire_pipelines.errors import LedgerError
from squire_pipelines.ledger.audit import audit_page
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.webhooks.refusals import RefusalCounts


def test_counts_that_a_ledger_does_not_take_are_recorded_the_next_time(
    tmp_path: Path, open_at: Callable[..., Ledger]
) -> None:
    ledger = open_at(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    counts = RefusalCounts(ledger)
    counts.count(401, "signature", source="github")
    with pytest.raises(LedgerError):
        counts.record()  # it has no tables yet
    counts.count(401, "signature", source="github")
    ledger.ensure_schema()
    counts.record()
    counts.record()
    with ledger.read() as tx:
        (entry,) = audit_page(tx)
    assert (entry.action, entry.detail["count"]) == ("delivery.refused", 2)
