"""Tasks that repeat known work: which are left out, which are kept, and what depends on them."""

import pytest

from squire_pipelines.domain.duplicates import (
    MAX_CLOSED_ISSUES,
    KnownWork,
    check_duplicates,
    closed_issues,
    leave_out_duplicates,
    open_pull_requests,
    text_of,
)
from squire_pipelines.domain.plans import check_dependencies
from squire_pipelines.domain.similar_text import WorkText
from squire_pipelines.domain.tasks import LeftOutReason, Plan, TaskSpec, TaskStatus
from squire_pipelines.planning.rules import plan_by_rules
from squire_pipelines.planning.selection import PlanInputs
from tests.support.signal_samples import issue, open_pr

TUTORIAL = KnownWork("t1", WorkText("Write a tutorial for plugin authors"), TaskStatus.SUCCEEDED)
AGAIN = "Plugin authors need a tutorial"


def task(key: str, title: str, *signals: str, depends_on: tuple[str, ...] = (), base: str = "main") -> TaskSpec:
    return TaskSpec(key=key, title=title, prompt=f"{title}.", base_branch=base, signals=signals, depends_on=depends_on)


def plan(*tasks: TaskSpec) -> Plan:
    return Plan(repository="o/r", planner="llm:m", signals_digest="0", tasks=tasks)


def test_a_second_wording_of_a_finished_task_is_left_out_and_named_as_such() -> None:
    got = leave_out_duplicates(plan(task("a", AGAIN), task("b", "Rotate the signing keys")), [TUTORIAL])
    assert [spec.key for spec in got.tasks] == ["b"]
    (omission,) = got.left_out
    assert (omission.key, omission.reason, omission.duplicate_of) == ("a", LeftOutReason.DUPLICATE, "t1")
    assert omission.message == (
        "it says nearly the same as the task t1 'Write a tutorial for plugin authors' (succeeded)"
    )


def test_a_plan_that_repeats_something_fails_its_check_and_what_was_left_out_of_it_does_not_count() -> None:
    repeated = plan(
        task("a", AGAIN), task("b", "Rotate the signing keys", "failed_ci:1"), task("c", "x", "failed_ci:1")
    )
    findings = list(check_duplicates(repeated, [TUTORIAL], ["failed_ci:2"]))
    assert {(finding.check, finding.task) for finding in findings} == {("duplicates", "a"), ("duplicates", "c")}
    covered = plan(task("a", "Repair the build", "failed_ci:2"))
    (finding,) = check_duplicates(covered, [], ["failed_ci:2"])
    assert finding.message == "answers 'failed_ci:2', which needs no task"
    assert list(check_duplicates(leave_out_duplicates(plan(task("a", AGAIN)), [TUTORIAL]), [TUTORIAL], [])) == []


def test_a_pull_request_of_anybody_is_known_work_except_for_tasks_that_go_into_its_branch() -> None:
    pull = open_pr(3).model_copy(update={"title": "docs: a tutorial for plugin authors"})
    known = open_pull_requests([issue(1), pull])
    got = leave_out_duplicates(plan(task("a", AGAIN), task("b", AGAIN, base="feature-3")), known)
    assert [(omission.key, omission.duplicate_of) for omission in got.left_out] == [("a", "#3")]
    assert "the open pull request #3" in got.left_out[0].message
    assert [spec.key for spec in got.tasks] == ["b"]


def test_the_second_of_two_wordings_in_one_plan_is_left_out_with_what_depends_on_it() -> None:
    got = leave_out_duplicates(
        plan(task("a", TUTORIAL.text.title), task("b", AGAIN), task("c", "x", depends_on=("b",))), []
    )
    assert [spec.key for spec in got.tasks] == ["a"]
    assert [(one.key, one.duplicate_of, one.task_id) for one in got.left_out] == [("b", "a", None), ("c", None, None)]


def test_what_depends_on_a_repeated_task_waits_for_the_one_in_the_ledger() -> None:
    got = leave_out_duplicates(plan(task("a", AGAIN), task("b", "Translate it", depends_on=("a",))), [TUTORIAL])
    assert [spec.key for spec in got.tasks] == ["b"]
    assert got.left_out[0].task_id == "t1"
    assert list(check_dependencies(got)) == []


def test_a_signal_that_unfinished_work_answers_is_not_answered_twice() -> None:
    running = KnownWork("t2", WorkText("Something else"), TaskStatus.RUNNING, frozenset({"failed_ci:main:test"}))
    got = leave_out_duplicates(plan(task("a", "Fix the check", "failed_ci:main:test")), [running])
    assert got.tasks == ()
    assert got.left_out[0].message.startswith("it answers failed_ci:main:test, as does the task t2")


@pytest.mark.parametrize("ref", ["failed_ci:main:test", "review_finding:T1"])
def test_the_next_failure_with_the_same_words_is_new_work(ref: str) -> None:
    got = leave_out_duplicates(plan(task("a", TUTORIAL.text.title, ref)), [TUTORIAL])
    assert (len(got.tasks), got.left_out, got.notes) == (1, (), ())


@pytest.mark.parametrize("ref", ["open_issue:1", "manual_task:m1"])
def test_what_a_person_asked_for_is_kept_and_a_note_names_what_it_resembles(ref: str) -> None:
    got = leave_out_duplicates(plan(task("a", AGAIN, ref)), [TUTORIAL])
    assert (len(got.tasks), got.left_out) == (1, ())
    (note,) = got.notes
    assert note.startswith("a says nearly the same as the task t1 'Write a tutorial for plugin authors' (succeeded)")
    assert note.endswith("; it is kept, since a person asked for it")
    assert leave_out_duplicates(got, [TUTORIAL]).notes == got.notes


def test_a_fact_of_a_package_is_compared_by_its_words() -> None:
    got = leave_out_duplicates(plan(task("a", AGAIN, "plugin_fact:todo/1")), [TUTORIAL])
    assert got.tasks == ()


def test_a_plan_without_repetitions_is_the_same_plan() -> None:
    unchanged = plan(task("a", "Rotate the signing keys"))
    assert leave_out_duplicates(unchanged, [TUTORIAL]) is unchanged


def test_the_words_that_rules_put_around_a_fact_do_not_count() -> None:
    inputs = PlanInputs("o/r", [issue(4, body="It flickers.")], "main", ("squire",), (), max_tasks=5)
    (made,) = plan_by_rules(inputs).tasks
    assert text_of(made).body.split() == ["It", "flickers."]


def test_a_fact_whose_end_was_cut_off_reaches_to_the_end_of_the_text() -> None:
    fence = f"<data {'0' * 16}>\n"
    cut = task("a", "Resolve #4").model_copy(update={"prompt": f"Read this.\n{fence}title: It flickers\n{fence}Badly."})
    assert text_of(cut).body.split() == [*fence.split(), "Badly."]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("Fixes #12", (12,)),
        ("closes: #3, resolves #4 and closed #3", (3, 4)),
        ("This fixed   #7.", (7,)),
        ("See #12; prefixes #3; fixes o/other#5; fix 6", ()),
        ("Fixes o/r#5, closes O/R#6 and resolves https://github.com/o/r/issues/7", (5, 6, 7)),
        ("Fixes https://github.com/o/other/issues/7, fixes /issues/8", ()),
        ("", ()),
        ("<!-- for example: Fixes #1\n -->Fixes #2", (2,)),
        ("Write `fixes #1`.\n```\nfixes #3\n```\nFixes #4 <!-- fixes #5", (4,)),
        (" ".join(f"fixes #{number}" for number in range(1, 100)), tuple(range(1, MAX_CLOSED_ISSUES + 1))),
    ],
)
def test_what_a_pull_request_says_it_closes_is_read_by_githubs_words(text: str, numbers: tuple[int, ...]) -> None:
    assert closed_issues(text, "o/r") == numbers
