"""What compatible servers answer: nulls that mean nothing, and answers that do not end by themselves.

It imports pydantic-ai, which takes seconds: import it where it is used.
"""

from typing import Any

from openai import AsyncOpenAI
from openai.types.chat import ChatCompletion
from pydantic import ValidationError
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.providers import Provider
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage, RunUsage

from squire_pipelines.errors import PlanningError

_ENDED = frozenset({"stop", "tool_call"})
_LENGTH = "length"


class CompatibleModel(OpenAIChatModel):
    """A model behind a compatible endpoint. What an answer cost is added to `usage` also when it cannot be read."""

    def __init__(self, name: str, provider: Provider[AsyncOpenAI], usage: RunUsage) -> None:
        super().__init__(name, provider=provider)
        self._spent = usage

    def _validate_completion(self, response: ChatCompletion) -> Any:
        # The client library has checked nothing yet. Nobody reads these fields, and some servers send them as null.
        response.id, response.object = response.id or "", "chat.completion"
        for place, choice in enumerate(response.choices or ()):
            choice.index = place
            for number, call in enumerate((choice.message and choice.message.tool_calls) or ()):
                call.id = call.id or f"call_{number}"
        try:
            return super()._validate_completion(response)
        except ValidationError:
            if (spent := response.usage) is not None:
                self._spent.incr(
                    RequestUsage(input_tokens=spent.prompt_tokens or 0, output_tokens=spent.completion_tokens or 0)
                )
            raise


class EndedAnswers(WrapperModel):
    """Asks a model again only after an answer that it ended by itself: what was cut would be cut again, and is paid."""

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Ask, unless the last answer was cut or broken off. Raises PlanningError."""
        last = next((message for message in reversed(messages) if isinstance(message, ModelResponse)), None)
        if last is not None and (reason := _why_ended(last)) is not None:
            if reason == _LENGTH:
                raise PlanningError(
                    f"its answer was cut at {last.usage.output_tokens} tokens (finish_reason {reason}), and is not "
                    "asked for again, since it would be cut again",
                    hint="lower `planner.max_tasks`, or let the server answer at more length",
                )
            raise PlanningError(
                f"the server broke its answer off (finish_reason {reason})",
                hint="see the server's log, and check `planner.model` and `planner.base_url`",
            )
        return await super().request(messages, model_settings, model_request_parameters)


def _why_ended(response: ModelResponse) -> str | None:
    """Return by which reason an answer ended that did not end by itself; None where it did, or nothing was said."""
    stated = (response.provider_details or {}).get("finish_reason")
    if response.finish_reason in _ENDED or (response.finish_reason is None and not stated):
        return None
    return str(response.finish_reason or stated)
