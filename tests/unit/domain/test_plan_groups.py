from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.duplicates import KnownWork, leave_out_known
from squire_pipelines.domain.plan_groups import check_group, group_subject, is_group
from squire_pipelines.domain.plans import RULES, SCHEMA
from squire_pipelines.domain.similar_text import WorkText
from squire_pipelines.domain.tasks import Plan, TaskSpec, TaskStatus

BRANCHES = {"o/api": "main", "o/web": "trunk"}
REPOSITORIES = st.sampled_from([*BRANCHES, "o/other", None])


def task(key: str, repository: str | None, *depends_on: str, title: str = "", base: str | None = None) -> TaskSpec:
    return TaskSpec(
        key=key,
        title=title or key,
        prompt="p",
        base_branch=base or BRANCHES.get(repository or "", "main"),
        depends_on=depends_on,
        repository=repository,
    )


def plan(*tasks: TaskSpec) -> Plan:
    return Plan(repository=group_subject("g"), planner="llm:m", signals_digest="", tasks=tasks)


def test_tasks_may_depend_on_those_of_other_repositories() -> None:
    assert check_group(plan(task("offer", "o/api"), task("use", "o/web", "offer")), BRANCHES, max_tasks=5) == ()
    assert is_group(group_subject("g"))
    assert not is_group("group/name")


def test_a_cycle_over_repositories_and_an_unknown_one_are_found() -> None:
    wrong = plan(
        task("a", "o/api", "b"), task("b", "o/web", "a"), task("c", "o/other"), task("d", "o/web", base="main")
    )
    findings = check_group(wrong, BRANCHES, max_tasks=5)
    assert [(finding.check, finding.task) for finding in findings] == [(SCHEMA, None), (RULES, "c"), (RULES, "d")]
    assert "which is none of o/api, o/web" in findings[1].message
    assert "that of o/web is 'trunk'" in findings[2].message


@given(st.lists(st.tuples(REPOSITORIES, st.integers(0, 4)), max_size=5))
def test_a_plan_without_findings_is_acyclic_and_of_the_groups_repositories(drawn: list[tuple[str | None, int]]) -> None:
    tasks = [task(str(number), name, str(other)) for number, (name, other) in enumerate(drawn)]
    if check_group(plan(*tasks), BRANCHES, max_tasks=5):
        return
    assert {one.repository for one in tasks} <= set(BRANCHES)
    assert not tasks, "each depends on one, so that there is a cycle, or a key that is none"


def test_the_same_work_in_two_repositories_is_no_repetition_and_what_waits_for_a_known_one_waits_for_it() -> None:
    title = "Drop the old endpoint"
    made = plan(task("a", "o/api", title=title), task("b", "o/web", "a", title=title), task("c", "o/web", title=title))
    known = {"o/api": [KnownWork("t1", WorkText(title, "p"), TaskStatus.RUNNING)]}
    left = leave_out_known(made, known)
    assert [one.key for one in left.tasks] == ["b"]
    assert [(one.key, one.duplicate_of, one.task_id) for one in left.left_out] == [("a", "t1", "t1"), ("c", "b", None)]
