"""A conversation with a model about one answer that has a form: its limits, and why an answer is not taken.

pydantic-ai takes seconds to import, so that it is imported where it is used. What people are told of a failure are
sentences of our own: a library's may quote the key or the prompt.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from squire_pipelines.errors import (
    ConfigError,
    ModelRefusedError,
    ModelUnavailableError,
    NotReachableError,
    PlanningError,
)
from squire_pipelines.gateway.prices import Price
from squire_pipelines.planning.answer_reading import MAX_CHARS, ModelAnswer, describe_errors, json_values
from squire_pipelines.planning.plan_context import PlanContext
from squire_pipelines.planning.prompt_files import PromptFiles, packaged_prompts
from squire_pipelines.planning.quoting import one_line
from squire_pipelines.planning.token_limits import Room, known_output, room_for
from squire_pipelines.sections.types import DEFAULT_PROVIDER
from squire_pipelines.settings.model import Settings
from squire_pipelines.settings.providers import ModelProvider

if TYPE_CHECKING:
    from pydantic_ai.models import Model
    from pydantic_ai.usage import RunUsage

_AnswerT = TypeVar("_AnswerT", bound=BaseModel)

_LATER = "try again later; `squire doctor --model` asks it too"


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """Which model plans, what it is told beside the signals, and the limits of the conversation.

    Args:
        model: Its name at the provider; `provider:model` as pydantic-ai names it where no address is known.
        provider: Where it is; one without an address is found by the model's name.
        api_key: None where the provider needs none, or where pydantic-ai finds one by itself.
        goals: What the owner wants done beyond the signals; may be empty.
        context: What is known of the repository beside its signals.
        prompts: By which a plan is asked for.
        timeout_s: For the whole conversation.
        max_retries: How often a wrong answer is sent back.
        max_tokens: Of the whole conversation, input and output; None for any number.
        context_tokens: What the model reads and answers together; None where nobody knows it.
    """

    model: "str | Model"
    provider: ModelProvider = field(default_factory=lambda: Settings().planner_providers()[0])
    api_key: str | None = field(default=None, repr=False)
    goals: str = ""
    context: PlanContext | None = None
    prompts: PromptFiles = field(default_factory=packaged_prompts)
    timeout_s: float = 120.0
    max_retries: int = 2
    max_tokens: int | None = None
    context_tokens: int | None = None

    @property
    def name(self) -> str:
        """The model's name."""
        return self.model if isinstance(self.model, str) else self.model.model_name

    @property
    def room(self) -> Room:
        """How long a question and an answer may be."""
        output = self.provider.limits.max_output or known_output(self.name)
        return room_for(self.context_tokens, output, instructions_chars=len(self.prompts.system))


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
            missing = isinstance(error, ImportError)
            raise ModelRefusedError(
                f"{options.name} cannot be used: "
                + ("a library of its provider is not installed" if missing else "no such provider, or it has no key"),
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
        last_objection: Instead of it to the last answer that is asked for; by default the same.
        feedback: Stands before what is sent back.
        max_output: Tokens of one answer, at most; by default as many as the provider permits.
    """

    text: str
    form: type[_AnswerT]
    instructions: str
    objection: Callable[[_AnswerT], str | None]
    last_objection: Callable[[_AnswerT], str | None] | None = None
    feedback: str = ""
    max_output: int | None = None

    def problem_of(self, answer: ModelAnswer) -> str | None:
        """Return why an answer cannot be taken; None where nothing is wrong with it."""
        if sum(map(len, answer.texts)) > MAX_CHARS:
            return f"it has more than {MAX_CHARS:,} characters"
        if answer.cut_short:
            return answer.cut_short
        problem = "it is no JSON" if answer.texts else "it is empty"
        for text in answer.texts:
            for reading in json_values(text):
                try:
                    form = self.form.model_validate(reading.value)
                except ValidationError as error:
                    problem = describe_errors(error)
                else:
                    return self.objection(form)
        return problem


async def converse(
    model: "Model",
    question: Question[_AnswerT],
    options: ModelOptions,
    *,
    usage: "RunUsage",
    answers: list[ModelAnswer],
) -> _AnswerT:
    """Ask until the answer has no objection.

    Args:
        model: Is asked.
        question: And when an answer may be taken.
        options: The limits.
        usage: Gets what was used.
        answers: Gets what the model answered, also what was not taken.

    Raises:
        ModelUnavailableError, ModelRefusedError: The model cannot be reached or used, or took too long.
        PlanningError: No answer could be taken.
    """
    import pydantic_ai  # noqa: PLC0415 - see the module's charter
    from pydantic_ai import Agent, ModelRetry, ModelSettings, RunContext  # noqa: PLC0415 - likewise
    from pydantic_ai.exceptions import AgentRunError, UserError  # noqa: PLC0415 - likewise
    from pydantic_ai.usage import UsageLimits  # noqa: PLC0415 - likewise

    from squire_pipelines.planning.model_answers import EndedAnswers  # noqa: PLC0415 - likewise

    pydantic_ai.BANNER_ENABLED = False  # the library's own words would stand among those of the command, on a terminal
    max_output = question.max_output or options.room.output_tokens
    agent: Agent[object, _AnswerT] = Agent(
        EndedAnswers(model, answers, _prices(options.provider), states_cost=options.provider.states_cost),
        output_type=question.form,
        instructions=question.instructions,
        retries=options.max_retries,
        model_settings=ModelSettings(max_tokens=max_output, timeout=options.timeout_s),
        name="planner",
    )

    @agent.output_validator
    def checked(run: RunContext[object], answer: _AnswerT) -> _AnswerT:
        objection = question.last_objection if run.last_attempt and question.last_objection else question.objection
        if (wrong := objection(answer)) is not None:
            raise ModelRetry(question.feedback + wrong)
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
        raise _own_error(error, question, options, answers) from error
    return result.output


def _prices(provider: ModelProvider) -> dict[str, Price]:
    """Return the settings' prices of a provider's models."""
    return {name: Price(**price.model_dump()) for name, price in provider.prices.items()}


def _own_error(
    error: BaseException, question: Question[_AnswerT], options: ModelOptions, answers: list[ModelAnswer]
) -> PlanningError:
    """Return the error of ours for one of pydantic-ai's."""
    from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError, UsageLimitExceeded  # noqa: PLC0415 - likewise

    from squire_pipelines.planning.model_clients import fault_behind, is_unavailable  # noqa: PLC0415 - likewise

    if (fault := fault_behind(error, options.provider, options.name)) is not None:
        return ModelRefusedError(fault.message, hint=fault.hint)
    place = "base_url" if options.provider.name == DEFAULT_PROVIDER else "provider"
    hint = f"check `planner.model`, `planner.{place}` and the key `{options.provider.secret}`"
    if isinstance(error, ModelHTTPError):
        status = f"its provider answers with the HTTP status {error.status_code}"
        return ModelUnavailableError(status, hint=_LATER) if is_unavailable(error) else PlanningError(status, hint=hint)
    if isinstance(error, ModelAPIError):
        return ModelUnavailableError("its provider cannot be reached, or broke the connection off", hint=hint)
    if isinstance(error, UsageLimitExceeded):
        limit = f"the {options.max_tokens:,} tokens" if options.max_tokens is not None else "the requests"
        return PlanningError(f"the conversation used up {limit} that it may use", hint="see docs/guide/budgets.md")
    if answers:
        last = question.problem_of(answers[-1]) or "it has not the form that was asked for"
        many = f"{len(answers)} answers" if len(answers) > 1 else "its answer"
        return PlanningError(
            f"{many} could not be taken; the last: {one_line(last.removeprefix('- '), 600)}",
            hint="take a more capable model",
        )
    return PlanningError("the server's answer cannot be read as one of this interface", hint=hint)
