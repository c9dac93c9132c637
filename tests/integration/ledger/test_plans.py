"""Plans: kept as they were proposed, admitted once and only when nothing was found."""

import pytest
from sqlalchemy import select, update

from squire_pipelines.domain.plans import ApprovalRule, PlanFinding
from squire_pipelines.domain.tasks import Risk, TaskSpec, TaskStatus
from squire_pipelines.errors import NotFoundError
from squire_pipelines.ledger import plans, tasks
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import plans as table
from squire_pipelines.ledger.tables import task_dependencies
from tests.support.ledgers import (
    ALL_APPROVED,
    REPOSITORY,
    TRACE,
    Clock,
    add_tasks,
    admission,
    collect,
    dispatch,
    issue,
    list_tasks,
    plan,
    spec,
)


def save(ledger: Ledger, *specs: TaskSpec, findings: tuple[PlanFinding, ...] = ()) -> str:
    with ledger.write() as tx:
        return plans.save(tx, plan(*specs), findings, trace_id=TRACE, run_id="run-1").id


def admit(ledger: Ledger, plan_id: str) -> tuple[str, ...]:
    with ledger.write() as tx:
        return plans.admit(tx, plan_id, admission(ALL_APPROVED, 3))


def dependencies(ledger: Ledger) -> set[tuple[str, str]]:
    with ledger.read() as tx:
        return {(row.task_id, row.depends_on) for row in tx.execute(select(task_dependencies))}


def test_a_plan_comes_back_as_it_was_saved(ledger: Ledger) -> None:
    findings = (PlanFinding("size", None, "21 tasks, the limit is 20"), PlanFinding("dependencies", "a", "no"))
    saved_id = save(ledger, spec("a", signals=("open_issue:1",), depends_on=("b",)), spec("b"), findings=findings)
    with ledger.read() as tx:
        saved = plans.get(tx, saved_id)
    assert saved.plan == plan(spec("a", signals=("open_issue:1",), depends_on=("b",)), spec("b"))
    assert saved.findings == findings
    assert (saved.trace_id, saved.admitted_at) == (TRACE, None)


def test_the_model_and_its_prompt_are_columns_of_the_plan(ledger: Ledger) -> None:
    by_model = plan(spec("a")).model_copy(update={"model": "m", "prompt_version": "planner-1"})
    with ledger.write() as tx:
        saved = plans.save(tx, by_model, (), trace_id=TRACE, run_id=None)
    by_rules = save(ledger)
    with ledger.read() as tx:
        rows = {row.id: (row.model, row.prompt_version) for row in tx.execute(select(table))}
        assert plans.get(tx, saved.id).plan == by_model
        assert plans.get(tx, by_rules).plan.model is None
        assert not {"model", "prompt_version"} & set(tx.execute(select(table.c.plan)).scalars().all()[0])
    assert rows == {saved.id: ("m", "planner-1"), by_rules: (None, None)}


def test_a_plan_that_another_version_made_is_read_as_far_as_it_makes_sense(ledger: Ledger) -> None:
    plan_id = save(ledger, spec("a", depends_on=("b",)), spec("b"))
    with ledger.write() as tx:
        stored = tx.execute(select(table.c.plan)).scalar_one()
        stored["tasks"][1] = {"key": "b", "mood": "odd"}
        odd = stored | {"weather": "fine"}
        findings = [{"check": "size", "severity": 3}]
        tx.execute(update(table).values(plan=odd, findings=findings))
    with ledger.read() as tx:
        saved = plans.get(tx, plan_id)
    assert [task.key for task in saved.plan.tasks] == ["a"]
    assert saved.findings == (PlanFinding("size", None, ""),)
    with ledger.write() as tx:
        tx.execute(update(table).values(findings=[]))
    assert len(admit(ledger, plan_id)) == 1


@pytest.mark.parametrize("odd", [[], "text", {"tasks": 1}])
def test_a_plan_that_cannot_be_read_has_no_tasks(ledger: Ledger, odd: object) -> None:
    plan_id = save(ledger, spec("a"))
    with ledger.write() as tx:
        tx.execute(update(table).values(plan=odd))
    with ledger.read() as tx:
        assert plans.get(tx, plan_id).plan == plan()


def test_a_plan_that_does_not_exist_is_not_found(ledger: Ledger) -> None:
    with ledger.read() as tx, pytest.raises(NotFoundError, match="'p-none'"):
        plans.get(tx, "p-none")


def test_the_latest_plan_of_a_repository(ledger: Ledger, clock: Clock) -> None:
    save(ledger, spec("a"))
    clock.forward(1)
    newest = save(ledger)
    with ledger.read() as tx:
        latest = plans.latest(tx, REPOSITORY)
        assert latest is not None
        assert latest.id == newest
        assert plans.latest(tx, "acme/other") is None


def test_repositories_whose_newest_plan_passed_and_is_not_admitted_are_named(ledger: Ledger, clock: Clock) -> None:
    def unadmitted() -> tuple[str, ...]:
        with ledger.read() as tx:
            return plans.unadmitted(tx)

    assert unadmitted() == ()
    first = save(ledger, spec("a"))
    assert unadmitted() == (REPOSITORY,)
    clock.forward(1)
    save(ledger, spec("b"), findings=(PlanFinding("size", None, "too many"),))
    assert unadmitted() == ()
    clock.forward(1)
    newest = save(ledger, spec("c"))
    assert unadmitted() == (REPOSITORY,)
    admit(ledger, newest)
    assert unadmitted() == ()
    admit(ledger, first)


def test_an_admitted_plan_becomes_tasks_once(ledger: Ledger, clock: Clock) -> None:
    plan_id = save(ledger, spec("a"), spec("b"))
    created = admit(ledger, plan_id)
    assert len(created) == 2
    assert admit(ledger, plan_id) == ()
    with ledger.read() as tx:
        assert plans.get(tx, plan_id).admitted_at == clock.now
        assert [(task.plan_id, task.status) for task in list_tasks(tx)] == [(plan_id, TaskStatus.READY)] * 2
        row = tx.execute(select(table)).one()
        assert (row.tasks_proposed, row.tasks_created) == (2, 2)
        assert row.planner == "rules"


def test_a_plan_with_findings_is_never_admitted(ledger: Ledger) -> None:
    plan_id = save(ledger, spec("a"), findings=(PlanFinding("rules", "a", "invented"),))
    assert admit(ledger, plan_id) == ()
    with ledger.read() as tx:
        assert plans.get(tx, plan_id).admitted_at is None
        assert list_tasks(tx) == ()


def test_ids_of_a_plan_sort_as_the_plan_does_and_are_all_different(ledger: Ledger) -> None:
    created = add_tasks(ledger, *(spec(f"k{number}") for number in range(200)))
    assert list(created) == sorted(set(created))
    with ledger.read() as tx:
        assert [tasks.get(tx, task_id).title for task_id in created] == [f"Do k{number}" for number in range(200)]


def test_the_same_fact_is_not_planned_twice(ledger: Ledger) -> None:
    collect(ledger, issue(1))
    assert len(add_tasks(ledger, spec("a", signals=("open_issue:1",)))) == 1
    assert add_tasks(ledger, spec("other words", title="Otherwise", signals=("open_issue:1",))) == ()


def test_a_fact_that_changed_is_planned_again(ledger: Ledger) -> None:
    collect(ledger, issue(1))
    (first,) = add_tasks(ledger, spec("a", signals=("open_issue:1",)))
    with ledger.write() as tx:
        tasks.cancel(tx, first, actor="ann", reason="so that nothing answers it any more")
    collect(ledger, issue(1, version="v2"))
    assert len(add_tasks(ledger, spec("a", signals=("open_issue:1",)))) == 1


def test_the_same_fact_in_another_repository_is_another_task(ledger: Ledger) -> None:
    assert len(add_tasks(ledger, spec("a"))) == 1
    assert len(add_tasks(ledger, spec("a"), repository="acme/other")) == 1


def test_a_new_task_may_depend_on_one_that_was_planned_before(ledger: Ledger) -> None:
    (first,) = add_tasks(ledger, spec("a", signals=("open_issue:1",)))
    (second,) = add_tasks(ledger, spec("again", signals=("open_issue:1",)), spec("b", depends_on=("again",)))
    assert dependencies(ledger) == {(second, first)}


def test_a_dependency_named_twice_counts_once(ledger: Ledger) -> None:
    first, second = add_tasks(ledger, spec("a"), spec("b", depends_on=("a", "a")))
    assert dependencies(ledger) == {(second, first)}


def test_two_keys_for_one_fact_make_one_task_that_does_not_wait_for_itself(ledger: Ledger) -> None:
    facts = ("open_issue:1",)
    (only,) = add_tasks(ledger, spec("a", signals=facts), spec("b", signals=facts, depends_on=("a",)))
    assert dependencies(ledger) == set()
    assert [attempt.task_id for attempt in dispatch(ledger)] == [only]


def test_two_keys_for_one_fact_make_no_ring_of_tasks_that_wait_for_each_other(ledger: Ledger) -> None:
    facts = ("open_issue:1",)
    first, second = add_tasks(
        ledger,
        spec("c", signals=facts, depends_on=("a",)),
        spec("b", signals=facts),
        spec("a", depends_on=("b",)),
    )
    assert dependencies(ledger) == {(first, second)}
    assert [attempt.task_id for attempt in dispatch(ledger)] == [second]


@pytest.mark.parametrize(
    ("approval", "status"),
    [
        (ApprovalRule(automatic=True, min_confidence=0.8, max_risk=Risk.MEDIUM), TaskStatus.READY),
        (ApprovalRule(automatic=True, min_confidence=0.81, max_risk=Risk.HIGH), TaskStatus.PROPOSED),
        (ApprovalRule(automatic=True, min_confidence=0, max_risk=Risk.LOW), TaskStatus.PROPOSED),
        (ApprovalRule(automatic=False, min_confidence=0, max_risk=Risk.HIGH), TaskStatus.PROPOSED),
    ],
)
def test_confidence_and_risk_decide_whether_a_task_waits_for_a_person(
    ledger: Ledger, approval: ApprovalRule, status: TaskStatus
) -> None:
    (task_id,) = add_tasks(ledger, spec("a", confidence=0.8, risk=Risk.MEDIUM), approval=approval)
    with ledger.read() as tx:
        task = tasks.get(tx, task_id)
        (event,) = tasks.events(tx, task_id)
    assert task.status is status
    assert (task.ready_at is None) == (status is TaskStatus.PROPOSED)
    assert (event.before, event.after, event.actor, event.trace_id) == (None, status, "planner:rules", TRACE)


def test_a_planner_with_a_long_name_can_plan(ledger: Ledger) -> None:
    long = plan(spec("a")).model_copy(update={"planner": "llm:" + "provider/" * 20 + "model"})
    with ledger.write() as tx:
        saved = plans.save(tx, long, (), trace_id=TRACE, run_id=None)
        assert len(plans.admit(tx, saved.id, admission(ALL_APPROVED, 3))) == 1


def test_a_plan_is_the_newest_one_also_after_a_clock_that_was_ahead(ledger: Ledger, clock: Clock) -> None:
    clock.forward(2 * 86_400)
    save(ledger, spec("ahead"))
    clock.forward(-2 * 86_400)
    second, third = save(ledger, spec("second")), save(ledger, spec("third"))
    with ledger.read() as tx:
        latest = plans.latest(tx, REPOSITORY)
        assert plans.unadmitted(tx) == (REPOSITORY,)
    assert latest is not None
    assert latest.id == third > second
