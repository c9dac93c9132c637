"""The audit trail: who did what to whom."""

from sqlalchemy import select

from squire_pipelines.ledger.audit import record_audit
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import audit
from tests.support.ledgers import TRACE, Clock


def test_an_audit_row_tells_who_did_what_to_whom(ledger: Ledger, clock: Clock) -> None:
    with ledger.write() as tx:
        record_audit(tx, actor="ann", action="approve", subject="t1", detail={"paths": ["a"]}, trace_id=TRACE)
        record_audit(tx, actor="ann", action="login", subject="ui", trace_id=TRACE)
    with ledger.read() as tx:
        first, second = tx.execute(select(audit).order_by(audit.c.id)).all()
    assert (first.actor, first.action, first.subject, first.at) == ("ann", "approve", "t1", clock.now)
    assert (first.detail, first.trace_id) == ({"paths": ["a"]}, TRACE)
    assert (second.detail, second.trace_id) == ({}, TRACE)
