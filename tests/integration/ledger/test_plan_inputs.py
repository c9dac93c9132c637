"""What plans were made from, as the ledger keeps it."""

import pytest

from squire_pipelines.domain.recorded_inputs import RecordedInputs
from squire_pipelines.errors import NotFoundError
from squire_pipelines.ledger import plan_inputs, plans
from squire_pipelines.ledger.store import Ledger
from tests.support.ledgers import TRACE, Clock, forget, issue, plan

INPUTS = RecordedInputs(
    repository="acme/shop",
    default_branch="main",
    signals=(issue(1, title="A nul \x00 and 'quotes'"),),
    is_whole=True,
    max_tasks=3,
    max_files=5,
    max_lines=500,
)


def save(ledger: Ledger) -> str:
    with ledger.write() as tx:
        made = plan().model_copy(update={"inputs": INPUTS})
        return plans.save(tx, made, (), trace_id=TRACE, run_id=None).id


def kept(ledger: Ledger, plan_id: str) -> RecordedInputs:
    with ledger.read() as tx:
        return plan_inputs.of_plan(tx, plan_id)


def test_inputs_are_kept_with_their_plan_until_they_are_old(ledger: Ledger, clock: Clock) -> None:
    old = save(ledger)
    assert kept(ledger, old) == INPUTS
    clock.forward(3600)
    new = save(ledger)
    assert forget(ledger, 1800)["plan_inputs"] == 1
    assert kept(ledger, new) == INPUTS
    with pytest.raises(NotFoundError, match=f"what the plan {old} was made from is not kept"):
        kept(ledger, old)


def test_there_are_never_more_than_those_of_the_newest_plans(
    ledger: Ledger, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_inputs, "MAX_KEPT", 2)
    ids = []
    for _ in range(3):
        ids.append(save(ledger))
        clock.forward(1)
    assert [kept(ledger, plan_id) for plan_id in ids[1:]] == [INPUTS, INPUTS]
    with pytest.raises(NotFoundError):
        kept(ledger, ids[0])
