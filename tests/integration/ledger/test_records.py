"""Model calls and the audit trail: what is written is what is found."""

from dataclasses import asdict

from sqlalchemy import select

from squire_pipelines.ledger import records
from squire_pipelines.ledger.records import ModelCallRow
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import audit, model_calls
from tests.support.ledgers import TRACE, Clock


def test_a_model_call_is_kept_whole(ledger: Ledger, clock: Clock) -> None:
    call = ModelCallRow(
        purpose="agent",
        model="provider/" * 20 + "model",
        ok=False,
        input_tokens=1200,
        output_tokens=0,
        latency_s=1.25,
        trace_id=TRACE,
        repository="acme/shop",
        task_id="t1",
        attempt_id="t1-1",
        status=529,
        cost_usd=0.0125,
        error="overloaded",
    )
    with ledger.write() as tx:
        records.record_model_call(tx, call)
    with ledger.read() as tx:
        row = tx.execute(select(model_calls)).one()
    given = {name: value for name, value in asdict(call).items() if name != "at"}  # whose default is the moment
    assert {name: getattr(row, name) for name in given} == given
    assert row.at == clock.now


def test_an_audit_row_tells_who_did_what_to_whom(ledger: Ledger, clock: Clock) -> None:
    with ledger.write() as tx:
        records.record_audit(tx, actor="ann", action="approve", subject="t1", detail={"paths": ["a"]}, trace_id=TRACE)
        records.record_audit(tx, actor="ann", action="login", subject="ui")
    with ledger.read() as tx:
        first, second = tx.execute(select(audit).order_by(audit.c.id)).all()
    assert (first.actor, first.action, first.subject, first.at) == ("ann", "approve", "t1", clock.now)
    assert (first.detail, first.trace_id) == ({"paths": ["a"]}, TRACE)
    assert (second.detail, second.trace_id) == ({}, None)
