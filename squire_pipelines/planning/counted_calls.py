"""What a conversation with a model used is told once, however the conversation ends."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from squire_pipelines.errors import PlanningError
from squire_pipelines.metrics import counting as metrics
from squire_pipelines.metrics import families
from squire_pipelines.planning.answer_reading import ModelAnswer
from squire_pipelines.planning.conversation import ModelOptions
from squire_pipelines.planning.schema import ModelCall
from squire_pipelines.secrets.redact import process_redactor

if TYPE_CHECKING:
    from pydantic_ai.usage import RunUsage


@contextmanager
def counted(
    options: ModelOptions, on_call: Callable[[ModelCall], None], answers: Sequence[ModelAnswer]
) -> Iterator["RunUsage"]:
    """Yield what a conversation counts its use in, and call `on_call` with it at the end, also of one that failed.

    `answers` are those of the conversation, as they come.
    """
    from pydantic_ai.usage import RunUsage  # noqa: PLC0415 - it takes seconds to import

    from squire_pipelines.planning.model_answers import whole_tokens  # noqa: PLC0415 - likewise

    usage = RunUsage()
    started, failure = time.monotonic(), "interrupted"
    try:
        yield usage
        failure = ""
    except PlanningError as error:
        failure = process_redactor().redact(error.message)  # it may quote an answer
        raise
    finally:
        metrics.count(families.MODEL_RETRIES, "plan", amount=max(0, usage.requests - 1))
        on_call(
            ModelCall(
                planner=f"llm:{options.name}",
                model=options.name,
                provider=options.provider.name,
                input_tokens=whole_tokens(usage.input_tokens),
                output_tokens=whole_tokens(usage.output_tokens),
                cost_usd=_cost_usd(answers, usage.requests, usage.cost),
                stated_usd=_sum_of(answer.stated_usd for answer in answers),
                cost_difference_usd=_sum_of(answer.cost_difference_usd for answer in answers),
                latency_s=time.monotonic() - started,
                ok=not failure,
                error=failure,
                asks=usage.requests,
            )
        )


def _sum_of(amounts: Iterable[float | None]) -> float | None:
    """Return the sum of what is known; None where nothing is."""
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if known else None


def _cost_usd(answers: Sequence[ModelAnswer], requests: int, counted: object) -> float | None:
    """Return what a conversation cost; None where the price of an answer, or of one that nobody could read, is unknown.

    `counted` is what the library that converses has counted, which knows only the addresses of the big providers.
    """
    costs = [answer.cost_usd for answer in answers]
    if len(costs) < requests or None in costs:
        return float(str(counted)) if counted is not None else None
    return sum(filter(None, costs)) if costs else None
