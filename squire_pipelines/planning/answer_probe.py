"""Asks a model one tiny question whose answer has a form, as plans have: whether it can plan, for less than a cent."""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from pydantic import BaseModel, ConfigDict

from squire_pipelines.errors import PlanningError
from squire_pipelines.planning.answer_reading import ModelAnswer
from squire_pipelines.planning.conversation import ModelOptions, Question, converse, open_named_model
from squire_pipelines.planning.counted_calls import counted
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
    question = Question(_QUESTION, ProbeAnswer, _INSTRUCTIONS, _objection, max_output=MAX_OUTPUT_TOKENS)
    calls: list[ModelCall] = []
    answers: list[ModelAnswer] = []

    def count(call: ModelCall) -> None:
        calls.append(replace(call, planner="doctor"))
        on_call(calls[-1])

    try:
        with counted(options, count, answers) as usage:
            async with open_named_model(options, usage) as model:
                await converse(model, question, options, usage=usage, answers=answers)
    except PlanningError as error:
        # The cause is dropped: a provider's error may quote the key.
        raise type(error)(error.message, hint=error.hint, context={"model": options.name}) from None
    return calls[-1]


def _objection(answer: ProbeAnswer) -> str | None:
    return None if answer.letters == _LETTERS else "count the letters again"
