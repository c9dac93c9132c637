"""Tasks as planners propose them, and what makes two of them the same."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from squire_pipelines.domain.tasks import Plan, Priority, Risk, TaskKind, TaskSpec, TaskStatus, fingerprint

BASE: dict[str, Any] = {"key": "a", "title": "Fix it", "prompt": "Please.", "base_branch": "main"}


def test_only_what_is_needed_must_be_given() -> None:
    task = TaskSpec(**BASE)
    assert (task.kind, task.priority, task.risk, task.confidence) == (TaskKind.OTHER, Priority.MEDIUM, Risk.LOW, 1.0)
    assert task.verification.left_out == ()


@pytest.mark.parametrize("missing", sorted(BASE))
def test_what_is_needed_must_be_there(missing: str) -> None:
    with pytest.raises(ValidationError, match=missing):
        TaskSpec(**{name: value for name, value in BASE.items() if name != missing})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("key", ""),
        ("key", "k" * 101),
        ("title", ""),
        ("title", "t" * 201),
        ("prompt", ""),
        ("prompt", "p" * 50_001),
        ("base_branch", ""),
        ("base_branch", "b" * 256),
        ("confidence", 1.01),
        ("confidence", -0.01),
        ("confidence", float("nan")),
        ("risk", "deadly"),
        ("kind", "dance"),
        ("priority", 4),
        ("priority", -1),
        ("signals", "open_issue:1"),
        ("colour", "red"),
    ],
)
def test_values_out_of_bounds_are_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ValidationError, match=name):
        TaskSpec(**BASE | {name: value})


@pytest.mark.parametrize(
    ("value", "priority"),
    [
        ("high", Priority.HIGH),
        (" Critical ", Priority.CRITICAL),
        ("LOW", Priority.LOW),
        (0, Priority.CRITICAL),
        (3, Priority.LOW),
        ("2", Priority.MEDIUM),
    ],
)
def test_a_priority_is_a_name_or_a_number(value: object, priority: Priority) -> None:
    assert TaskSpec(**BASE | {"priority": value}).priority is priority


def test_an_unknown_priority_says_which_there_are() -> None:
    with pytest.raises(ValidationError, match="one of critical, high, medium, low"):
        TaskSpec(**BASE | {"priority": "urgent"})


def test_a_task_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        TaskSpec(**BASE).title = "Other"  # type: ignore[misc] # what must not be


@given(st.sampled_from(Priority), st.floats(min_value=0, max_value=1), st.lists(st.text(max_size=10), max_size=3))
def test_a_task_survives_json(priority: Priority, confidence: float, facts: list[str]) -> None:
    task = TaskSpec(**BASE, priority=priority, confidence=confidence, signals=tuple(facts))
    dumped = task.model_dump(mode="json")
    assert dumped["priority"] == priority.name.lower()
    assert TaskSpec.model_validate(json.loads(json.dumps(dumped))) == task
    assert Plan.model_validate(
        Plan(repository="a/b", planner="rules", signals_digest="0", tasks=(task,)).model_dump(mode="json")
    ).tasks == (task,)


def test_final_states_are_those_that_only_a_person_leads_out_of() -> None:
    assert {status for status in TaskStatus if status.is_final} == {
        TaskStatus.SUCCEEDED,
        TaskStatus.FAILED,
        TaskStatus.CANCELLED,
    }


def mark(repository: str = "a/b", versions: dict[str, str] | None = None, **values: Any) -> str:
    defaults = {"signals": ("open_issue:1", "failed_ci:x")}
    known = {"open_issue:1": "v1", "failed_ci:x": "v1"} if versions is None else versions
    return fingerprint(repository, TaskSpec(**BASE | defaults | values), known)


@pytest.mark.parametrize(
    "same",
    [
        {"title": "Otherwise"},
        {"prompt": "In other words."},
        {"key": "z"},
        {"signals": ("failed_ci:x", "open_issue:1")},
        {"signals": ("failed_ci:x", "open_issue:1", "open_issue:1")},
        {"versions": {"open_issue:1": "v1", "failed_ci:x": "v1", "open_pr:9": "v1"}},
    ],
    ids=str,
)
def test_the_same_facts_are_the_same_task_whatever_the_words(same: dict[str, Any]) -> None:
    assert mark(**same) == mark()


@pytest.mark.parametrize(
    "other",
    [
        {"repository": "a/c"},
        {"kind": TaskKind.FIX_CI},
        {"base_branch": "dev"},
        {"signals": ("open_issue:1",)},
        {"versions": {"open_issue:1": "v2", "failed_ci:x": "v1"}},
        {"versions": {}},
    ],
    ids=str,
)
def test_other_facts_are_another_task(other: dict[str, Any]) -> None:
    assert mark(**other) != mark()


def test_without_facts_the_words_make_the_difference() -> None:
    assert mark(signals=()) != mark(signals=(), title="Otherwise")
    assert mark(signals=()) == mark(signals=(), key="z")
    assert len(mark()) == 32
