"""The checks of a plan."""

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.budgets import Limit
from squire_pipelines.domain.plan_making import PlanStep, PlanUse, StepKind
from squire_pipelines.domain.plans import (
    BUDGET,
    RULES,
    SCHEMA,
    PlanFinding,
    SizeBounds,
    check_bounds,
    check_plan,
    check_use,
    leave_out,
    omit,
    uncertain_tasks,
)
from squire_pipelines.domain.tasks import EstimatedSize, LeftOutReason, Plan, TaskSpec


def plan(*tasks: TaskSpec) -> Plan:
    return Plan(repository="a/b", planner="rules", signals_digest="0", tasks=tasks)


def task(key: str, depends_on: Iterable[str] = (), signals: Iterable[str] = ()) -> TaskSpec:
    return TaskSpec(
        key=key, title=key, prompt=key, base_branch="main", depends_on=tuple(depends_on), signals=tuple(signals)
    )


def check(*tasks: TaskSpec, known: tuple[str, ...] = (), max_tasks: int = 100) -> tuple[PlanFinding, ...]:
    return check_plan(plan(*tasks), known_signals=known, max_tasks=max_tasks)


def test_a_good_plan_has_no_findings() -> None:
    tasks = (task("a", signals=["open_issue:1"]), task("b", ["a"]), task("c", ["a", "b"]))
    assert check(*tasks, known=("open_issue:1",), max_tasks=3) == ()
    assert check() == ()


@pytest.mark.parametrize(
    ("tasks", "finding"),
    [
        ((task("a"), task("a")), PlanFinding("schema", "a", "two tasks have the key 'a'")),
        (
            (task("a", ["x"]),),
            PlanFinding("schema", "a", "depends on 'x', which is no task of this plan"),
        ),
        ((task("a", ["a"]),), PlanFinding("schema", None, "the dependencies form a cycle: a -> a")),
        (
            (task("a", signals=["open_issue:9"]),),
            PlanFinding("rules", "a", "answers the signal 'open_issue:9', which was not seen"),
        ),
    ],
    ids=["key twice", "unknown dependency", "itself", "invented signal"],
)
def test_what_is_wrong_is_said_once_with_the_task(tasks: tuple[TaskSpec, ...], finding: PlanFinding) -> None:
    assert check(*tasks) == (finding,)


def test_a_plan_may_have_as_many_tasks_as_the_limit_and_not_one_more() -> None:
    tasks = [task(str(number)) for number in range(4)]
    assert check(*tasks, max_tasks=4) == ()
    assert check(*tasks, max_tasks=3) == (PlanFinding("rules", None, "4 tasks, the limit is 3"),)


def test_all_findings_come_in_the_order_of_the_checks() -> None:
    findings = check(task("a", ["x"], ["s"]), task("a", ["a"]), max_tasks=1)
    assert list(dict.fromkeys(finding.check for finding in findings)) == [SCHEMA, RULES]


def test_a_task_that_is_estimated_above_the_bounds_breaks_the_rules() -> None:
    large = task("a").model_copy(update={"size": EstimatedSize(files=6, lines=10)})
    assert list(check_bounds(plan(task("b"), large), SizeBounds(5, 500))) == [
        PlanFinding(RULES, "a", "it is estimated at 6 files, 10 lines; the limit is 5 files, 500 lines")
    ]


@pytest.mark.parametrize(
    ("use", "cap", "problem"),
    [
        (PlanUse(input_tokens=900, output_tokens=100, cost_usd=0.5), Limit(usd=0.5, tokens=1000), None),
        (PlanUse(input_tokens=900, output_tokens=101, cost_usd=0.1), Limit(tokens=1000), "may use 1000 tokens"),
        (PlanUse(cost_usd=0.51), Limit(usd=0.5), "may use 0.5000 USD"),
        (PlanUse(input_tokens=10**9, cost_usd=None), Limit(usd=0.5), None),
        (None, Limit(usd=0.1, tokens=1), None),
    ],
)
def test_a_plan_whose_model_used_more_than_it_may_fails_by_the_budget(
    use: PlanUse | None, cap: Limit, problem: str | None
) -> None:
    findings = list(check_use(plan().model_copy(update={"use": use}), cap))
    assert [finding.check for finding in findings] == ([BUDGET] if problem else [])
    assert all((problem or "") in finding.message for finding in findings)


def test_each_provider_that_was_asked_may_use_as_much() -> None:
    steps = tuple(PlanStep(kind=StepKind.ASK, taken=False, provider=name) for name in ("one", "two", "two"))
    asked = plan().model_copy(update={"steps": steps, "use": PlanUse(cost_usd=0.9)})
    assert list(check_use(asked, Limit(usd=0.5))) == []
    assert len(list(check_use(asked, Limit(usd=0.4)))) == 1


def test_tasks_below_the_confidence_are_named() -> None:
    sure, unsure = (task(key).model_copy(update={"confidence": value}) for key, value in (("a", 0.6), ("b", 0.59)))
    assert uncertain_tasks(plan(sure, unsure), 0.6) == (unsure,)


@st.composite
def acyclic(draw: st.DrawFn) -> list[TaskSpec]:
    """Tasks that depend only on earlier ones, in any order."""
    count = draw(st.integers(min_value=1, max_value=8))
    tasks = [
        task(f"k{number}", [f"k{other}" for other in draw(st.sets(st.integers(0, number - 1)))] if number else [])
        for number in range(count)
    ]
    return draw(st.permutations(tasks))


@given(acyclic())
def test_a_plan_without_a_cycle_passes_in_any_order(tasks: list[TaskSpec]) -> None:
    assert check(*tasks) == ()


@given(acyclic(), st.data())
def test_a_cycle_is_always_found_and_shown(tasks: list[TaskSpec], data: st.DataObject) -> None:
    keys = data.draw(st.lists(st.sampled_from([planned.key for planned in tasks]), min_size=1, unique=True))
    ring = dict(zip(keys, [*keys[1:], keys[0]], strict=True))
    with_ring = [
        task(planned.key, [*planned.depends_on, ring[planned.key]]) if planned.key in ring else planned
        for planned in tasks
    ]
    (finding,) = check(*with_ring)
    assert finding.check == "schema"
    shown = finding.message.partition(": ")[2].split(" -> ")
    assert shown[0] == shown[-1]
    depends = {planned.key: planned.depends_on for planned in with_ring}
    # The standard library walks against the direction of the dependencies.
    assert all(before in depends[after] for before, after in pairwise(shown))


@pytest.mark.parametrize(("files", "lines", "fits"), [(2, 10, True), (0, 0, True), (3, 10, False), (2, 11, False)])
def test_task_may_be_as_large_as_the_bounds_and_no_larger(files: int, lines: int, *, fits: bool) -> None:
    assert (SizeBounds(2, 10).excess(EstimatedSize(files=files, lines=lines)) is None) is fits


def test_task_without_an_estimate_is_not_too_large() -> None:
    assert SizeBounds(1, 1).excess(None) is None


def test_what_depends_on_a_task_that_is_left_out_is_left_out_too_in_whatever_order() -> None:
    tasks = (task("d", ["c"]), task("c", ["b"]), task("a"), task("b", ["x"]), task("x"), task("e", ["a"]))
    got = leave_out(plan(*tasks), [omit(task("x"), LeftOutReason.TOO_LARGE, "large")])
    assert [one.key for one in got.tasks] == ["a", "e"]
    assert {one.key: one.message for one in got.left_out} == {
        "x": "large",
        "b": "it depends on the task 'x', which is left out",
        "c": "it depends on the task 'b', which is left out",
        "d": "it depends on the task 'c', which is left out",
    }
    assert check_plan(got, known_signals=(), max_tasks=10) == ()
