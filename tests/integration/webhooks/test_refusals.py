"""Counts of refused deliveries are kept until the ledger has them."""

from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest
from sqlalchemy import select

from squire_pipelines.errors import LedgerError
from squire_pipelines.ledger.audit import audit_page
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import delivery_refusals
from squire_pipelines.webhooks.refusals import RefusalCounts
from tests.support.gated_ledger import GatedLedger
from tests.support.ledgers import Clock


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


def test_while_a_ledger_takes_no_counts_they_stay_few_and_none_is_lost(ledger: Ledger) -> None:
    clock = Clock()
    counts = RefusalCounts(ledger, clock, most=2)
    for _ in range(4):
        counts.count(401, "signature", source="github")
        clock.forward(60)
    counts.record()
    with ledger.read() as tx:
        assert tx.execute(select(delivery_refusals.c.count).order_by(delivery_refusals.c.minute)).scalars().all() == [
            1,
            3,
        ]


def test_whoever_records_waits_for_what_is_being_recorded(ledger: Ledger) -> None:
    gated = GatedLedger(str(ledger.url))
    counts, ended = RefusalCounts(gated), list[str]()
    counts.count(401, "signature", source="github")

    def record(name: str) -> None:
        counts.record()
        ended.append(name)

    first, last = Thread(target=record, args=("first",)), Thread(target=record, args=("last",))
    first.start()
    assert gated.arrived.wait(60)
    last.start()
    last.join(0.2)  # it has nothing to write, and would be over
    gated.gate.set()
    first.join(60)
    last.join(60)
    assert ended == ["first", "last"]
    gated.close()
