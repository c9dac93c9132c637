"""Plans that are made again though no signal has changed, and what a model's plan replaces."""

from datetime import timedelta
from typing import Any

from squire_pipelines.domain.authority import TrustRules
from squire_pipelines.domain.plan_making import PlanUse, RetryWaits
from squire_pipelines.domain.plans import ApprovalRule
from squire_pipelines.domain.tasks import Plan, Risk, TaskSpec, TaskStatus
from squire_pipelines.ledger import bulk, plan_retries, plans, tasks
from squire_pipelines.ledger.covered_facts import covered_facts
from squire_pipelines.ledger.store import Ledger
from tests.support.ledgers import (
    ALL_APPROVED,
    REPOSITORY,
    TRACE,
    Clock,
    add_old_request,
    admission,
    collect,
    decide,
    dispatch,
    issue,
    plan,
    spec,
    wish,
)

WAITS = RetryWaits(base_s=300, cap_s=2000)
REF = "open_issue:7"
FAILED = {"provisional": True, "model_failed": True, "settings_digest": "d"}
BY_MODEL = {"model": "m", "planner": "llm:m", "settings_digest": "d"}


def save(ledger: Ledger, *specs: TaskSpec, **fields: Any) -> plans.SavedPlan:
    with ledger.write() as tx:
        made = plan(*specs).model_copy(update=fields)
        return plans.save(tx, made, (), trace_id=TRACE, run_id=None, waits=WAITS)


def admit(ledger: Ledger, saved: plans.SavedPlan, approval: ApprovalRule = ALL_APPROVED) -> tuple[str, ...]:
    with ledger.write() as tx:
        return plans.admit(tx, saved.id, admission(approval, 3))


def due(ledger: Ledger, digest: str = "d") -> tuple[str, ...]:
    with ledger.read() as tx:
        return plan_retries.due_again(tx, {REPOSITORY: digest})


def answered(ledger: Ledger) -> frozenset[str]:
    with ledger.read() as tx:
        return frozenset(covered_facts(tx, REPOSITORY, [issue(7)], times=1, rules=TrustRules()))


def statuses(ledger: Ledger, *ids: str) -> list[TaskStatus]:
    with ledger.read() as tx:
        return [tasks.get(tx, task_id).status for task_id in ids]


def test_a_model_that_failed_is_asked_again_after_growing_waits(ledger: Ledger, clock: Clock) -> None:
    waits = []
    for failures in range(1, 5):
        saved = save(ledger, **FAILED)
        assert saved.model_failures == failures
        assert saved.ask_again_at is not None
        waits.append((saved.ask_again_at - saved.created_at).total_seconds())
        assert due(ledger) == ()
        clock.forward(waits[-1])
        assert due(ledger) == (REPOSITORY,)
    assert waits == [300, 900, 2000, 2000]
    assert save(ledger, **BY_MODEL).model_failures == 0
    clock.forward(86_400)
    assert due(ledger) == ()
    assert save(ledger, **FAILED).model_failures == 1


def test_other_settings_are_a_reason_to_plan_again_and_those_of_old_plans_are_not_known(
    ledger: Ledger, clock: Clock
) -> None:
    save(ledger, **BY_MODEL)
    assert due(ledger) == ()
    assert due(ledger, "other goals") == (REPOSITORY,)
    with ledger.write() as tx:
        plan_retries.put_off(tx, REPOSITORY, timedelta(minutes=5), reason="no answer")
    assert due(ledger, "other goals") == ()
    clock.forward(300)
    assert due(ledger, "other goals") == (REPOSITORY,)
    save(ledger)
    assert due(ledger) == ()
    with ledger.read() as tx:
        assert plan_retries.due_again(tx, {}) == ()


def test_what_was_used_is_in_the_plans_row(ledger: Ledger) -> None:
    use = PlanUse(asks=2, input_tokens=10, output_tokens=3, cost_usd=0.5, latency_s=1.5)
    saved = save(ledger, **FAILED, use=use)
    with ledger.read() as tx:
        read = plans.get(tx, saved.id)
    assert (read.plan.use, read.plan.provisional, read.plan.model_failed) == (use, True, True)
    assert read.ask_again_at == saved.ask_again_at


def test_a_models_plan_replaces_what_a_provisional_one_proposed_and_nobody_began(ledger: Ledger) -> None:
    collect(ledger, issue(7))
    (first,) = admit(ledger, save(ledger, spec("a", signals=(REF,)), **FAILED))
    assert answered(ledger) == frozenset()
    assert admit(ledger, save(ledger, spec("a", signals=(REF,)), **FAILED)) == ()
    assert statuses(ledger, first) == [TaskStatus.READY]
    saved = save(ledger, spec("b", title="Better", signals=(REF,)), **BY_MODEL)
    (second,) = admit(ledger, saved)
    assert statuses(ledger, first, second) == [TaskStatus.CANCELLED, TaskStatus.READY]
    assert answered(ledger) == {REF}
    with ledger.read() as tx:
        assert tasks.get(tx, first).message == f"replaced by the plan {saved.id}, which the model made"


def test_what_was_begun_or_decided_by_a_person_stays(ledger: Ledger) -> None:
    collect(ledger, issue(7), issue(8))
    proposed = ApprovalRule(automatic=False, min_confidence=1.0, max_risk=Risk.LOW)
    specs = spec("a", signals=(REF,)), spec("b", signals=("open_issue:8",), title="Other")
    approved, untouched = admit(ledger, save(ledger, *specs, **FAILED), proposed)
    with ledger.write() as tx:
        decide(tx, approved, bulk.approve())
    admit(ledger, save(ledger, **BY_MODEL))
    assert statuses(ledger, approved, untouched) == [TaskStatus.READY, TaskStatus.CANCELLED]


def test_what_runs_stays_and_its_fact_becomes_no_second_task(ledger: Ledger) -> None:
    collect(ledger, issue(7))
    (first,) = admit(ledger, save(ledger, spec("a", signals=(REF,)), **FAILED))
    dispatch(ledger)
    assert answered(ledger) == {REF}
    admit(ledger, save(ledger, **BY_MODEL))
    assert statuses(ledger, first) == [TaskStatus.RUNNING]


def test_a_persons_own_request_is_not_replaced(ledger: Ledger) -> None:
    request = wish()
    with ledger.write() as tx:
        add_old_request(tx, request)
    (first,) = admit(ledger, save(ledger, spec("a", signals=(request.ref,)), **FAILED))
    admit(ledger, save(ledger, **BY_MODEL))
    assert statuses(ledger, first) == [TaskStatus.READY]


def failures(ledger: Ledger) -> plan_retries.ModelFailures | None:
    with ledger.read() as tx:
        return plan_retries.model_failures(tx)


def test_failures_in_a_row_are_counted_over_all_repositories_until_a_model_plans(ledger: Ledger, clock: Clock) -> None:
    assert failures(ledger) is None
    first = save(ledger, **FAILED, notes=("the model is down",))
    clock.forward(60)
    save(ledger)
    last = save(ledger, **FAILED, repository="o/other", notes=("down again",))
    counted = failures(ledger)
    assert counted is not None
    assert (counted.count, counted.since) == (2, first.created_at)
    assert (counted.last_plan, counted.reason) == (last.id, "down again")
    clock.forward(60)
    save(ledger, **BY_MODEL)
    assert failures(ledger) is None


def test_steps_come_back_with_the_plan(ledger: Ledger) -> None:
    made = Plan.model_validate(
        {**plan().model_dump(), "steps": [{"kind": "rules", "taken": True, "reason": "the model is down"}]}
    )
    with ledger.write() as tx:
        saved = plans.save(tx, made, (), trace_id=TRACE, run_id=None)
        assert plans.get(tx, saved.id).plan.steps == made.steps
