"""What compatible servers answer: nulls that mean nothing, and answers that do not end by themselves.

It imports pydantic-ai, which takes seconds: import it where it is used.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from math import isfinite
from types import MappingProxyType
from typing import Any

from genai_prices import calc_price
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletion
from openai.types.completion_usage import PromptTokensDetails
from pydantic import ValidationError
from pydantic_ai.exceptions import UnexpectedModelBehavior
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.providers import Provider
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage, RunUsage

from squire_pipelines.errors import ModelUnavailableError, PlanningError
from squire_pipelines.gateway.model import Tokens
from squire_pipelines.gateway.prices import Price
from squire_pipelines.gateway.usage_report import read_report
from squire_pipelines.planning.answer_reading import ModelAnswer
from squire_pipelines.planning.quoting import one_line

_ENDED = frozenset({"stop", "tool_call"})
_LENGTH = "length"
_SERVERS = "error"
_MAX_TOKENS = 2**31 - 1  # what a column of the ledger takes
# What libraries raise where an answer is JSON that nests too deeply, or has values that no reader expects.
_UNREADABLE = (RecursionError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError)


def whole_tokens(stated: object) -> int:
    """Return a server's count of tokens, from 0 to what the ledger takes; 0 for what is no count."""
    if not isinstance(stated, int | float) or not isfinite(stated):
        return 0
    return min(max(int(stated), 0), _MAX_TOKENS)


class CompatibleModel(OpenAIChatModel):
    """A model behind a compatible endpoint. What an answer cost is added to `usage` also when it cannot be read."""

    def __init__(self, name: str, provider: Provider[AsyncOpenAI], usage: RunUsage) -> None:
        super().__init__(name, provider=provider)
        self._spent = usage
        self.stated_usd: float | None = None  # by the server, of its last answer

    def _validate_completion(self, response: ChatCompletion) -> Any:
        # The client library has checked nothing yet. Nobody reads these fields, and some servers send them as null.
        response.id, response.object = response.id or "", "chat.completion"
        for place, choice in enumerate(response.choices or ()):
            choice.index = place
            for number, call in enumerate((choice.message and choice.message.tool_calls) or ()):
                call.id = call.id or f"call_{number}"
        self.stated_usd = None
        try:
            completion = super()._validate_completion(response)
        except ValidationError:
            self._count(response)
            raise
        if not completion.choices:  # pydantic-ai takes the first without a look
            self._count(response)
            raise UnexpectedModelBehavior("the answer has no choices")
        if (spent := completion.usage) is not None:  # of less than nothing the library warns in words of its own
            report = read_report({"usage": spent.model_dump(mode="json")}) or Tokens()
            spent.prompt_tokens = whole_tokens(spent.prompt_tokens if report.input is None else report.input)
            spent.completion_tokens = whole_tokens(spent.completion_tokens if report.output is None else report.output)
            if report.cached and spent.prompt_tokens_details is None:  # in words of the server's own
                spent.prompt_tokens_details = PromptTokensDetails(cached_tokens=report.cached)
            self.stated_usd = report.stated_usd
        return completion

    def _count(self, response: ChatCompletion) -> None:
        if (spent := response.usage) is not None:
            self._spent.incr(
                RequestUsage(
                    input_tokens=whole_tokens(spent.prompt_tokens), output_tokens=whole_tokens(spent.completion_tokens)
                )
            )


class EndedAnswers(WrapperModel):
    """Asks a model again only after an answer that it ended by itself: what was cut would be cut again, and is paid.

    `answers` gets what it answered, with what that cost: by the server's own figure where that is believed
    (`states_cost`), by the settings' `prices`, or by those of the price library.
    """

    def __init__(
        self,
        wrapped: Model,
        answers: list[ModelAnswer],
        prices: Mapping[str, Price] = MappingProxyType({}),
        *,
        states_cost: bool = False,
    ) -> None:
        super().__init__(wrapped)
        self._answers = answers
        self._prices = prices
        self._states_cost = states_cost

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Ask, unless the last answer was cut or broken off.

        Raises:
            PlanningError: It was.
            AgentRunError: As the model does, also where a library fails at reading the answer.
        """
        if self._answers and (cut_short := self._answers[-1].cut_short):
            if self._answers[-1].is_servers:
                raise ModelUnavailableError(cut_short, hint="see the server's log, and check `planner.model`")
            raise PlanningError(cut_short, hint="lower `planner.max_tasks`, or let the server answer at more length")
        try:
            response = await super().request(messages, model_settings, model_request_parameters)
        except _UNREADABLE as error:
            raise UnexpectedModelBehavior("the answer cannot be read") from error
        own_usd = _cost_of(response, self.model_name, self._prices)
        stated = self.wrapped.stated_usd if isinstance(self.wrapped, CompatibleModel) else None
        is_believed = stated is not None and (own_usd is None or self._states_cost)
        costs = replace(
            _read_answer(response),
            cost_usd=stated if is_believed else own_usd,
            stated_usd=stated,
            cost_difference_usd=stated - own_usd if stated is not None and own_usd is not None else None,
        )
        self._answers.append(costs)
        return response


def _cost_of(response: ModelResponse, model: str, prices: Mapping[str, Price]) -> float | None:
    """Return what an answer cost, in US dollars; None where it reports no tokens, or nobody knows the price."""
    used = response.usage
    if not (used.input_tokens or used.output_tokens):
        return None
    if (own := prices.get(model)) is not None:
        tokens = Tokens(used.input_tokens, used.output_tokens, used.cache_read_tokens, used.cache_write_tokens)
        return own.cost_of(tokens)
    try:
        return float(response.cost().total_price)
    except (LookupError, ValueError, AssertionError):
        pass  # a server of one's own, whose address the library does not know; below, by the model's name alone
    try:
        return float(calc_price(used, model_ref=model, genai_request_timestamp=response.timestamp).total_price)
    except (LookupError, ValueError):
        return None


def _read_answer(response: ModelResponse) -> ModelAnswer:
    texts = []
    for part in response.parts:
        if isinstance(part, ToolCallPart):
            texts.append(part.args if isinstance(part.args, str) else json.dumps(part.args, default=str))
        elif isinstance(part, TextPart) and part.content:
            texts.append(part.content)
    reason = _why_ended(response)
    if reason is None:
        return ModelAnswer(tuple(texts))
    if reason == _LENGTH:
        tokens = response.usage.output_tokens
        cut_short = (
            f"its answer was cut at {tokens} tokens (finish_reason {reason}), and is not asked for again, since it "
            "would be cut again"
        )
    else:
        cut_short = f"the server broke its answer off (finish_reason {one_line(reason, 40)})"
    return ModelAnswer(tuple(texts), cut_short, is_servers=reason == _SERVERS)


def _why_ended(response: ModelResponse) -> str | None:
    """Return by which reason an answer ended that did not end by itself; None where it did, or nothing was said."""
    stated = (response.provider_details or {}).get("finish_reason")
    if response.finish_reason in _ENDED or (response.finish_reason is None and not stated):
        return None
    return str(response.finish_reason or stated)
