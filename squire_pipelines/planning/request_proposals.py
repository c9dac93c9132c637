"""What a model proposes for a person's request: nothing, the same more sharply, or several tasks in its place.

A proposal is shown beside the request and takes its place only when the person says so. Each of its tasks has the
request's own words below its text, which count where the two differ.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from squire_pipelines.domain.tasks import TaskSpec
from squire_pipelines.domain.untrusted_text import plain_texts
from squire_pipelines.errors import PlanningError
from squire_pipelines.planning.answer_reading import ModelAnswer
from squire_pipelines.planning.conversation import ModelOptions, Question, converse, open_named_model
from squire_pipelines.planning.counted_calls import counted
from squire_pipelines.planning.plan_context import PlanContext
from squire_pipelines.planning.prompt_files import load_proposal_prompt
from squire_pipelines.planning.provider_turns import ask_in_turn, model_options
from squire_pipelines.planning.quoting import one_line, quote
from squire_pipelines.planning.request_spec import MAX_TITLE_CHARS
from squire_pipelines.planning.schema import ModelCall
from squire_pipelines.secrets.redact import process_redactor
from squire_pipelines.secrets.secret import Secret
from squire_pipelines.settings.model import Settings
from squire_pipelines.settings.providers import ModelProvider

MAX_TASKS = 8
"""Of one proposal."""

MAX_REQUEST_CHARS = 30_000
"""Of a request about which a model is asked: its words stand below each proposed text, which has room beside them."""

_MAX_PROMPT_CHARS = 15_000
_LEAST_ROOM = 200
_FEEDBACK = "The answer cannot be taken. Fix this and give the whole answer again:\n"
_TAKEN = "1.0: a person took what a model proposed for their request"
_WHOLE = "The request as it was written, which counts where the two differ:"
_PART = "Do this part alone. The whole request, of which it is a part, and which counts where the two differ:"


class ProposedTask(BaseModel):
    """A task as a model proposes it; `depends_on` names other keys of the proposal.

    What nobody sees is left out of its texts: a person chooses by what they see, and the agent gets no more.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str = Field(min_length=1, max_length=60)
    title: str = Field(min_length=1, max_length=MAX_TITLE_CHARS)
    prompt: str = Field(min_length=1, max_length=_MAX_PROMPT_CHARS)
    depends_on: tuple[str, ...] = Field(default=(), max_length=MAX_TASKS)

    @model_validator(mode="before")
    @classmethod
    def _leave_out_unseen(cls, value: Any) -> Any:
        return plain_texts(value)


class ProposalDraft(BaseModel):
    """The answer of a model: tasks in the request's place, none where it can be done as it stands; notes for people."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tasks: tuple[ProposedTask, ...] = Field(max_length=MAX_TASKS)
    notes: tuple[Annotated[str, Field(max_length=1_000)], ...] = Field(default=(), max_length=10)


@dataclass(frozen=True, slots=True)
class RequestProposal:
    """What a model proposes.

    Args:
        tasks: In an order in which each comes after those that it depends on; none where the request is good as it is.
        notes: Of the model, and why providers were left.
        call: What the conversation used that gave it.
    """

    tasks: tuple[ProposedTask, ...]
    notes: tuple[str, ...]
    call: ModelCall

    def specs(self, request: TaskSpec) -> tuple[TaskSpec, ...]:
        """Return the proposed tasks as they are made: with the request's words, options and authority."""
        bridge = _PART if len(self.tasks) > 1 else _WHOLE
        return tuple(
            request.model_copy(
                update={
                    "key": task.key,
                    "title": one_line(task.title, MAX_TITLE_CHARS),
                    "prompt": f"{task.prompt.strip()}\n\n{bridge}\n\n{_words(request)}",
                    "depends_on": task.depends_on,
                    "confidence_factors": (_TAKEN,),
                }
            )
            for task in self.tasks
        )


async def propose(
    settings: Settings,
    repository: str,
    request: TaskSpec,
    *,
    context: PlanContext | None,
    find_key: Callable[[str], Secret | None],
    on_call: Callable[[ModelCall], None],
    reserve: Callable[[ModelProvider], int | None],
) -> RequestProposal:
    """Ask the planner's model how to ask better. The request itself stays as it is.

    Args:
        settings: `planner` names the model.
        repository: `owner/name`.
        request: What a person asks for.
        context: What is known of the repository; None where nothing is.
        find_key: Finds a provider's key by its name.
        on_call: Called with each conversation, see `planner.make_plan`.
        reserve: Called before each.

    Raises:
        ConfigError: The installation's own instructions cannot be used.
        PlanningError: No model gave an answer that can be taken.
    """
    instructions = load_proposal_prompt(settings.planner.prompts)
    calls: list[ModelCall] = []

    def count(call: ModelCall) -> None:
        calls.append(call)
        on_call(call)

    async def ask(provider: ModelProvider) -> ProposalDraft:
        options = model_options(settings, provider, find_key=find_key, reserve=reserve)
        limit = options.room.question_chars
        text = _question(settings, repository, request, context, limit=limit)
        return await _ask(options, Question(text, ProposalDraft, instructions, _objection, feedback=_FEEDBACK), count)

    draft, failures = await ask_in_turn(settings.planner_providers(f"{repository} {request.title}"), ask)
    redact = process_redactor().redact
    left = (f"the provider {name} was left: {one_line(str(error), 300)}" for name, error in failures.items())
    tasks = (
        task.model_copy(update={"title": redact(task.title), "prompt": redact(task.prompt)})
        for task in _in_order(draft)
    )
    return RequestProposal(tuple(tasks), (*left, *(one_line(redact(note), 1_000) for note in draft.notes)), calls[-1])


async def _ask(
    options: ModelOptions, question: Question[ProposalDraft], on_call: Callable[[ModelCall], None]
) -> ProposalDraft:
    """Ask one provider's model. Raises PlanningError."""
    answers: list[ModelAnswer] = []
    try:
        with counted(options, on_call, answers) as usage:
            async with open_named_model(options, usage) as model:
                return await converse(model, question, options, usage=usage, answers=answers)
    except PlanningError as error:
        # The cause is dropped: a provider's error may quote the key or the prompt.
        message = f"the model {options.name} proposed nothing: {process_redactor().redact(error.message)}"
        raise type(error)(message, hint=error.hint) from None


def _question(
    settings: Settings, repository: str, request: TaskSpec, context: PlanContext | None, *, limit: int | None
) -> str:
    """Return the question, in which what is known of the repository is shortened until it has `limit` characters.

    Raises PlanningError where the request alone is longer: a part of it would be another request.
    """
    bounds = settings.planner.task_bounds
    words = _words(request)
    asked = quote(words, limit=len(words), by="the person who asks", may="may give orders here")
    head = (
        f"Repository: {repository}\nAt most {MAX_TASKS} tasks, each of at most {bounds.max_files} files and "
        f"{bounds.max_lines} lines.\n\n"
    )
    room = None if limit is None else limit - len(head) - len(asked)
    if room is not None and room < _LEAST_ROOM:
        raise PlanningError("the request is too long for this model", hint="take one that reads more at once")
    known = "(not known)"
    if context is not None:
        known = context.text(context.max_bytes if room is None else min(context.max_bytes, room - _LEAST_ROOM // 2))
    return f"{head}What is known of the repository:\n\n{known}\n\nThe request:\n\n{asked}"


def _words(request: TaskSpec) -> str:
    """Return a request in the person's words; a title that its text begins with is not repeated."""
    prompt = request.prompt
    return prompt if prompt.startswith(request.title) else f"{request.title}\n\n{prompt}"


def _objection(draft: ProposalDraft) -> str | None:
    """Return what is wrong with an answer, a line each; None when nothing is."""
    return "\n".join(f"- {fault}" for fault in _faults_of(draft)) or None


def _faults_of(draft: ProposalDraft) -> Iterator[str]:
    keys = [task.key for task in draft.tasks]
    for key in dict.fromkeys(keys):
        if keys.count(key) > 1:
            yield f"the key {key!r} names {keys.count(key)} tasks"
    for task in draft.tasks:
        for other in task.depends_on:
            if other not in keys:
                yield f"task {task.key!r} depends on {other!r}, which is no task of this answer"
        if not task.title.strip() or not task.prompt.strip():
            yield f"task {task.key!r} has an empty title or prompt"
    try:
        _in_order(draft)
    except CycleError:
        yield "the tasks depend on one another in a circle"


def _in_order(draft: ProposalDraft) -> tuple[ProposedTask, ...]:
    """Return the tasks so that each comes after those that it depends on. Raises CycleError."""
    by_key = {task.key: task for task in draft.tasks}
    order = TopologicalSorter({task.key: task.depends_on for task in draft.tasks}).static_order()
    return tuple(by_key[key] for key in order if key in by_key)
