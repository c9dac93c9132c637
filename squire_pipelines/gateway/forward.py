"""A request as it goes to the upstream, whose limits are written last. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

from squire_pipelines.gateway.model import Protocol
from squire_pipelines.gateway.rules import RESPONSES_PATH

_LEAST_OUTPUT = {RESPONSES_PATH: 16}  # https://platform.openai.com/docs/api-reference/responses/create
# https://docs.anthropic.com/en/docs/build-with-claude/extended-thinking: at least that, and less than `max_tokens`.
LEAST_THINKING = 1024
_LEAST_GEMINI_THINKING = 512  # of some models: https://ai.google.dev/gemini-api/docs/thinking


@dataclass(frozen=True, slots=True)
class Forward:
    """A request as it goes to the upstream: `path` below the base URL.

    Args:
        method: Of HTTP.
        path: Below the base URL.
        model: As the provider calls it; None for the list of models.
        protocol: Whose interface it is.
        free: Whether it costs nothing and counts for no cap on tokens.
        rest: The document without its limits, as JSON.
        output: The greatest number of tokens of one answer.
        names_output: Whether the request names it even when there is no cap.
        output_key: Where it is named; None where an answer has no tokens.
        choices: How many answers are asked for.
        thinking: How the model is asked to think, whose budget depends on `output`.
        config: Where the limits stand if not in the document itself: the rest of Gemini's `generationConfig`.
        web_search: Whether the provider may search the web for the agent.
        dropped: The names of what was left out.
        input_estimate: The tokens that the request usually has.
        hidden_input: The most tokens of what is not in its bytes: pictures, documents, tools of the provider's own.
        has_notice: Whether it ends with what the agent is told of its cap.
        is_stream: Whether the answer has to come as a stream of events.
    """

    method: str
    path: str
    model: str | None
    protocol: Protocol = Protocol.OPENAI
    free: bool = False
    rest: bytes = b""
    output: int = 0
    names_output: bool = False
    output_key: str | None = None
    choices: int = 1
    thinking: Mapping[str, Any] | None = None
    config: Mapping[str, Any] | None = None
    web_search: bool = False
    dropped: tuple[str, ...] = ()
    input_estimate: int = field(default=0)
    hidden_input: int = 0
    has_notice: bool = False
    is_stream: bool = False

    @property
    def least_output(self) -> int:
        """The fewest tokens that an answer needs room for."""
        key, least = self._thinking_budget
        if self.thinking is not None and self.thinking.get(key, 0) > 0:
            return min(least, int(self.thinking[key])) + 1
        return _LEAST_OUTPUT.get("/v1" + self.path, 1)

    def within(self, most_output: int | None) -> "Forward":
        """Return the request with no more tokens for an answer than `most_output`; None for any number."""
        if self.free or most_output is None or self.output <= most_output:
            return self
        return replace(self, output=most_output, names_output=True)

    @property
    def _thinking_budget(self) -> tuple[str, int]:
        """What the budget for thinking is called, and the least that may be left of it."""
        if self.config is not None:
            return "thinkingBudget", _LEAST_GEMINI_THINKING
        return "budget_tokens", LEAST_THINKING

    @property
    def greatest_input(self) -> int:
        """The most tokens that the request can have: no tokenizer makes more than one of a byte of text."""
        return len(self.rest) + self.hidden_input

    def body(self, output: int | None) -> bytes:
        """Return the document with its limits: `output` tokens for each answer, or what the provider gives for None."""
        limits: dict[str, Any] = {}
        if self.thinking is not None:
            key, thinking = self._thinking_budget[0], dict(self.thinking)
            if output is not None and thinking.get(key, 0) >= output:
                thinking[key] = output - 1
            limits["thinking" if self.config is None else "thinkingConfig"] = thinking
        if output is not None and self.output_key is not None:
            limits[self.output_key] = output
        if self.config is not None and (self.config or limits):
            limits = {"generationConfig": {**self.config, **limits}}
        return b"{" + write_json(limits)[1:-1] + b"," + self.rest[1:] if limits else self.rest


def write_json(document: Mapping[str, Any]) -> bytes:
    """Return a document as JSON in UTF-8, in which half a character is a question mark."""
    try:
        return to_json(document)
    except PydanticSerializationError:  # half a character
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
