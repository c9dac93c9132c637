"""Model calls: a row has what was recorded."""

from dataclasses import asdict, astuple
from datetime import timedelta

import pytest
from sqlalchemy import select

from squire_pipelines.ledger.model_calls import (
    CallCosts,
    ModelCallRow,
    costs_by_provider,
    costs_of_attempts,
    record_model_call,
)
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


def test_costs_are_added_up_with_what_is_not_known_and_what_providers_say(ledger: Ledger, clock: Clock) -> None:
    def call(attempt: str, provider: str, **more: object) -> ModelCallRow:
        values: dict[str, object] = {"purpose": "agent", "model": "small", "ok": True, "latency_s": 1.0}
        values |= {"trace_id": TRACE, "attempt_id": attempt, "provider": provider}
        return ModelCallRow(**{**values, "input_tokens": 10, "output_tokens": 5, **more})  # type: ignore[arg-type] # by name

    with ledger.write() as tx:
        for row in (
            call("t1-1", "router", cost_usd=0.5, stated_usd=0.5, cost_difference_usd=0.1),
            call("t1-1", "router", cost_usd=0.3, stated_usd=0.25, cost_difference_usd=-0.05),
            call("t1-1", "own", estimated=True),
            call("t1-1", "own", input_tokens=0, output_tokens=0, ok=False),
            call("t1-2", "own", cost_usd=1.0),
        ):
            record_model_call(tx, row)
    with ledger.read() as tx:
        costs = costs_of_attempts(tx, ["t1-1", "t1-2", "t9-1"])
        stating = costs_by_provider(tx, clock.now - timedelta(days=1))
        later = costs_by_provider(tx, clock.now + timedelta(days=1))
    assert set(costs) == {"t1-1", "t1-2"}
    assert astuple(costs["t1-1"]) == pytest.approx((3, 1, 1, 2, 0.8, 0.75, 0.05))
    assert costs["t1-2"] == CallCosts(1, 0, 0, 0, 1.0, 0.0, 0.0)
    assert list(stating) == ["router"]
    assert astuple(stating["router"]) == pytest.approx((2, 0, 0, 2, 0.8, 0.75, 0.05))
    assert later == {}
