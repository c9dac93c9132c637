"""The audit trail: who did what to whom."""

from sqlalchemy import select

from squire_pipelines.ledger.audit import audit_page, record_audit
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import audit
from tests.support.ledgers import TRACE, Clock


def test_an_audit_row_tells_who_did_what_to_whom(ledger: Ledger, clock: Clock) -> None:
    with ledger.write() as tx:
        record_audit(tx, actor="ann", action="approve", subject="t1", detail={"paths": ["a\ud800\0"]}, trace_id=TRACE)
        record_audit(tx, actor="ann", action="login", subject="ui", trace_id=TRACE)
    with ledger.read() as tx:
        first, second = tx.execute(select(audit).order_by(audit.c.id)).all()
    assert (first.actor, first.action, first.subject, first.at) == ("ann", "approve", "t1", clock.now)
    assert (first.detail, first.trace_id) == ({"paths": ["a\ufffd\ufffd"]}, TRACE)
    assert (second.detail, second.trace_id) == ({}, TRACE)


def test_a_page_is_found_by_action_actor_subject_and_time(ledger: Ledger, clock: Clock) -> None:
    rows = (("ann", "secret.read", "model-key"), ("bob", "secret.stored", "model-key"), ("bob", "secretly", "50%"))
    for actor, action, subject in rows:
        with ledger.write() as tx:
            record_audit(tx, actor=actor, action=action, subject=subject, trace_id=None)
        clock.forward(60)
    with ledger.read() as tx:
        third, second, first = audit_page(tx)
        assert audit_page(tx, action="secret.*") == (second, first)
        assert audit_page(tx, action="secret.read") == (first,)
        assert audit_page(tx, actor="bob", before=third.id) == (second,)
        assert audit_page(tx, subject="model") == (second, first)
        assert audit_page(tx, subject="%") == (third,)
        assert audit_page(tx, since=third.at, limit=5) == (third,)
