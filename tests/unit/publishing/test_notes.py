from typing import Any

from squire_pipelines.agents.prompt import with_notes
from squire_pipelines.domain.tasks import TaskSpec
from squire_pipelines.publishing.notes import policy_notes
from squire_pipelines.sections.tasks import PolicySettings


def notes(policy: PolicySettings, *asked: str) -> str:
    spec = TaskSpec(key="k", title="T", prompt="P", base_branch="main", allow_protected=asked)
    return "\n".join(policy_notes(policy, spec))


def test_an_agent_is_told_what_would_cost_it_its_work() -> None:
    text = notes(PolicySettings())
    assert "`**/.*`" in text
    assert "100 files and 500 lines" in text
    assert "you may change" not in text


def test_what_the_task_asks_for_is_told_as_permitted() -> None:
    text = notes(PolicySettings(), "**/uv.lock", ".github/workflows/**")
    assert "you may change these protected paths; a person will look: `**/uv.lock`." in text
    text = notes(PolicySettings(workflows="approve"), ".github/workflows/**")
    assert "a person will look: `.github/workflows/**`." in text


def test_allowed_paths_are_told_and_long_lists_are_cut() -> None:
    values: dict[str, Any] = {"allowed_paths": tuple(f"p{number}" for number in range(210)), "protected": "approve"}
    text = notes(PolicySettings(**values))
    assert "Only files under these paths" in text
    assert "and 10 more" in text
    assert "is refused, with" not in text


def test_a_prompt_without_notes_stays_as_it_is() -> None:
    assert with_notes("Do it.\n", ()) == "Do it.\n"
    assert with_notes("Do it.\n", ("A.", "B.")).endswith("## What to know of this workspace\n\n- A.\n- B.\n")
