"""Reads events that programs print as JSON lines, for all adapters at once. Pure.

Anything in a line may have been written by a model or by what it ran: a line that is no event means nothing, a field of
another type than expected counts as missing, and nothing raises.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, TypeAlias

from pydantic import ValidationError

from squire_pipelines.agents.adapters.protocol import Parser
from squire_pipelines.agents.adapters.transcript import Entry

Event: TypeAlias = Mapping[str, Any]
_NOTHING: Event = MappingProxyType({})
_MAX_COUNT = 10**12
_MAX_COST_USD = 10**6
_HALF = re.compile(r"(?i)\\ud[89a-f]")  # of a character of two halves, as JSON escapes it


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
    """Return the object that a JSON text holds, an empty one for any other text.

    Half a character, which programs leave that cut a text by UTF-16's units, becomes a question mark: no entry could
    have it.
    """
    try:
        value = json.loads(text)
        if _HALF.search(text) is not None:
            value = json.loads(json.dumps(value, ensure_ascii=False).encode(errors="replace"))
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


def number_of(event: Event, name: str) -> float | None:
    """Return a number; None where there is none."""
    value = event.get(name)
    try:
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    except OverflowError:
        return None


def cost_of(event: Event, name: str) -> float:
    """Return an amount in USD, 0 where there is none that is sensible."""
    value = number_of(event, name)
    return value if value is not None and 0 <= value <= _MAX_COST_USD else 0.0


def time_of(event: Event, name: str = "timestamp") -> datetime | None:
    """Return an instant in ISO 8601 with an offset; None for anything else."""
    try:
        at = datetime.fromisoformat(text_of(event, name))
    except ValueError:
        return None
    return at.astimezone(UTC) if at.tzinfo is not None else None


def moment_of(seconds: float | None) -> datetime | None:
    """Return the instant so many seconds after the epoch; None for none, and for one that no date has."""
    try:
        return datetime.fromtimestamp(seconds, UTC) if seconds else None
    except (ValueError, OverflowError, OSError):
        return None


def plain_text(value: Any) -> str:
    """Return what a tool was given or gave as text: a text as it is, the texts of content blocks, else JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(part, dict) and "text" in part for part in value):
        return "\n".join(text_of(part, "text") for part in value)
    return json.dumps(value, ensure_ascii=False)
