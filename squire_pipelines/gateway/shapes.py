"""The shapes by which an agent's document is made anew from what is known of it. Pure; data is `request_shapes`'s.

A shape takes a value that JSON has given and returns a new one, built from what the shape names. The same rule holds
for all: a key that a shape does not name is dropped, and its name noted; null is the same as a missing key; a known key
with a value that it cannot have is refused. A part of a message of an unknown kind is refused, since without it the
model would be asked something else; a tool of an unknown kind is dropped, since it is only offered.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

MAX_FREE_DEPTH = 64
_MAX_NAMES = 20
_MAX_NAME_CHARS = 40
_DATA_URL = re.compile(r"data:[a-z]+/[a-zA-Z0-9.+-]{1,100}(?:;[a-z-]{1,20}=[^;,\s]{1,100}){0,3};base64,")
_UNSHOWN = re.compile(r"[^A-Za-z0-9_.$=\[\]-]")
# Keys of JSON Schema whose text says where more of the schema is: https://json-schema.org/draft/2020-12
_SCHEMA_NAMES = frozenset({"$schema", "$id", "$anchor", "$dynamicAnchor", "$vocabulary"})
_SCHEMA_REFERENCES = frozenset({"$ref", "$dynamicRef", "$recursiveRef"})


class ShapeError(Exception):
    """The document has a value that cannot be passed on.

    Where it stands is put together while the error passes through the shapes around it, so that documents without an
    error pay nothing for it.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self._reason = reason
        self._place = ""

    def within(self, step: str) -> None:
        """Add a step before the place: `.key` or `[0]`."""
        self._place = step + self._place

    @property
    def sentence(self) -> str:
        """The reason as a sentence for the agent."""
        return f"request{self._place} {self._reason}"


@dataclass(slots=True)
class Notes:
    """The names of the keys and kinds that were dropped, each once, at most twenty."""

    dropped: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        """Note a name, which is the agent's and is shown in logs."""
        shown = _shown(name)
        if len(self.dropped) < _MAX_NAMES and shown not in self.dropped:
            self.dropped.append(shown)


def _shown(name: str) -> str:
    return _UNSHOWN.sub("?", name[:_MAX_NAME_CHARS])


def _camel_case(key: str) -> str:
    first, *rest = key.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)


class _Dropped:
    """Stands for a value that is left out."""


DROPPED: Final = _Dropped()


class Shape(Protocol):
    """Makes a value anew."""

    def rebuild(self, value: Any, notes: Notes) -> Any:
        """Return the new value, or DROPPED. Raises ShapeError."""


def _wrong(expected: str) -> ShapeError:
    return ShapeError(f"has to be {expected}")


@dataclass(frozen=True, slots=True)
class Text:
    """A text of at most `most` characters; None for no bound of its own."""

    most: int | None = None

    def rebuild(self, value: Any, notes: Notes) -> Any:  # noqa: ARG002 - the protocol's
        """Return the text."""
        if not isinstance(value, str) or (self.most is not None and len(value) > self.most):
            raise _wrong("a text" if self.most is None else f"a text of at most {self.most} characters")
        return value


class Choice:
    """One of a few texts; others are refused, or dropped where they only set something."""

    def __init__(self, *texts: str, drop: bool = False) -> None:
        self._texts = frozenset(texts)
        self._drop = drop

    def rebuild(self, value: Any, notes: Notes) -> Any:
        """Return the text."""
        if isinstance(value, str) and value in self._texts:
            return value
        if self._drop:
            notes.add(str(value))
            return DROPPED
        raise _wrong("one of " + ", ".join(sorted(self._texts)))


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""

    def rebuild(self, value: Any, notes: Notes) -> Any:  # noqa: ARG002 - the protocol's
        """Return the flag."""
        if not isinstance(value, bool):
            raise _wrong("true or false")
        return value


@dataclass(frozen=True, slots=True)
class Number:
    """A number within bounds."""

    low: float
    high: float
    whole: bool = False

    def rebuild(self, value: Any, notes: Notes) -> Any:  # noqa: ARG002 - the protocol's
        """Return the number."""
        is_number = isinstance(value, int if self.whole else int | float) and not isinstance(value, bool)
        if not is_number or not self.low <= value <= self.high:  # false for NaN too
            raise _wrong(f"a {'whole ' if self.whole else ''}number from {self.low} to {self.high}")
        return value


def whole(low: int, high: int) -> Number:
    """Return the shape of a whole number within bounds."""
    return Number(low, high, whole=True)


@dataclass(frozen=True, slots=True)
class DataUrl:
    """A `data:` URL, which holds the content itself; every other URL would have to be fetched by the provider."""

    def rebuild(self, value: Any, notes: Notes) -> Any:  # noqa: ARG002 - the protocol's
        """Return the URL."""
        if not isinstance(value, str) or not _DATA_URL.match(value):
            raise ShapeError("has to be a data: URL: the model's provider fetches nothing for this agent")
        return value


@dataclass(frozen=True, slots=True)
class Free:
    """An object of any form that means nothing to the provider itself: a tool's arguments.

    Args:
        schema: Whether it is a JSON Schema, of which names and references of other documents are left out or refused.
    """

    schema: bool = False

    def rebuild(self, value: Any, notes: Notes) -> Any:
        """Return a copy of the object."""
        if not isinstance(value, dict):
            raise _wrong("an object")
        return self._copy(value, notes, 0)

    def _copy(self, value: Any, notes: Notes, depth: int) -> Any:
        if depth > MAX_FREE_DEPTH:
            raise ShapeError(f"is nested more than {MAX_FREE_DEPTH} levels deep")
        if isinstance(value, dict):
            return {
                key: self._copy(entry, notes, depth + 1)
                for key, entry in value.items()
                if not (self.schema and isinstance(entry, str) and _points_elsewhere(key, entry, notes))
            }
        if isinstance(value, list):
            return [self._copy(entry, notes, depth + 1) for entry in value]
        if isinstance(value, float) and not math.isfinite(value):
            raise _wrong("JSON, whose numbers are finite")
        return value


def _points_elsewhere(key: str, entry: str, notes: Notes) -> bool:
    if key in _SCHEMA_REFERENCES and not entry.startswith("#"):
        raise ShapeError("refers to a schema that is not in it")
    if key in _SCHEMA_NAMES:
        notes.add(key)
        return True
    return False


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    entry: Shape

    def rebuild(self, value: Any, notes: Notes) -> Any:
        """Return the list of the entries that are not dropped."""
        if not isinstance(value, list):
            raise _wrong("a list")
        rebuild = self.entry.rebuild
        made = []
        for number, entry in enumerate(value):
            try:
                new = rebuild(entry, notes)
            except ShapeError as error:
                error.within(f"[{number}]")
                raise
            if new is not DROPPED:
                made.append(new)
        return made


@dataclass(frozen=True, slots=True)
class OneOrMore:
    """A list, which may be written as its only entry: readers of protocol buffers take both."""

    items: Items

    def rebuild(self, value: Any, notes: Notes) -> Any:
        """Return the list."""
        return self.items.rebuild([value] if isinstance(value, dict) else value, notes)


@dataclass(frozen=True, slots=True)
class Numbers:
    """An object of numbers by name, such as a bias for each token."""

    most: int

    def rebuild(self, value: Any, notes: Notes) -> Any:  # noqa: ARG002 - the protocol's
        """Return the object."""
        if not isinstance(value, dict) or len(value) > self.most:
            raise _wrong(f"an object of at most {self.most} numbers")
        if not all(isinstance(entry, int) and not isinstance(entry, bool) for entry in value.values()):
            raise _wrong("an object of whole numbers")
        return dict(value)


@dataclass(frozen=True, slots=True)
class Record:
    """An object with known keys.

    Args:
        keys: What each may be.
        required: Keys without which the object has no meaning.
        fixed: What we set ourselves, whatever the agent sent.
        refused: Keys whose absence would change what the model is asked, with the end of a sentence that says so.
            Empty ones are dropped.
        one_of: Keys of which the object has exactly one.
        snake_case: Whether `a_key` is another spelling of `aKey`, as readers of protocol buffers have it.
    """

    keys: Mapping[str, Shape]
    required: Sequence[str] = ()
    fixed: Mapping[str, Any] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    one_of: frozenset[str] = frozenset()
    snake_case: bool = False

    def rebuild(self, value: Any, notes: Notes) -> Any:
        """Return the object of the known keys."""
        if not isinstance(value, dict):
            raise _wrong("an object")
        made: dict[str, Any] = {}
        key = ""
        try:
            for key, entry in value.items():
                if entry is None:
                    continue
                name = _camel_case(key) if self.snake_case and "_" in key else key
                shape = self.keys.get(name)
                if shape is None:
                    self._leave_out(name, entry, notes)
                elif (new := shape.rebuild(entry, notes)) is not DROPPED:
                    made[name] = new
            for key in self.required:
                if key not in made:
                    raise _wrong("given")
        except ShapeError as error:
            error.within(f".{key}")
            raise
        if self.one_of and len(self.one_of & made.keys()) != 1:
            raise self._not_one(value)
        made.update(self.fixed)
        return made

    def _not_one(self, value: Mapping[str, Any]) -> ShapeError:
        kinds = [key for key, entry in value.items() if entry is not None and key not in self.keys]
        if kinds:
            shown = ", ".join(_shown(kind) for kind in kinds[:3])
            return ShapeError(f"is of the kind {shown}, which is not passed on to the model's provider")
        return _wrong("of exactly one of the kinds " + ", ".join(sorted(self.one_of)))

    def _leave_out(self, key: str, entry: Any, notes: Notes) -> None:
        if key in self.refused and entry:
            raise ShapeError(f"is not passed on: {self.refused[key]}")
        if key not in self.fixed:
            notes.add(key)


@dataclass(frozen=True, slots=True)
class Kinds:
    """An object whose kind one of its keys names.

    Args:
        shapes: The keys of each kind, without the one that names it.
        tag: The key that names the kind.
        default: The kind of an object that names none; None when it must.
        drop: Whether an object of an unknown kind is dropped rather than refused.
    """

    shapes: Mapping[str, Record]
    tag: str = "type"
    default: str | None = None
    drop: bool = False

    def rebuild(self, value: Any, notes: Notes) -> Any:
        """Return the object."""
        if not isinstance(value, dict):
            raise _wrong("an object")
        kind = value.get(self.tag)
        name = self.default if kind is None else kind
        shape = self.shapes.get(name) if isinstance(name, str) else None
        if shape is None:
            shown = _shown(str(kind))
            if self.drop:
                notes.add(f"{self.tag}={shown}")
                return DROPPED
            raise ShapeError(f"is of the kind {shown}, which is not passed on to the model's provider")
        rest = {key: entry for key, entry in value.items() if key != self.tag}
        made = shape.rebuild(rest, notes)
        return made if kind is None else {self.tag: kind, **made}


class Either:
    """A value that may have one of several JSON types."""

    def __init__(
        self, *, text: Shape | None = None, items: Shape | None = None, record: Shape | None = None, drop: bool = False
    ) -> None:
        pairs = ((str, text), (list, items), (dict, record))
        self._shapes = {kind: shape for kind, shape in pairs if shape is not None}
        self._drop = drop

    def rebuild(self, value: Any, notes: Notes) -> Any:
        """Return the value by the shape of its type."""
        shape = self._shapes.get(type(value))
        if shape is not None:
            return shape.rebuild(value, notes)
        if self._drop:
            return DROPPED
        names = {str: "a text", list: "a list", dict: "an object"}
        raise _wrong(" or ".join(names[kind] for kind in self._shapes))
