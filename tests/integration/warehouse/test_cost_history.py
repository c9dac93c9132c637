"""What tasks cost by their kind and model, read from a published file."""

from collections.abc import Callable
from pathlib import Path

import pytest

from squire_pipelines.domain.cost_prediction import predict_cost
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.tasks import TaskKind
from squire_pipelines.ledger.model_calls import ModelCallRow, record_model_call
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.warehouse.cost_history import read_cost_history
from squire_pipelines.warehouse.publish import Publication
from tests.support.ledgers import TRACE, settle, start_attempt


def ended_task(ledger: Ledger, *costs: float | None, kind: TaskKind = TaskKind.FIX_CI, ends: bool = True) -> None:
    """A task whose agent called the model once for each of these costs."""
    attempt = start_attempt(ledger, kind=kind)
    with ledger.write() as tx:
        for cost in costs:
            row = ModelCallRow(
                purpose="agent",
                model="m",
                ok=True,
                input_tokens=1,
                output_tokens=1,
                latency_s=1,
                cost_usd=cost,
                trace_id=TRACE,
                task_id=attempt.task_id,
                attempt_id=attempt.id,
            )
            record_model_call(tx, row)
    if ends:
        settle(ledger, attempt, Cause.NO_CHANGES)


def test_the_range_is_that_of_whole_tasks_that_have_ended_and_whose_price_is_known(
    ledger: Ledger, warehouse: Path, publish: Callable[[], Publication]
) -> None:
    for cost in (0.1, 0.2, 0.3, 0.4, 0.5):
        ended_task(ledger, cost / 2, cost / 2)
    ended_task(ledger, 9.0, kind=TaskKind.OTHER)
    ended_task(ledger, None)
    ended_task(ledger, 7.0, ends=False)
    publish()
    history = read_cost_history(warehouse)
    costs = history["fix_ci", "m"]
    assert costs.tasks == 5
    assert (costs.low_usd, costs.usual_usd, costs.high_usd) == pytest.approx((0.14, 0.3, 0.46))
    assert history["other", "m"].tasks == 1
    assert predict_cost("codex", "m", "fix_ci", history).costs is not None
    assert "1 task of the kind other with m, and 5 are needed" in str(predict_cost("codex", "m", "other", history))
