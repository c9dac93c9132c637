"""What a model must answer, and the checks of its answer: those of every plan, and those of a model's plan. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from squire_pipelines.domain.plan_groups import check_group
from squire_pipelines.domain.plans import PlanFinding, check_plan
from squire_pipelines.domain.tasks import EstimatedSize, Plan, PlannedWork
from squire_pipelines.domain.untrusted_text import plain_texts
from squire_pipelines.planning.named_paths import PathLookup, check_paths
from squire_pipelines.planning.selection import PlanInputs, Selection

TASK_SIZE = "task_size"
"""The check of a model's plan after which a task may also be left out."""

_NAMES = frozenset({"base_branch", "signals", "evidence"})
"""Fields that must name what there is, letter by letter."""

_Factor = Annotated[str, Field(min_length=1, max_length=500)]


class TaskDraft(PlannedWork):
    """A task as a model must answer it: with its size, and with what its confidence rests on.

    What nobody sees is left out of its texts: a person approves what they see, and the agent gets no more.
    """

    confidence: float = Field(ge=0.0, le=1.0)
    confidence_factors: tuple[_Factor, ...] = Field(min_length=1, max_length=20)
    size: EstimatedSize
    evidence: tuple[str, ...] = Field(max_length=200)

    @model_validator(mode="before")
    @classmethod
    def _leave_out_unseen(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {name: part if name in _NAMES else plain_texts(part) for name, part in value.items()}

    @field_validator("title", "prompt")
    @classmethod
    def _is_not_blank(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("is blank")
        return value


class PlanDraft(BaseModel):
    """The answer of a model: its tasks, and notes for people."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tasks: tuple[TaskDraft, ...]  # an answer without them is broken; one without work has an empty list
    notes: tuple[str, ...] = Field(default=(), max_length=20)


class GroupTaskDraft(TaskDraft):
    """A task of a plan over several repositories, as a model must answer it: with its repository."""

    repository: str = Field(min_length=1, max_length=140)


class GroupDraft(PlanDraft):
    """The answer of a model about several repositories."""

    tasks: tuple[GroupTaskDraft, ...]


def form_for(inputs: PlanInputs) -> type[PlanDraft]:
    """Return the form of an answer about one repository, or about several."""
    return GroupDraft if inputs.members else PlanDraft


@dataclass(frozen=True, slots=True)
class ModelCall:
    """What one conversation with a model cost, with all its retries; `provider` is whose model it is.

    `cost_usd` is None when the model's prices are not known. `error` is empty when `ok`. `asks` are requests
    that it answered. `stated_usd` is what the provider says that it costs, and `cost_difference_usd` how much that is
    above our own calculation.
    """

    planner: str
    model: str
    provider: str
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    latency_s: float
    ok: bool
    error: str = ""
    asks: int = 0
    stated_usd: float | None = None
    cost_difference_usd: float | None = None


def check_draft(
    plan: Plan, inputs: PlanInputs, selection: Selection, *, free: bool, existing: Mapping[str, PathLookup]
) -> tuple[PlanFinding, ...]:
    """Return everything that is wrong with a model's plan.

    Args:
        plan: The model's tasks as a plan.
        inputs: What the plan is made from.
        selection: What the model was offered of it.
        free: Whether a task may answer no signal, because the goals ask for work.
        existing: Says which paths there are, by repository, of those of which it is known.
    """
    if inputs.members:
        branches = {member.repository: member.default_branch for member in inputs.members}
        return (
            *check_group(plan, branches, max_tasks=inputs.max_tasks),
            *_check_evidence(plan, selection),
            *_check_task_sizes(plan, inputs),
            *check_paths(plan, existing),
        )
    known = {candidate.signal.ref for candidate in selection.candidates}
    return (
        *check_plan(plan, known_signals=known, max_tasks=inputs.max_tasks),
        *_check_branches(plan, inputs, selection),
        *_check_answers(plan, free=free),
        *_check_evidence(plan, selection),
        *_check_task_sizes(plan, inputs),
        *check_paths(plan, existing),
    )


def _check_branches(plan: Plan, inputs: PlanInputs, selection: Selection) -> Iterator[PlanFinding]:
    needed = {candidate.signal.ref: candidate.base_branch for candidate in selection.candidates}
    allowed = sorted({*needed.values(), *([inputs.default_branch] if inputs.default_branch else [])})
    for task in plan.tasks:
        if task.base_branch not in allowed:
            message = f"has the base branch {task.base_branch!r}; allowed are {allowed}"
            yield PlanFinding("base_branch", task.key, message)
            continue
        for ref in task.signals:
            if needed.get(ref, task.base_branch) != task.base_branch:
                message = f"answers {ref!r}, whose base branch is {needed[ref]!r}, not {task.base_branch!r}"
                yield PlanFinding("base_branch", task.key, message)


def _check_answers(plan: Plan, *, free: bool) -> Iterator[PlanFinding]:
    answered: dict[str, str] = {}
    for task in plan.tasks:
        if not task.signals and not free:
            yield PlanFinding("answers", task.key, "answers no signal, and there are no goals that ask for it")
        for ref in task.signals:
            if ref in answered:
                yield PlanFinding("answers", task.key, f"answers {ref!r}, as the task {answered[ref]!r} does")
            answered.setdefault(ref, task.key)


def _check_evidence(plan: Plan, selection: Selection) -> Iterator[PlanFinding]:
    known = {candidate.signal.ref for candidate in selection.candidates}
    known |= {signal.ref for signal in selection.background}
    for task in plan.tasks:
        if task.signals and not task.evidence:
            yield PlanFinding("evidence", task.key, "answers signals and names none in `evidence`")
        for ref in task.evidence:
            if ref not in known:
                yield PlanFinding("evidence", task.key, f"names {ref!r} in `evidence`, which is no signal offered")


def _check_task_sizes(plan: Plan, inputs: PlanInputs) -> Iterator[PlanFinding]:
    for task in plan.tasks:
        if (excess := inputs.bounds.excess(task.size)) is not None:
            message = f"{excess}. Split it into tasks that depend on one another, or propose only a part of it"
            yield PlanFinding(TASK_SIZE, task.key, message)
