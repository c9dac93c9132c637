import json
from collections.abc import Sequence
from typing import Any

from squire_pipelines.domain.plans import PlanFinding, check_dependencies, check_keys
from squire_pipelines.domain.tasks import Plan, TaskSpec
from squire_pipelines.planning.salvage import Salvage, salvage
from squire_pipelines.planning.schema import PlanDraft
from tests.support.task_drafts import task_draft


def task(key: str, **fields: Any) -> dict[str, Any]:
    return task_draft(key=key, title=key, **fields)


def check(draft: PlanDraft) -> Sequence[PlanFinding]:
    tasks = tuple(TaskSpec.model_validate(t.model_dump()) for t in draft.tasks)
    plan = Plan(repository="o/r", planner="p", signals_digest="d", tasks=tasks)
    wrong = [PlanFinding("x", t.key, "is on another branch") for t in draft.tasks if t.base_branch != "main"]
    return [*wrong, *check_keys(plan), *check_dependencies(plan)]


def take(value: Any, *, cut: int | None = None) -> Salvage | None:
    return salvage([json.dumps(value)[:cut]], check)


def keys(parsed: Salvage | None) -> list[str]:
    return [] if parsed is None else [one.key for one in parsed.draft.tasks]


def test_tasks_that_can_be_taken_are_taken_and_the_others_are_named() -> None:
    parsed = take({"tasks": [task("a"), task("b", base_branch="x"), {"key": "c"}, task("d", depends_on=["b"])]})
    assert keys(parsed) == ["a"]
    assert parsed is not None
    shown = "\n".join(parsed.left_out)
    for part in (
        "task 3 was left out: title: is missing",
        "the task b was left out: it is on another branch",
        "the task d",
    ):
        assert part in shown


def test_nulls_and_fields_that_the_form_has_not_are_no_reason_to_leave_a_task_out() -> None:
    assert keys(take({"tasks": [task("a", risk=None, mood="good")]})) == ["a"]


def test_the_last_task_of_a_cut_answer_is_left_out_though_it_may_look_whole() -> None:
    whole = json.dumps({"tasks": [task("a"), task("b")]})
    assert keys(salvage([whole[:-2]], check)) == ["a"]
    assert keys(salvage([whole[: whole.index('"b"') + 3]], check)) == ["a"]


def test_what_cannot_be_mended_by_leaving_tasks_out_is_not_taken() -> None:
    assert take({"tasks": [task("a", depends_on=["b"]), task("b", depends_on=["a"])]}) is None
    assert take({"tasks": [task("a", base_branch="x")]}) is None
    assert take({"tasks": []}) is None
    assert salvage(["no plan", ""], check) is None


def test_notes_are_kept_when_they_are_texts() -> None:
    parsed = take({"tasks": [task("a")], "notes": ["first", 7, None]})
    assert parsed is not None
    assert parsed.draft.notes == ("first",)
