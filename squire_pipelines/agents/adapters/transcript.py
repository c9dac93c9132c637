"""Models an agent's session as typed entries, whatever the agent: steps, tool calls, texts, errors. Pure.

Every text is cut at a bound, so that an entry is never larger than a few kilobytes.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Annotated, Literal, TypeAlias

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, StringConstraints, TypeAdapter

MAX_TEXT_CHARS = 4000
MAX_MESSAGE_CHARS = 500
MAX_NAME_CHARS = 100
_MAX_ERRORS = 20
_LAST_STEP = "stop"
SESSION_ENDED = "the session ended"
"""The note that a program with an event for it leaves: nothing comes after it."""
_SUMMED = ("input_tokens", "output_tokens", "reasoning_tokens", "cache_read_tokens", "cost_usd")


def cut(text: str, limit: int = MAX_TEXT_CHARS) -> str:
    """Return `text`, or its beginning with a mark that says how much is missing."""
    return text if len(text) <= limit else f"{text[: limit - 40]}… ({len(text) - limit + 40} more characters)"


Name = Annotated[str, StringConstraints(max_length=MAX_NAME_CHARS)]
Text = Annotated[str, StringConstraints(max_length=MAX_TEXT_CHARS)]
Message = Annotated[str, StringConstraints(max_length=MAX_MESSAGE_CHARS)]
Count = Annotated[int, Field(ge=0, le=10**12)]


class _TranscriptEntry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    at: AwareDatetime | None = None
    session: Name | None = None


class ModelStep(_TranscriptEntry):
    """One answer of the model: tokens, and the cost in USD by the agent's own estimate."""

    kind: Literal["step"] = "step"
    input_tokens: Count = 0
    output_tokens: Count = 0
    reasoning_tokens: Count = 0
    cache_read_tokens: Count = 0
    cache_write_tokens: Count = 0
    cost_usd: float = Field(default=0.0, ge=0, le=1e6)
    reason: Name = ""


class ToolCall(_TranscriptEntry):
    """One use of a tool. `input` is JSON text; `output` is what the model was shown, `error` why it failed.

    `refused`: the program did not let the model use it, so that it did nothing at all.
    """

    kind: Literal["tool"] = "tool"
    tool: Name
    status: Literal["completed", "error", "unknown"] = "unknown"
    title: Message = ""
    input: Text = ""
    output: Text = ""
    error: Message = ""
    refused: bool = False
    seconds: float | None = Field(default=None, ge=0, le=1e7)


class ModelText(_TranscriptEntry):
    """A text that the model wrote for people."""

    kind: Literal["text"] = "text"
    text: Text


class SessionError(_TranscriptEntry):
    """An error that the agent reported. `provider`: the model's provider is at fault, so that another try may help."""

    kind: Literal["error"] = "error"
    name: Name
    message: Message = ""
    provider: bool = False


class SessionNote(_TranscriptEntry):
    """Anything else that belongs to the session, such as its beginning."""

    kind: Literal["note"] = "note"
    text: Message


Entry: TypeAlias = Annotated[ModelStep | ToolCall | ModelText | SessionError | SessionNote, Field(discriminator="kind")]
_ADAPTER: TypeAdapter[Entry] = TypeAdapter(Entry)


def dump(entry: Entry) -> str:
    """Return an entry as one line of `transcript.jsonl`, without its end; what has no value is left out."""
    fields = entry.model_dump(mode="json", exclude_defaults=True)
    return json.dumps({"kind": entry.kind, **fields}, ensure_ascii=False)


def load(line: str) -> Entry:
    """Return the entry of one line. Raises ValueError (pydantic's) for anything else."""
    return _ADAPTER.validate_json(line)


@dataclass(frozen=True, slots=True)
class SessionTotals:
    """A session in numbers. `cost_usd` is the agent's own estimate; `ended_in_error`: its last entry is an error.

    `said_last`: its last step or error ends the session, as far as the entries tell.
    `refused_call` is the last use of a tool where the program refused it; None where that one was let through.
    """

    session_id: str | None = None
    entries: int = 0
    steps: int = 0
    tool_calls: int = 0
    failed_tool_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cache_read_tokens: int = 0
    cost_usd: float = 0.0
    errors: tuple[SessionError, ...] = ()
    ended_in_error: bool = False
    said_last: bool = False
    refused_call: ToolCall | None = None

    @property
    def fatal_error(self) -> SessionError | None:
        """The error that ended the session, if one did."""
        return self.errors[-1] if self.ended_in_error and self.errors else None

    def after(self, entry: Entry) -> "SessionTotals":
        """Return the sums with one more entry."""
        totals = replace(
            self, entries=self.entries + 1, session_id=self.session_id or entry.session, ended_in_error=False
        )
        match entry:
            case ModelStep():
                sums = {name: getattr(totals, name) + getattr(entry, name) for name in _SUMMED}
                return replace(totals, steps=totals.steps + 1, said_last=entry.reason == _LAST_STEP, **sums)
            case ToolCall():
                failed = totals.failed_tool_calls + (entry.status == "error")
                refused = entry if entry.refused else None
                calls = totals.tool_calls + 1
                return replace(
                    totals, tool_calls=calls, failed_tool_calls=failed, refused_call=refused, said_last=False
                )
            case SessionError():
                errors = (*totals.errors, entry)[-_MAX_ERRORS:]
                return replace(totals, errors=errors, ended_in_error=True, said_last=True)
            case SessionNote() if entry.text == SESSION_ENDED:
                return replace(totals, said_last=True)
            case _:
                return totals

    def facts(self) -> dict[str, JsonValue]:
        """Return them for an ending's evidence and a run's metadata."""
        names = ("session_id", "steps", "tool_calls", "failed_tool_calls", *_SUMMED)
        return {name: getattr(self, name) for name in names} | {
            "errors": [f"{error.name}: {error.message}" for error in self.errors]
        }


def total(entries: Iterable[Entry]) -> SessionTotals:
    """Return the sums over a whole session."""
    totals = SessionTotals()
    for entry in entries:
        totals = totals.after(entry)
    return totals
