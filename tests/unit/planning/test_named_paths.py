import time
from collections.abc import Collection, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.plans import ApprovalRule, unasked
from squire_pipelines.domain.protected import DEFAULT_PROTECTED
from squire_pipelines.domain.tasks import Plan, Risk, TaskSpec
from squire_pipelines.planning.named_paths import MAX_NAMED, check_paths, path_of, protected_among

THERE = frozenset({"src", "src/app.py", "README.md", "app/(shop)/page.tsx"})
AUTOMATIC = ApprovalRule(automatic=True, min_confidence=0.5, max_risk=Risk.MEDIUM)


def task(key: str = "a", *, read: Sequence[str] = (), modify: Sequence[str] = (), **values: Any) -> TaskSpec:
    create = values.pop("create", ())
    fields: dict[str, Any] = {"title": "t", "prompt": "p", "base_branch": "main", **values}
    fields["context"] = {"files_to_read": tuple(read)}
    fields["implementation"] = {"files_to_modify": tuple(modify), "files_to_create": tuple(create)}
    return TaskSpec.model_validate({"key": key, **fields})


def main_alone(branch: str, paths: Sequence[str]) -> Collection[str] | None:
    """Know one branch, as git would."""
    assert all(path.isprintable() and not path.startswith("/") and ".." not in path.split("/") for path in paths)
    return THERE.intersection(paths) if branch == "main" else None


def problems(*tasks: TaskSpec) -> list[tuple[str | None, str]]:
    plan = Plan(repository="o/r", planner="p", signals_digest="d", tasks=tasks)
    return [(finding.task, finding.message) for finding in check_paths(plan, {"o/r": main_alone})]


def test_what_is_there_or_is_created_is_in_order() -> None:
    assert problems(task(read=["README.md", "src/"], modify=["./src/app.py", "new.py"], create=["new.py"])) == []


def test_what_is_neither_there_nor_created_is_named_with_what_to_do() -> None:
    (finding,) = problems(task(modify=["src/app.py", "src/gone.py"]))
    assert finding[0] == "a"
    assert finding[1].startswith(
        "names 'src/gone.py' in `implementation.files_to_modify`, which the branch 'main' does"
    )
    assert "`implementation.files_to_create`" in finding[1]


def test_what_would_be_created_outside_of_the_repository_is_named() -> None:
    (finding,) = problems(task(create=["/etc/cron.d/x", "docs/../../y", "docs/a..b.md"]))
    assert finding[0] == "a"
    assert finding[1].startswith("creates '/etc/cron.d/x', 'docs/../../y': a path is from the repository's root")


def test_what_an_earlier_task_creates_is_there_for_those_that_depend_on_it_and_for_no_other() -> None:
    first = task("first", create=["docs/new/guide.md"])
    second, third = task("second", depends_on=("first",)), task("third", depends_on=("second",), read=["docs/new"])
    other = task("other", modify=["docs/new/guide.md"])
    assert [key for key, _ in problems(first, second, third, other)] == ["other"]


def test_dependencies_in_a_circle_are_no_endless_search() -> None:
    assert problems(task("a", depends_on=("b",)), task("b", depends_on=("a", "none"))) == []


def test_of_a_branch_that_nobody_knows_nothing_is_wrong() -> None:
    assert problems(task(modify=["gone.py"], base_branch="elsewhere")) == []


@pytest.mark.parametrize(
    "text",
    [
        "src/*.py",
        "src/?.py",
        "",
        "  ",
        "./",
        "src/app.py:41",
        "src/app.py::test_it",
        "`src/app.py`",
        "src/app.py (the parser)",
        "src/app.py#L4-L9",
    ],
)
def test_patterns_and_places_in_a_file_are_understood(text: str) -> None:
    assert problems(task(read=[text])) == []


@pytest.mark.parametrize(
    "text", ["/etc/passwd", "../other/file", "src/../../x", "a\x00b", "src/app.py\n--all", "x" * 5_000]
)
def test_what_can_be_no_path_is_missing_and_git_is_not_asked(text: str) -> None:
    assert len(problems(task(read=[text]))) == 1


def test_many_wrong_paths_are_counted() -> None:
    (finding,) = problems(task(read=[f"gone-{number}" for number in range(9)]))
    assert "'gone-4' and 4 more in" in finding[1]


def test_each_branch_is_asked_for_once_and_what_is_too_much_is_not_judged() -> None:
    asked: list[tuple[str, int]] = []

    def nothing(branch: str, paths: Sequence[str]) -> Collection[str]:
        asked.append((branch, len(paths)))
        return ()

    tasks = [task(f"t{number}", read=[f"gone-{number}-{path}" for path in range(30)]) for number in range(100)]
    plan = Plan(repository="o/r", planner="p", signals_digest="d", tasks=(*tasks, task("b", base_branch="x")))
    wrong = {finding.task for finding in check_paths(plan, {"o/r": nothing})}
    assert asked == [("main", MAX_NAMED), ("x", 0)]
    assert 0 < len(wrong) < 100


def test_in_a_plan_over_several_repositories_each_task_finds_the_files_of_its_own() -> None:
    def web_alone(_branch: str, paths: Sequence[str]) -> Collection[str]:
        return {"app.ts"}.intersection(paths)

    offer = task("offer", repository="o/api", modify=["src/app.py"], create=["src/new.py"])
    use = task("use", repository="o/web", modify=["app.ts", "src/new.py"], depends_on=("offer",))
    after = task("after", repository="o/api", modify=["src/new.py", "app.ts"], depends_on=("use",))
    unknown = task("unknown", repository="o/docs", modify=["gone.md"])
    plan = Plan(repository="group:g", planner="p", signals_digest="d", tasks=(offer, use, after, unknown))
    findings = list(check_paths(plan, {"o/api": main_alone, "o/web": web_alone}))
    assert [finding.task for finding in findings] == ["use", "after"]
    assert "names 'src/new.py' in" in findings[0].message, "what another repository gets is not there"
    assert "which the branch 'main' of o/web does not have" in findings[0].message
    assert "names 'app.ts' in" in findings[1].message


def test_a_long_text_is_read_in_no_time() -> None:
    began = time.process_time()
    path_of("a" + " " * 2_000_000 + "(")
    assert time.process_time() - began < 2


@given(st.text(max_size=200))
def test_a_path_stays_itself_when_it_is_read_again_and_has_no_empty_parts(text: str) -> None:
    path = path_of(text)
    assert path.startswith("/") or "" not in path.split("/") or path == ""


def test_protected_paths_that_a_task_changes_are_named_and_those_that_it_reads_are_not() -> None:
    work = task(
        read=["uv.lock"], modify=[".github/workflows/ci.yml", "src/app.py"], create=["docs/AGENTS.md", "deploy/*.py"]
    )
    assert protected_among(work, DEFAULT_PROTECTED) == (".github/workflows/ci.yml", "docs/AGENTS.md")
    assert protected_among(work, ("deploy",)) == (".github/workflows/ci.yml", "deploy/*.py")


def test_a_task_that_changes_what_it_may_not_ask_for_waits_for_a_person() -> None:
    flagged = task(protected_paths=("uv.lock", "Dockerfile"), allow_protected=("**/uv.lock",))
    assert unasked(flagged) == ("Dockerfile",)
    assert not AUTOMATIC.covers(flagged)
    assert AUTOMATIC.covers(flagged.model_copy(update={"protected_paths": ("uv.lock",)}))
