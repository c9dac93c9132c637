"""The planner that asks a model, on pydantic-ai. Its answer is checked like any plan, and errors are fed back to it.

pydantic-ai takes seconds to import, so that it is imported where it is used. The question is made by `prompt`, the
answer's form is in `schema`.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from pydantic import BaseModel

from squire_pipelines.domain.signals import ManualTask
from squire_pipelines.domain.tasks import Plan, TaskSpec
from squire_pipelines.errors import (
    ConfigError,
    ModelRefusedError,
    ModelUnavailableError,
    NotReachableError,
    PlanningError,
)
from squire_pipelines.planning.digest import signals_digest
from squire_pipelines.planning.prompt import INSTRUCTIONS, describe, prompt_version, validation_feedback
from squire_pipelines.planning.protected_paths import requestable
from squire_pipelines.planning.quoting import one_line
from squire_pipelines.planning.schema import ModelCall, PlanDraft, check_draft
from squire_pipelines.planning.selection import PlanInputs, Selection, select
from squire_pipelines.sections.types import DEFAULT_PROVIDER
from squire_pipelines.settings.model import Settings
from squire_pipelines.settings.providers import ModelProvider

if TYPE_CHECKING:
    from pydantic_ai.models import Model
    from pydantic_ai.usage import RunUsage

MAX_OUTPUT_TOKENS = 32_000
_AnswerT = TypeVar("_AnswerT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """Which model plans, what it is told beside the signals, and the limits of the conversation.

    Args:
        model: Its name at the provider; `provider:model` as pydantic-ai names it where no address is known.
        provider: Where it is; one without an address is found by the model's name.
        api_key: None where the provider needs none, or where pydantic-ai finds one by itself.
        goals: What the owner wants done beyond the signals; may be empty.
        timeout_s: For the whole conversation.
        max_retries: How often a wrong answer is sent back.
        max_tokens: Of the whole conversation, input and output; None for any number.
    """

    model: "str | Model"
    provider: ModelProvider = field(default_factory=lambda: Settings().planner_providers()[0])
    api_key: str | None = field(default=None, repr=False)
    goals: str = ""
    timeout_s: float = 120.0
    max_retries: int = 3
    max_tokens: int | None = None

    @property
    def name(self) -> str:
        """The model's name."""
        return self.model if isinstance(self.model, str) else self.model.model_name


async def plan_by_model(inputs: PlanInputs, options: ModelOptions, *, on_call: Callable[[ModelCall], None]) -> Plan:
    """Have a model plan one repository; only the signals that `selection.select` lets through are offered.

    Args:
        inputs: What the plan is made from.
        options: Which model, and its limits.
        on_call: Called once with what the conversation cost, also when it failed.

    Raises:
        ModelUnavailableError, ModelRefusedError: The model cannot be reached or used, or took too long.
        PlanningError: It gave no valid answer.
    """
    from pydantic_ai.usage import RunUsage  # noqa: PLC0415 - see the module's charter

    selection = select(inputs)
    name = options.name
    planner, digest = f"llm:{name}", signals_digest(inputs.signals)

    def as_plan(draft: PlanDraft) -> Plan:
        return Plan(
            repository=inputs.repository,
            planner=planner,
            signals_digest=digest,
            tasks=tuple(_with_permissions(task, selection) for task in draft.tasks),
            notes=(*draft.notes, *selection.notes),
            model=name,
            provider=options.provider.name,
            prompt_version=prompt_version(),
        )

    def objection(draft: PlanDraft) -> str | None:
        findings = check_draft(as_plan(draft), inputs, selection, free=bool(options.goals.strip()))
        return validation_feedback(findings) if findings else None

    usage = RunUsage()
    started = time.monotonic()
    failure = "interrupted"
    try:
        question = describe(inputs, selection, goals=options.goals)
        async with open_named_model(options, usage) as model:
            asked = Question(question, PlanDraft, INSTRUCTIONS, objection)
            draft = await converse(model, asked, options, usage=usage)
    except PlanningError as error:
        failure = error.message.replace(options.api_key, "***") if options.api_key else error.message
        # The cause is dropped: a provider's error may quote the key or the prompt.
        raise type(error)(
            f"the model {name} gave no usable plan for {inputs.repository}: {failure}",
            hint=error.hint,
            context={"repository": inputs.repository, "model": name, "requests": usage.requests},
        ) from None
    else:
        failure = ""
        return as_plan(draft)
    finally:
        on_call(
            ModelCall(
                planner=planner,
                model=name,
                provider=options.provider.name,
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                cost_usd=float(usage.cost) if usage.cost is not None else None,
                latency_s=time.monotonic() - started,
                ok=not failure,
                error=failure,
            )
        )


def _with_permissions(task: TaskSpec, selection: Selection) -> TaskSpec:
    """Return the task with the protected paths and the agent of its facts: the model has read strangers' texts."""
    facts = [candidate.signal.details for candidate in selection.candidates if candidate.signal.ref in task.signals]
    orders = (fact.agent for fact in facts if isinstance(fact, ManualTask) and fact.agent is not None)
    return task.model_copy(update={"allow_protected": requestable(task.kind, facts), "agent": next(orders, None)})


@asynccontextmanager
async def open_named_model(options: ModelOptions, usage: "RunUsage") -> AsyncIterator["Model"]:
    """Open the model to ask.

    Raises:
        ModelRefusedError: There is no such provider, or it lacks something.
        ModelUnavailableError: What gives its credentials does not answer.
    """
    if not isinstance(options.model, str):
        yield options.model
        return
    from pydantic_ai.exceptions import UserError  # noqa: PLC0415 - see the module's charter

    from squire_pipelines.planning.model_clients import open_model  # noqa: PLC0415 - likewise

    opening = open_model(options.model, options.provider, options.api_key, usage, timeout_s=options.timeout_s)
    async with AsyncExitStack() as stack:
        try:
            model = await stack.enter_async_context(opening)
        except ConfigError as error:
            raise ModelRefusedError(error.message, hint=error.hint) from error
        except NotReachableError as error:
            raise ModelUnavailableError(error.message, hint=error.hint) from error
        except (UserError, ImportError, ValueError, TypeError) as error:
            secret = options.provider.secret
            raise ModelRefusedError(
                f"it cannot be used: {_brief(error)}",
                hint=f"check `planner.model` (provider:model) and the key: `squire secrets set {secret}`",
            ) from error
        yield model


@dataclass(frozen=True, slots=True)
class Question(Generic[_AnswerT]):
    """What a model is asked.

    Args:
        text: The question.
        form: Of the answer.
        instructions: Above the question.
        objection: Returns what is wrong with an answer, which is sent back; None when nothing is.
        max_output: Tokens of one answer, at most; by default as many as the provider permits.
    """

    text: str
    form: type[_AnswerT]
    instructions: str
    objection: Callable[[_AnswerT], str | None]
    max_output: int | None = None


async def converse(
    model: "Model", question: Question[_AnswerT], options: ModelOptions, *, usage: "RunUsage"
) -> _AnswerT:
    """Ask until the answer has no objection. Raises as `plan_by_model` does."""
    from pydantic_ai import Agent, ModelRetry, ModelSettings  # noqa: PLC0415 - see the module's charter
    from pydantic_ai.exceptions import AgentRunError, UserError  # noqa: PLC0415 - likewise
    from pydantic_ai.usage import UsageLimits  # noqa: PLC0415 - likewise

    from squire_pipelines.planning.model_answers import EndedAnswers  # noqa: PLC0415 - likewise
    from squire_pipelines.planning.model_clients import fault_behind, is_unavailable  # noqa: PLC0415 - likewise

    max_output = question.max_output or options.provider.limits.max_output or MAX_OUTPUT_TOKENS
    agent: Agent[object, _AnswerT] = Agent(
        EndedAnswers(model),
        output_type=question.form,
        instructions=question.instructions,
        retries=options.max_retries,
        model_settings=ModelSettings(max_tokens=max_output, timeout=options.timeout_s),
        name="planner",
    )

    @agent.output_validator
    def checked(answer: _AnswerT) -> _AnswerT:
        if (wrong := question.objection(answer)) is not None:
            raise ModelRetry(wrong)
        return answer

    try:
        async with asyncio.timeout(options.timeout_s), model:
            limits = UsageLimits(request_limit=options.max_retries + 1, total_tokens_limit=options.max_tokens)
            result = await agent.run(question.text, usage=usage, usage_limits=limits)
    except TimeoutError as error:
        raise ModelUnavailableError(
            f"no answer within {options.timeout_s:g} s", hint="raise `planner.timeout_s`, or take a faster model"
        ) from error
    except (AgentRunError, UserError) as error:
        if (fault := fault_behind(error, options.provider, options.name)) is not None:
            raise ModelRefusedError(fault.message, hint=fault.hint) from error
        place = "base_url" if options.provider.name == DEFAULT_PROVIDER else "provider"
        hint = f"check `planner.model`, `planner.{place}` and the key `{options.provider.secret}`"
        error_type = ModelUnavailableError if is_unavailable(error) else PlanningError
        raise error_type(_brief(error), hint=hint) from error
    return result.output


def _brief(error: BaseException) -> str:
    """Return the error with the cause that pydantic-ai gives it, on one line."""
    texts = [f"{type(error).__name__}: {error}"]
    if error.__cause__ is not None:
        texts.append(str(error.__cause__))
    return one_line("; ".join(texts), 600)
