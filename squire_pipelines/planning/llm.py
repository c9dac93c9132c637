"""The planner that asks a model: its answer is checked like any plan, and errors are fed back to it.

What text there is after its last answer is parsed. The question is made by `prompt`, the answer's form is in `schema`,
the conversation in `conversation`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from squire_pipelines.domain.plan_making import PlanStep, PlanUse, RefusedAnswer, StepKind
from squire_pipelines.domain.plans import PlanFinding, leave_out_large
from squire_pipelines.domain.signals import ManualTask
from squire_pipelines.domain.tasks import Plan, TaskSpec
from squire_pipelines.domain.text import shorten
from squire_pipelines.errors import PlanningError
from squire_pipelines.planning.answer_reading import ModelAnswer
from squire_pipelines.planning.conversation import ModelOptions, Question, converse, open_named_model
from squire_pipelines.planning.counted_calls import counted
from squire_pipelines.planning.digest import signals_digest
from squire_pipelines.planning.named_paths import protected_among
from squire_pipelines.planning.prompt import describe, prompt_version, validation_problems
from squire_pipelines.planning.protected_paths import requestable
from squire_pipelines.planning.quoting import one_line
from squire_pipelines.planning.salvage import salvage
from squire_pipelines.planning.schema import (
    TASK_SIZE,
    GroupTaskDraft,
    ModelCall,
    PlanDraft,
    TaskDraft,
    check_draft,
    form_for,
)
from squire_pipelines.planning.selection import PlanInputs, Selection, select
from squire_pipelines.secrets.redact import process_redactor

MAX_KEPT_CHARS = 20_000
"""Of an answer that could not be taken."""

MAX_NOTE_CHARS = 1_000
"""Of one note of a model."""

_MAX_SEARCHED = 10 * MAX_KEPT_CHARS


@dataclass(slots=True)
class PlanRecord:
    """What led to a plan, as it happens: the steps, the conversations with models, and the answers not taken."""

    steps: list[PlanStep] = field(default_factory=list)
    calls: list[ModelCall] = field(default_factory=list)
    refused: list[RefusedAnswer] = field(default_factory=list)
    cache_hit: bool = False

    def use(self) -> PlanUse:
        """Return what all conversations used together."""
        return PlanUse(
            asks=sum(call.asks for call in self.calls),
            input_tokens=sum(call.input_tokens for call in self.calls),
            output_tokens=sum(call.output_tokens for call in self.calls),
            cost_usd=self._cost_usd(),
            latency_s=sum(call.latency_s for call in self.calls),
            cache_hit=self.cache_hit,
        )

    def _cost_usd(self) -> float | None:
        costs = [call.cost_usd for call in self.calls if call.asks or call.cost_usd is not None]
        if not costs:
            return 0.0 if self.cache_hit else None
        return None if None in costs else sum(filter(None, costs))


async def plan_by_model(
    inputs: PlanInputs,
    options: ModelOptions,
    *,
    on_call: Callable[[ModelCall], None],
    record: PlanRecord | None = None,
) -> Plan:
    """Have a model plan; only the signals that `selection.select` lets through are offered.

    Args:
        inputs: What the plan is made from.
        options: Which model, and its limits.
        on_call: Called once with what the conversation cost, also when it failed.
        record: Gets the steps.

    Raises:
        ModelUnavailableError, ModelRefusedError: The model cannot be reached or used, or took too long.
        PlanningError: It gave no valid answer.
    """
    record = record or PlanRecord()
    planning = _Planning(inputs, options, select(inputs))
    prompts = options.prompts
    question = Question(
        planning.question,
        form_for(inputs),
        prompts.system,
        planning.objection,
        last_objection=planning.last_objection,
        feedback=f"{prompts.feedback}\n",
    )
    answers = list[ModelAnswer]()
    try:
        with counted(options, on_call, answers) as usage:
            async with open_named_model(options, usage) as model:
                draft = await converse(model, question, options, usage=usage, answers=answers)
    except PlanningError as error:
        failure = process_redactor().redact(error.message)  # it may quote an answer
        _record_asks(record, question, answers, options, error)
        if (plan := _parse(planning, answers, record)) is not None:
            return plan
        # The cause is dropped: a provider's error may quote the key or the prompt.
        raise type(error)(
            f"the model {options.name} gave no usable plan for {inputs.repository}: {failure}",
            hint=error.hint,
            context={"repository": inputs.repository, "model": options.name, "requests": usage.requests},
        ) from None
    _record_asks(record, question, answers, options, None)
    return leave_out_large(planning.as_plan(draft), inputs.bounds)


@dataclass(frozen=True, slots=True)
class _Planning:
    """One plan to be made by a model."""

    inputs: PlanInputs
    options: ModelOptions
    selection: Selection

    @property
    def planner(self) -> str:
        return f"llm:{self.options.name}"

    @property
    def provider(self) -> str:
        return self.options.provider.name

    @property
    def question(self) -> str:
        options = self.options
        limit = options.room.question_chars
        return describe(
            self.inputs,
            self.selection,
            options.prompts,
            goals=options.goals,
            context=options.context,
            limit_chars=limit,
        )

    def as_plan(self, draft: PlanDraft) -> Plan:
        return Plan(
            repository=self.inputs.repository,
            planner=self.planner,
            signals_digest=signals_digest(self.inputs.signals),
            tasks=tuple(_with_permissions(task, self.selection, self.inputs) for task in draft.tasks),
            notes=(*(one_line(note, MAX_NOTE_CHARS) for note in draft.notes), *self.selection.notes),
            model=self.options.name,
            provider=self.provider,
            prompt_version=prompt_version(self.options.prompts),
        )

    def check(self, draft: PlanDraft) -> tuple[PlanFinding, ...]:
        free, context = bool(self.options.goals.strip()), self.options.context
        existing = context.existing if context is not None else {}
        return check_draft(self.as_plan(draft), self.inputs, self.selection, free=free, existing=existing)

    def objection(self, draft: PlanDraft) -> str | None:
        findings = self.check(draft)
        return validation_problems(findings) if findings else None

    def last_objection(self, draft: PlanDraft) -> str | None:
        findings = tuple(finding for finding in self.check(draft) if finding.check != TASK_SIZE)
        return validation_problems(findings) if findings else None


def _record_asks(
    record: PlanRecord,
    question: Question[PlanDraft],
    answers: list[ModelAnswer],
    options: ModelOptions,
    error: PlanningError | None,
) -> None:
    """Record the steps of a conversation, of which the last answer was taken where there is no error."""
    provider = options.provider.name
    for number, answer in enumerate(answers, start=1):
        if error is None and number == len(answers):
            record.steps.append(PlanStep(kind=StepKind.ASK, taken=True, provider=provider, number=number))
            continue
        problem = question.problem_of(answer) or (error.message if error is not None else "")
        reason = process_redactor().redact(one_line(problem.removeprefix("- ").replace("\n- ", "; "), 600))
        record.steps.append(PlanStep(kind=StepKind.ASK, taken=False, reason=reason, provider=provider, number=number))
        record.refused.append(_refused(answer, options, number, reason))
    if error is not None and not answers:
        step = PlanStep(kind=StepKind.ASK, taken=False, reason=error.message, provider=provider, number=1)
        record.steps.append(step)


def _refused(answer: ModelAnswer, options: ModelOptions, number: int, reason: str) -> RefusedAnswer:
    """Return what is kept of an answer: what is cut off is cut before a secret at its end could be split."""
    text = "\n\n".join(answer.texts)
    shown = shorten(process_redactor().redact(shorten(text, _MAX_SEARCHED)), MAX_KEPT_CHARS)
    return RefusedAnswer(
        provider=options.provider.name,
        model=options.name,
        number=number,
        reason=reason,
        text=shown,
        chars=len(text),
    )


def _parse(planning: _Planning, answers: list[ModelAnswer], record: PlanRecord) -> Plan | None:
    """Return the plan that the texts of the answers hold, the newest first; None when none holds a task to take."""
    for number, answer in reversed(list(enumerate(answers, start=1))):
        if (parsed := salvage(answer.texts, planning.check, form_for(planning.inputs))) is not None:
            left_out = tuple(map(process_redactor().redact, parsed.left_out))
            reason = "; ".join(left_out)
            record.steps.append(
                PlanStep(kind=StepKind.PARSE, taken=True, reason=reason, provider=planning.provider, number=number)
            )
            plan = planning.as_plan(parsed.draft)
            return plan.model_copy(update={"notes": (*left_out, *plan.notes)})
    if answers:
        reason = "no task of any answer could be taken"
        record.steps.append(PlanStep(kind=StepKind.PARSE, taken=False, reason=reason, provider=planning.provider))
    return None


def _with_permissions(task: TaskDraft, selection: Selection, inputs: PlanInputs) -> TaskSpec:
    """Return the task with the protected paths and the agent of its facts: the model has read strangers' texts."""
    facts = [candidate.signal.details for candidate in selection.candidates if candidate.signal.ref in task.signals]
    orders = (fact.agent for fact in facts if isinstance(fact, ManualTask) and fact.agent is not None)
    repository = task.repository if isinstance(task, GroupTaskDraft) else None
    permissions = {
        "allow_protected": requestable(task.kind, facts),
        "protected_paths": protected_among(task, inputs.protected_paths_in(repository)),
        "agent": next(orders, None),
    }
    return TaskSpec.model_validate({**task.model_dump(), **permissions})
