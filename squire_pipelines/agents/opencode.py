"""What OpenCode says of itself: its NDJSON events (`opencode run --format json`) summed up, line by line. Pure.

Its exit code misleads (0 after some errors), so the summary is judged together with exit code and result.
"""

import json
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

_MAX_ERRORS = 20
_MAX_MESSAGE_CHARS = 500
# Names of OpenCode's errors that are the agent's or its user's and not the model provider's.
_NOT_THE_PROVIDER = frozenset({"MessageAbortedError", "MessageOutputLengthError", "ContextOverflowError"})


class _Lenient(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Cache(_Lenient):
    read: int = 0
    write: int = 0


class _Tokens(_Lenient):
    input: int = 0
    output: int = 0
    reasoning: int = 0
    cache: _Cache = _Cache()


class _Part(_Lenient):
    tokens: _Tokens = _Tokens()
    cost: float = 0.0


class _Failure(_Lenient):
    name: str = "UnknownError"
    data: dict[str, Any] = Field(default_factory=dict)

    @property
    def message(self) -> str:
        text = self.data.get("message")
        return text if isinstance(text, str) else ""


class _Event(_Lenient):
    type: str
    session_id: str | None = Field(default=None, alias="sessionID")
    part: _Part = _Part()
    error: _Failure | None = None


@dataclass(frozen=True, slots=True)
class OpenCodeError:
    """One `error` event: OpenCode's name for it and its message, cut at 500 characters."""

    name: str
    message: str

    @property
    def is_provider(self) -> bool:
        """Whether the model's provider is at fault, so that another try may help."""
        return self.name not in _NOT_THE_PROVIDER


@dataclass(frozen=True, slots=True)
class OpenCodeSummary:
    """A session in numbers. `cost_usd` is OpenCode's own estimate; `ended_in_error` is the session's last word."""

    session_id: str | None = None
    events: int = 0
    steps: int = 0
    tool_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cache_read_tokens: int = 0
    cost_usd: float = 0.0
    errors: tuple[OpenCodeError, ...] = ()
    ended_in_error: bool = False

    @property
    def fatal_error(self) -> OpenCodeError | None:
        """The error that ended the session, if one did."""
        return self.errors[-1] if self.ended_in_error and self.errors else None

    def facts(self) -> dict[str, JsonValue]:
        """For an ending's evidence."""
        return {
            "session_id": self.session_id,
            "steps": self.steps,
            "tool_calls": self.tool_calls,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "reasoning_tokens": self.reasoning_tokens,
            "cache_read_tokens": self.cache_read_tokens,
            "cost_usd": self.cost_usd,
            "errors": [f"{error.name}: {error.message}" for error in self.errors],
        }


@dataclass(slots=True)
class OpenCodeReader:
    """Sums up events as their lines pass; lines that are no events are left alone."""

    summary: OpenCodeSummary = field(default_factory=OpenCodeSummary)

    def line(self, text: str) -> None:
        """Take one line of the log."""
        if not text.startswith("{"):
            return
        try:
            event = _Event.model_validate(json.loads(text))
        except (ValueError, ValidationError, RecursionError):
            return  # the agent's commands print JSON too
        self.summary = _after(self.summary, event)


def _after(known: OpenCodeSummary, event: _Event) -> OpenCodeSummary:
    known = replace(
        known, events=known.events + 1, session_id=known.session_id or event.session_id, ended_in_error=False
    )
    match event.type:
        case "step_finish":
            tokens = event.part.tokens
            return replace(
                known,
                steps=known.steps + 1,
                input_tokens=known.input_tokens + tokens.input,
                output_tokens=known.output_tokens + tokens.output,
                reasoning_tokens=known.reasoning_tokens + tokens.reasoning,
                cache_read_tokens=known.cache_read_tokens + tokens.cache.read,
                cost_usd=known.cost_usd + event.part.cost,
            )
        case "tool_use":
            return replace(known, tool_calls=known.tool_calls + 1)
        case "error":
            failure = event.error or _Failure()
            error = OpenCodeError(failure.name[:100], failure.message[:_MAX_MESSAGE_CHARS])
            return replace(known, errors=(*known.errors, error)[-_MAX_ERRORS:], ended_in_error=True)
        case _:
            return known


def summarize(lines: list[str]) -> OpenCodeSummary:
    """The summary of a whole log."""
    reader = OpenCodeReader()
    for text in lines:
        reader.line(text)
    return reader.summary
