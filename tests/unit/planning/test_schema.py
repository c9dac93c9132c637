"""What a model may answer: its texts have nothing in them that a person does not see."""

import pytest
from pydantic import ValidationError

from squire_pipelines.planning.request_proposals import ProposedTask
from squire_pipelines.planning.schema import TaskDraft
from tests.support.task_drafts import task_draft

UNSEEN = "\x1b[2J\x1b]0;title\x07Go\u202e\u200b \x00on\U000e0041"


def test_what_nobody_sees_is_left_out_of_a_planned_tasks_texts() -> None:
    draft = TaskDraft.model_validate(
        task_draft(title=UNSEEN, prompt=UNSEEN, implementation={"avoid": [UNSEEN]}, confidence_factors=[UNSEEN])
    )
    assert {draft.title, draft.prompt, *draft.implementation.avoid, *draft.confidence_factors} == {"Go on"}


def test_names_of_facts_and_branches_stay_letter_by_letter() -> None:
    ref = "failed_ci:\u2714\ufe0f"
    names = {"signals": (ref,), "evidence": (ref,), "base_branch": ref}
    draft = TaskDraft.model_validate(task_draft(**names))
    assert {name: getattr(draft, name) for name in names} == names


@pytest.mark.parametrize("field", ["title", "prompt"])
@pytest.mark.parametrize("text", [" ", "\u200b", "\x1b[2J\n"])
def test_a_planned_task_of_nothing_that_is_seen_is_refused(field: str, text: str) -> None:
    with pytest.raises(ValidationError, match=r"is blank|at least 1"):
        TaskDraft.model_validate(task_draft(**{field: text}))


def test_what_nobody_sees_is_left_out_of_a_proposal() -> None:
    task = ProposedTask.model_validate({"key": "a", "title": UNSEEN, "prompt": UNSEEN})
    assert (task.title, task.prompt) == ("Go on", "Go on")
    with pytest.raises(ValidationError, match="at least 1"):
        ProposedTask.model_validate({"key": "a", "title": "\u200b", "prompt": "Go on"})
