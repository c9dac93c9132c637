"""Takes from answers that could not be taken whole the tasks that can, as a plan that passes all its checks. Pure."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import ValidationError

from squire_pipelines.domain.plans import PlanFinding
from squire_pipelines.planning.answer_reading import describe_errors, json_values, unwrap
from squire_pipelines.planning.quoting import one_line
from squire_pipelines.planning.schema import PlanDraft, TaskDraft

_MAX_TASKS = 200
_MAX_NOTES = 10


@dataclass(frozen=True, slots=True)
class Salvage:
    """A plan from an answer's text, and which of its tasks were left out and why."""

    draft: PlanDraft
    left_out: tuple[str, ...]


def salvage(
    texts: Sequence[str], check: Callable[[PlanDraft], Sequence[PlanFinding]], form: type[PlanDraft] = PlanDraft
) -> Salvage | None:
    """Return the plan that the texts of an answer hold, without the tasks that cannot be taken; None without any task.

    Args:
        texts: Of one answer.
        check: Returns what is wrong with a plan.
        form: Of the answer.
    """
    for text in texts:
        for reading in json_values(text):
            if (answer := unwrap(reading.value, "tasks")) is None:
                continue
            tasks = answer["tasks"][:_MAX_TASKS]
            left_out: list[str] = []
            if not reading.whole:
                tasks = tasks[:-1]  # it may lack its end, even where what there is of it is valid
                left_out.append("the answer was cut: its last task was left out")
            valid = _valid_tasks(tasks, left_out, _task_form(form))
            if (draft := _checked(form.model_construct(tasks=valid), check, left_out)) is not None:
                draft = draft.model_copy(update={"notes": _notes(answer)})
                return Salvage(draft, tuple(left_out))
    return None


def _task_form(form: type[PlanDraft]) -> type[TaskDraft]:
    task: type[TaskDraft] = get_args(form.model_fields["tasks"].annotation)[0]
    return task


def _valid_tasks(values: Sequence[Any], left_out: list[str], form: type[TaskDraft]) -> tuple[TaskDraft, ...]:
    tasks = []
    for number, value in enumerate(values, start=1):
        try:
            tasks.append(form.model_validate(_known_fields(value, form)))
        except ValidationError as error:
            left_out.append(f"task {number} was left out: {describe_errors(error)}")
    return tuple(tasks)


def _known_fields(value: Any, form: type[TaskDraft]) -> Any:
    """Return a task without fields that the form has not, and without nulls, which mean that nothing was said."""
    if not isinstance(value, dict):
        return value
    return {name: part for name, part in value.items() if part is not None and name in form.model_fields}


def _checked(
    draft: PlanDraft, check: Callable[[PlanDraft], Sequence[PlanFinding]], left_out: list[str]
) -> PlanDraft | None:
    """Leave out tasks with findings until there is none; None when a finding is about the plan, or no task is left."""
    while tasks := draft.tasks:
        findings = check(draft)
        if not findings:
            return draft
        wrong = {finding.task: finding.message for finding in findings if finding.task is not None}
        kept = tuple(task for task in tasks if task.key not in wrong)
        if len(kept) == len(tasks):
            return None
        left_out.extend(one_line(f"the task {key} was left out: it {message}", 300) for key, message in wrong.items())
        draft = draft.model_copy(update={"tasks": kept})
    return None


def _notes(form: dict[str, Any]) -> tuple[str, ...]:
    return tuple(_texts(form.get("notes")))


def _texts(value: Any) -> Iterator[str]:
    for note in (value if isinstance(value, list) else [])[:_MAX_NOTES]:
        if isinstance(note, str):
            yield one_line(note, 1_000)
