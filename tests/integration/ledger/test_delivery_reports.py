"""Which deliveries are to be reported, beside transactions that still write."""

from datetime import UTC, datetime, timedelta

from squire_pipelines.domain.deliveries import Effect
from squire_pipelines.ledger import deliveries
from squire_pipelines.ledger.delivery_effects import record_effect
from squire_pipelines.ledger.delivery_reports import settled_since
from squire_pipelines.ledger.store import Ledger
from tests.support.deliveries import record_delivery
from tests.support.ledgers import REPOSITORY, TRACE, Clock


def reported(ledger: Ledger) -> list[int]:
    with ledger.read() as tx:
        return [one.id for one in settled_since(tx, None, limit=10)]


def test_what_is_done_with_waits_for_a_transaction_that_began_before_and_still_writes(
    ledger: Ledger, clock: Clock
) -> None:
    if ledger.is_sqlite:
        return  # one writer at a time, by nature
    clock.now = datetime.now(UTC) + timedelta(minutes=1)  # the server's own clock says when a transaction began
    row = record_delivery(
        ledger, source="github", delivery_id="d-1", event="ping", action=None, repository=REPOSITORY, body=b"{}"
    ).id
    with ledger.write() as tx:
        record_effect(tx, row, Effect.PING, REPOSITORY, trace_id=TRACE)
        deliveries.mark_applied(tx, [row])
        deliveries.mark_collected(tx, [row])
    assert reported(ledger) == []
    with ledger.write() as writer:
        deliveries.request_collection(writer, [REPOSITORY], source="cli", trace_id=TRACE)
        clock.forward(60)
        assert reported(ledger) == []
    assert reported(ledger) == [row]
    with ledger.write() as writer:
        deliveries.request_collection(writer, [REPOSITORY], source="cli", trace_id=TRACE)
        clock.forward(700)
        assert reported(ledger) == [row]  # one that hangs keeps nothing back for ever
