"""Model calls: a row has what was recorded."""

from dataclasses import asdict

from sqlalchemy import select

from squire_pipelines.ledger.model_calls import ModelCallRow, record_model_call
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import model_calls
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
        record_model_call(tx, call)
    with ledger.read() as tx:
        row = tx.execute(select(model_calls)).one()
    expected = {name: value for name, value in asdict(call).items() if name != "at"}  # whose default is the moment
    assert {name: getattr(row, name) for name in expected} == expected
    assert row.at == clock.now
