"""Reads events that programs print as JSON lines, for all adapters at once. Pure.

Anything in a line may have been written by a model or by what it ran: a line that is no event means nothing, a field of
another type than expected counts as missing, and nothing raises.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, TypeAlias

from pydantic import ValidationError

from squire_pipelines.agents.adapters.protocol import Parser
from squire_pipelines.agents.adapters.transcript import (
    MAX_MESSAGE_CHARS,
    MAX_NAME_CHARS,
    Entry,
    ModelText,
    SessionError,
    SessionNote,
    ToolCall,
    cut,
)

Event: TypeAlias = Mapping[str, Any]
_NOTHING: Event = MappingProxyType({})
_MAX_PENDING = 1000
_MAX_COUNT = 10**12


def lines_parser(entries_of: Callable[[Event], Iterable[Entry]]) -> Parser:
    """Return a parser that gives each line's JSON object to `entries_of`; a line that is none makes no entry."""

    def parse(line: str) -> Iterable[Entry]:
        if not line.startswith("{"):
            return ()
        try:
            return tuple(entries_of(read_document(line)))
        except (ValueError, ValidationError, RecursionError, OverflowError):
            return ()

    return parse


def read_document(text: str) -> Event:
    """Return the object that a JSON text holds, an empty one for any other text."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return _NOTHING
    return value if isinstance(value, dict) else _NOTHING


def part_of(event: Event, *path: str) -> Event:
    """Return the object at a path of names, empty where there is none."""
    for name in path:
        value = event.get(name)
        event = value if isinstance(value, dict) else _NOTHING
    return event


def parts_of(event: Event, name: str) -> list[Event]:
    """Return the objects of a list."""
    value = event.get(name)
    return [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []


def text_of(event: Event, name: str) -> str:
    """Return a text, empty where there is none."""
    value = event.get(name)
    return value if isinstance(value, str) else ""


def count_of(event: Event, *names: str) -> int:
    """Return the first of these fields that is a sensible count, else 0."""
    for name in names:
        value = event.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_COUNT:
            return value
    return 0


def cost_of(event: Event, name: str) -> float:
    """Return an amount in USD, 0 where there is none that is sensible."""
    value = event.get(name)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value <= 10**6 else 0.0  # type: ignore[arg-type,operator]  # a number


def time_of(event: Event, name: str = "timestamp") -> datetime | None:
    """Return an instant in ISO 8601 with an offset; None for anything else."""
    try:
        at = datetime.fromisoformat(text_of(event, name))
    except ValueError:
        return None
    return at.astimezone(UTC) if at.tzinfo is not None else None


def plain_text(value: Any) -> str:
    """Return what a tool was given or gave as text: a text as it is, the texts of content blocks, else JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(part, dict) and "text" in part for part in value):
        return "\n".join(text_of(part, "text") for part in value)
    return json.dumps(value, ensure_ascii=False)


def model_text(text: str, **common: Any) -> Iterable[Entry]:
    """Yield a text of the model's, unless it is empty."""
    if text.strip():
        yield ModelText(**common, text=cut(text))


def note(text: str, **common: Any) -> SessionNote:
    """Return a note, cut."""
    return SessionNote(**common, text=text[:MAX_MESSAGE_CHARS])


def failure(name: str, message: str, *, provider: bool, **common: Any) -> SessionError:
    """Return an error, cut."""
    return SessionError(
        **common, name=(name or "error")[:MAX_NAME_CHARS], message=message[:MAX_MESSAGE_CHARS], provider=provider
    )


class ToolCalls:
    """Joins the start of each tool call with its end, which names it by an id alone."""

    def __init__(self) -> None:
        self._pending: dict[str, tuple[str, str, datetime | None]] = {}

    def start(self, call_id: str, tool: str, arguments: Any, at: datetime | None = None) -> None:
        """Remember a call; the oldest is forgotten when there are far too many."""
        if len(self._pending) >= _MAX_PENDING:
            self._pending.pop(next(iter(self._pending)))
        self._pending[call_id] = (tool, plain_text(arguments), at)

    def end(self, call_id: str, output: Any, *, failed: bool, at: datetime | None = None, **common: Any) -> ToolCall:
        """Return the call with its outcome, by name and input where its start was seen."""
        tool, arguments, began = self._pending.pop(call_id, ("", "", None))
        seconds = None
        if began is not None and at is not None:
            seconds = min(max(0.0, round((at - began).total_seconds(), 3)), 1e7)
        text = plain_text(output)
        return ToolCall(
            **common,
            at=at,
            tool=(tool or "unknown")[:MAX_NAME_CHARS],
            status="error" if failed else "completed",
            input=cut(arguments),
            output="" if failed else cut(text),
            error=text[:MAX_MESSAGE_CHARS] if failed else "",
            seconds=seconds,
        )
