"""What another sender delivered, from the inbox to the asset, while GitHub does not answer."""

import json

from sqlalchemy import select

from squire_pipelines.domain.deliveries import DeliverySource
from squire_pipelines.domain.signals import PluginFact
from squire_pipelines.ledger import collections, deliveries
from squire_pipelines.ledger.inbox import IncomingDelivery, PackedDelivery, store
from squire_pipelines.ledger.tables import deliveries as delivery_table
from squire_pipelines.sensors.webhooks import webhooks
from tests.support.pipeline import HANDBOOK, QUIET, TRACE, Pipeline, checks, materialized

SENDER = '[hooks.deploys]\nreader = "generic"\n'


def deliver(pipeline: Pipeline, number: int, *facts: dict[str, str]) -> int:
    body = json.dumps(facts).encode()
    incoming = IncomingDelivery("deploys", f"d-{number}", "message", None, None, body, reads_body=True)
    return store(pipeline.ledger, [PackedDelivery.of(incoming)])[0].id


def test_a_delivery_is_a_signal_of_its_repository_after_one_run_that_asks_nobody(quiet_pipeline: Pipeline) -> None:
    quiet_pipeline.configure(SENDER)
    facts = [{"repository": name, "key": "1", "title": "It fails"} for name in (QUIET, HANDBOOK)]
    first = deliver(quiet_pipeline, 1, *facts)
    tick = quiet_pipeline.tick(webhooks)
    (done,) = tick.runs
    assert {name for name in materialized(done) if name[0] == "hooks"} == {("hooks", QUIET), ("hooks", HANDBOOK)}
    assert set(checks(done)) == {("hooks", "source_answered", QUIET), ("hooks", "source_answered", HANDBOOK)}
    with quiet_pipeline.ledger.read() as tx:
        assert deliveries.still_open(tx, [first]) == ()
        (signal,) = collections.active_signals(tx, QUIET)
    assert isinstance(signal.details, PluginFact)
    assert quiet_pipeline.tick(webhooks).runs == []


def test_what_is_read_beside_a_request_keeps_its_own_trace(quiet_pipeline: Pipeline) -> None:
    quiet_pipeline.configure(SENDER)
    delivery = deliver(quiet_pipeline, 1, {"repository": QUIET, "key": "1", "title": "It fails"})
    with quiet_pipeline.ledger.write() as tx:
        deliveries.request_collection(tx, [QUIET], source=DeliverySource.COMMAND, trace_id=TRACE)
    quiet_pipeline.tick(webhooks)
    with quiet_pipeline.ledger.read() as tx:
        columns = delivery_table.c["trace_id", "collected_trace_id", "repository"]
        row = tx.execute(select(*columns).where(delivery_table.c.id == delivery)).one()
    assert (row.collected_trace_id, row.repository) == (row.trace_id, QUIET)
    assert row.trace_id != TRACE


def test_without_a_repository_there_is_nothing_to_read_for(quiet_pipeline: Pipeline) -> None:
    quiet_pipeline.repositories = ()
    quiet_pipeline.configure(SENDER)
    deliver(quiet_pipeline, 1, {"repository": QUIET, "key": "1", "title": "It fails"})
    assert quiet_pipeline.tick(webhooks).runs == []
