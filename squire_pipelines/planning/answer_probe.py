"""Asks a model one tiny question whose answer has a form, as plans have: whether it can plan, for less than a cent."""

import time
from collections.abc import Callable
from typing import Literal

from pydantic import BaseModel, ConfigDict

from squire_pipelines.errors import PlanningError
from squire_pipelines.planning.conversation import ModelOptions, Question, converse, open_named_model
from squire_pipelines.planning.schema import ModelCall

MAX_OUTPUT_TOKENS = 2048
"""Models that reason first need some hundred; a provider may ask for at least as many as this."""

MAX_RETRIES = 1
_INSTRUCTIONS = "You are asked whether you can answer in a given form. Answer at once, without explanations."
_QUESTION = "How many letters has the word `squire`?"
_LETTERS = 6


class ProbeAnswer(BaseModel):
    """The form of the answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    word: Literal["squire"]
    letters: int


async def probe_model(options: ModelOptions, *, on_call: Callable[[ModelCall], None]) -> ModelCall:
    """Ask a model the question once, and once again after an answer that has not the form; return what it cost.

    Args:
        options: Which model, and its limits.
        on_call: Called once with what it cost, also when it failed.

    Raises:
        ModelUnavailableError, ModelRefusedError: The model cannot be reached or used, or took too long.
        PlanningError: Its answers had not the form.
    """
    from pydantic_ai.usage import RunUsage  # noqa: PLC0415 - it takes seconds to import

    usage, started, failure = RunUsage(), time.monotonic(), "interrupted"
    question = Question(_QUESTION, ProbeAnswer, _INSTRUCTIONS, _objection, max_output=MAX_OUTPUT_TOKENS)

    def call() -> ModelCall:
        return ModelCall(
            planner="doctor",
            model=options.name,
            provider=options.provider.name,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cost_usd=float(usage.cost) if usage.cost is not None else None,
            latency_s=time.monotonic() - started,
            ok=not failure,
            error=failure,
            asks=usage.requests,
        )

    try:
        async with open_named_model(options, usage) as model:
            await converse(model, question, options, usage=usage, answers=[])
    except PlanningError as error:
        failure = error.message
        # The cause is dropped: a provider's error may quote the key.
        raise type(error)(failure, hint=error.hint, context={"model": options.name}) from None
    else:
        failure = ""
        return call()
    finally:
        on_call(call())


def _objection(answer: ProbeAnswer) -> str | None:
    return None if answer.letters == _LETTERS else "count the letters again"
