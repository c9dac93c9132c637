"""Two plans, task by task: which task is which, and what differs."""

from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.plan_comparison import Difference, FieldChange, compare_plans
from squire_pipelines.domain.tasks import EstimatedSize, TaskSpec


def task(key: str, *signals: str, title: str = "", **fields: object) -> TaskSpec:
    spec = TaskSpec(key=key, title=title or f"Task {key}", prompt="Do it.", base_branch="main", signals=signals)
    return spec.model_copy(update=fields)


def pairs(before: list[TaskSpec], after: list[TaskSpec]) -> list[tuple[Difference, str | None, str | None]]:
    return [
        (one.difference, one.before.key if one.before else None, one.after.key if one.after else None)
        for one in compare_plans(before, after)
    ]


def test_tasks_are_paired_by_their_facts_before_their_names() -> None:
    before = [task("a", "failed_ci:1"), task("b", "failed_ci:2")]
    after = [task("b", "failed_ci:1"), task("a", "failed_ci:2"), task("c", "failed_ci:3")]
    assert pairs(before, after) == [
        (Difference.CHANGED, "a", "b"),
        (Difference.CHANGED, "b", "a"),
        (Difference.ADDED, None, "c"),
    ]


def test_of_several_tasks_that_share_facts_the_most_alike_are_one() -> None:
    before = [task("x", "failed_ci:1", "failed_ci:2", "failed_ci:3")]
    after = [task("a", "failed_ci:1"), task("b", "failed_ci:2", "failed_ci:3")]
    assert pairs(before, after) == [(Difference.ADDED, None, "a"), (Difference.CHANGED, "x", "b")]


def test_a_second_wording_is_the_same_task_and_what_is_gone_is_named_last() -> None:
    before = [task("old", title="Write a tutorial for plugin authors"), task("gone", title="Rotate the signing keys")]
    after = [task("new", title="Plugin authors need a tutorial")]
    assert pairs(before, after) == [(Difference.CHANGED, "old", "new"), (Difference.REMOVED, "gone", None)]


def test_what_differs_is_said_field_by_field() -> None:
    before = task("a", "failed_ci:1", confidence=0.5, size=EstimatedSize(files=1, lines=10))
    after = task("a", "failed_ci:1", confidence=0.9, size=EstimatedSize(files=2, lines=10))
    (one,) = compare_plans([before], [after])
    assert one.changes == (
        FieldChange("confidence", "0.5", "0.9"),
        FieldChange("size", "1 files, 10 lines", "2 files, 10 lines"),
    )


_TASKS = st.lists(
    st.builds(
        lambda key, refs: task(key, *(f"failed_ci:{ref}" for ref in refs)),
        st.sampled_from("abcd"),
        st.sets(st.integers(0, 3)),
    ),
    max_size=5,
)


@given(_TASKS, _TASKS)
def test_each_task_of_either_plan_is_there_once(before: list[TaskSpec], after: list[TaskSpec]) -> None:
    compared = compare_plans(before, after)
    assert [one.after for one in compared if one.after is not None] == after
    earlier = sorted(one.before.model_dump_json() for one in compared if one.before is not None)
    assert earlier == sorted(one.model_dump_json() for one in before)


@given(_TASKS)
def test_a_plan_differs_in_nothing_from_itself(tasks: list[TaskSpec]) -> None:
    assert {one.difference for one in compare_plans(tasks, tasks)} <= {Difference.SAME, Difference.CHANGED}


def test_the_same_work_in_another_repository_is_another_task() -> None:
    before, after = task("a", title="Drop version 1", repository="o/api"), task("b", title="Drop version 1")
    assert pairs([before], [after.model_copy(update={"repository": "o/web"})]) == [
        (Difference.ADDED, None, "b"),
        (Difference.REMOVED, "a", None),
    ]
    assert pairs([before], [after.model_copy(update={"repository": "o/api"})]) == [(Difference.SAME, "a", "b")]
