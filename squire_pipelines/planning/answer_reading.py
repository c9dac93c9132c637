"""Reads what a model answered: JSON alone, in a fence, between sentences, wrapped in other names, or cut. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from squire_pipelines.planning.quoting import one_line

MAX_CHARS = 1_000_000
"""Of one answer: no plan needs as many, and more is not read."""

_FENCE = "```"
_MAX_FENCES = 10
_WRAPPERS = ("plan", "final_result", "arguments", "parameters", "input", "output", "result", "response", "answer")
_MAX_DEPTH = 4
_MAX_ERRORS = 10
_WORDS = {
    "missing": "is missing",
    "extra_forbidden": "is no field of the form",
    "string_too_long": "is too long",
    "string_too_short": "is too short",
    "too_long": "has too many entries",
    "string_type": "is no text",
    "json_invalid": "is no JSON",
}


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """One answer of a model.

    Args:
        texts: What it gave as the form, and what it wrote.
        cut_short: Why it did not end by itself; empty where it did.
        is_servers: The server broke it off by an error of its own.
        cost_usd: What it cost with its question, in US dollars; None where nobody knows the price.
        stated_usd: What the provider says that it cost; None where it says nothing.
        cost_difference_usd: How much that is above our own calculation; None where one of the two is not known.
    """

    texts: tuple[str, ...]
    cut_short: str = ""
    is_servers: bool = False
    cost_usd: float | None = None
    stated_usd: float | None = None
    cost_difference_usd: float | None = None


@dataclass(frozen=True, slots=True)
class AnswerValue:
    """One JSON value of an answer's text; `whole` says that it was not cut."""

    value: Any
    whole: bool


def json_values(text: str) -> Iterator[AnswerValue]:
    """Read the JSON values that a text may be meant as, the likeliest first; at the end one that was cut."""
    if len(text) > MAX_CHARS:
        return
    for candidate in _candidates(text):
        try:
            yield AnswerValue(from_json(candidate), whole=True)
        except ValueError:
            continue
    if (start := text.find("{")) >= 0:
        try:
            yield AnswerValue(from_json(text[start:], allow_partial=True), whole=False)
        except ValueError:
            return


def unwrap(value: Any, field: str, *, depth: int = 0) -> dict[str, Any] | None:
    """Return the object with this field in a JSON value, whatever it is wrapped in; None when there is none.

    A list of objects counts as the field's value.
    """
    if depth > _MAX_DEPTH:
        return None
    if isinstance(value, str):
        unwrapped = (unwrap(reading.value, field, depth=depth + 1) for reading in json_values(value) if reading.whole)
        return next((inner for inner in unwrapped if inner is not None), None)
    if isinstance(value, list) and value and all(isinstance(entry, dict) for entry in value):
        inner = unwrap(value[0], field, depth=depth + 1) if len(value) == 1 else None
        return inner if inner is not None else {field: value}
    if not isinstance(value, dict):
        return None
    if isinstance(value.get(field), list):
        return value
    inside = (value[name] for name in _WRAPPERS if name in value)
    return next((inner for part in inside if (inner := unwrap(part, field, depth=depth + 1)) is not None), None)


def describe_errors(error: ValidationError) -> str:
    """Return what is wrong with a value, in words of our own, on one line."""
    errors = error.errors(include_url=False)
    lines = []
    for problem in errors[:_MAX_ERRORS]:
        place = ".".join(str(part) for part in problem["loc"]) or "the answer"
        own = problem.get("ctx", {}).get("error") if problem["type"] == "value_error" else None
        words = own or _WORDS.get(problem["type"]) or _not_allowed(problem["type"], problem.get("ctx", {}))
        lines.append(f"{one_line(place, 100)}: {words}")
    if (more := len(errors) - len(lines)) > 0:
        lines.append(f"and {more} more")
    return one_line("; ".join(lines), 600)


def _not_allowed(error_type: str, context: Mapping[str, Any]) -> str:
    # What was expected is from our own form, so that whoever answers again knows what to choose from.
    if error_type in {"enum", "literal_error"} and (expected := context.get("expected")):
        return f"is none of the values that are allowed: {expected}"
    return f"has a value that is not allowed ({error_type})"


def _candidates(text: str) -> Iterator[str]:
    stripped = text.strip()
    if not stripped:
        return
    yield stripped
    for fenced in stripped.split(_FENCE, 2 * _MAX_FENCES)[1::2]:
        yield fenced.partition("\n")[2]  # what stands beside the fence names the language
    for opening, closing in ("{}", "[]"):
        start, end = stripped.find(opening), stripped.rfind(closing)
        if 0 <= start < end:
            yield stripped[start : end + 1]
