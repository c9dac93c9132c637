"""What a plan leaves out is named with its reason, signals and tasks alike."""

from squire_pipelines.domain.covered import CoveredBy, CoveredFact
from squire_pipelines.domain.tasks import Plan
from squire_pipelines.planning.left_out import left_out_of
from squire_pipelines.planning.rules import plan_by_rules
from squire_pipelines.planning.selection import PlanInputs
from tests.support.signal_samples import failed_check, issue, open_pr


def test_each_fact_that_becomes_no_task_is_named_once_with_its_reason() -> None:
    unjudged = issue(1, labels=("squire",)).model_copy(update={"verdict": None})
    signals = (unjudged, issue(2, labels=()), issue(3), issue(4), failed_check(), open_pr(5))
    covered = {
        "open_issue:3": CoveredFact(CoveredBy.TASK, "t3"),
        "open_issue:4": CoveredFact(CoveredBy.CLOSED, "t4"),
    }
    inputs = PlanInputs("o/r", signals, "main", ("squire", "bug"), covered, max_tasks=5)
    silent = Plan(repository="o/r", planner="llm:m", signals_digest="0")
    got = {one.name: (one.reason, one.message) for one in left_out_of(silent, inputs, covered)}
    assert {name: reason for name, (reason, _) in got.items()} == {
        "open_issue:1": "held",
        "open_issue:2": "not_chosen",
        "open_issue:3": "covered",
        "open_issue:4": "closed_before",
        failed_check().ref: "not_planned",
    }
    assert "t3" in got["open_issue:3"][1]
    assert "t4" in got["open_issue:4"][1]
    assert {one.name for one in left_out_of(plan_by_rules(inputs), inputs, covered)} == set(got) - {failed_check().ref}


def test_tasks_above_the_limit_and_such_that_were_made_before_are_named() -> None:
    inputs = PlanInputs("o/r", (failed_check(), issue(1), issue(2)), "main", ("squire", "bug"), (), max_tasks=2)
    plan = plan_by_rules(inputs)
    kept = plan.tasks[1].key
    got = left_out_of(plan, inputs, {}, made_before={kept: "t9"})
    assert [(one.name, one.reason) for one in got] == [("issue-2", "over_limit"), (kept, "made_before")]
    assert "planner.max_tasks" in got[0].message
    assert got[1].message == "the task t9 was made of the same before"
