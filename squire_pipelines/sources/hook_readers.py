"""Reads what other senders delivered in a child with limits: no body and no reader can take the reading down."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from pydantic import TypeAdapter, ValidationError

from squire_pipelines.domain.hook_schemes import HookScheme
from squire_pipelines.domain.text import shorten
from squire_pipelines.errors import JudgementError, SourceError
from squire_pipelines.judgement import JudgementLimits, run_judgement
from squire_pipelines.source_names import SHIPPED_HOOKS, hook_readers
from squire_pipelines.sources.hook_protocol import MAX_FACTS_OF_DELIVERY, HookContext, HookFact, HookSource

MAX_DEATHS = 8
"""How many children may die while one sender's deliveries are read; what is left then is read the next time."""

_MEMORY = 2**30
_OUTPUT = 16 * 2**20
_LOAD_S = 30.0
_MAX_ERROR = 500
_SCHEMES: TypeAdapter[HookScheme] = TypeAdapter(HookScheme)
_PAGE = "docs/reference/hooks.md has the protocol and an example"


@dataclass(frozen=True, slots=True)
class HookBody:
    """A delivery that is to be read: its row, what it is about, when it came, and its body."""

    delivery: int
    event: str
    received_at: datetime
    body: bytes


@dataclass(frozen=True, slots=True)
class HookReading:
    """What a delivery tells: its facts, or why there are none to be had."""

    delivery: int
    facts: tuple[HookFact, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class HookSender:
    """What a reader is told of the sender, whatever it delivers; the names are those of `HookContext`."""

    hook: str
    reader: str
    repositories: tuple[str, ...]
    projects: Mapping[str, str]
    options: Mapping[str, Any]


def scheme_of_reader(name: str) -> HookScheme:
    """Return how a reader's sender signs. Raises SourceError for one that cannot be used.

    A package's is asked in a child: whoever asks has secrets.
    """
    if name in SHIPPED_HOOKS:
        return _load_scheme(name)
    limits = JudgementLimits(memory=_MEMORY, cpu_s=int(_LOAD_S), wall_s=_LOAD_S, output=_OUTPUT)
    try:
        return run_judgement(f"the reader {name}", limits, _load_scheme, name)
    except JudgementError as error:
        raise SourceError(str(error), hint=f"ask whoever made the reader {name}") from error


def read_bodies(sender: HookSender, bodies: Sequence[HookBody], *, timeout_s: float) -> tuple[HookReading, ...]:
    """Read deliveries of one sender, in their order.

    Where the child dies, halves are read by themselves, until the delivery that it dies of is known. After `MAX_DEATHS`
    the others are left out of the answer.

    Args:
        sender: Whose deliveries they are.
        bodies: The deliveries.
        timeout_s: How long a child may take.
    """
    limits = JudgementLimits(memory=_MEMORY, cpu_s=max(1, int(timeout_s)), wall_s=timeout_s, output=_OUTPUT)
    waiting = [tuple(bodies)] if bodies else []
    readings: list[HookReading] = []
    deaths = 0
    while waiting and deaths < MAX_DEATHS:
        batch = waiting.pop(0)
        try:
            readings += run_judgement(f"the reader {sender.reader}", limits, _read_in_child, sender, batch)
        except JudgementError as error:
            deaths += 1
            if len(batch) == 1:
                readings.append(HookReading(batch[0].delivery, error=shorten(str(error), _MAX_ERROR)))
            else:
                half = len(batch) // 2
                waiting[:0] = [batch[:half], batch[half:]]
        except SourceError as error:
            text = shorten(str(error), _MAX_ERROR)
            readings += [HookReading(body.delivery, error=text) for body in batch]
    return tuple(readings)


def find_reader(name: str) -> HookSource:
    """Return the reader of that name. Raises SourceError when there is none, or it is not what it must be."""
    point = hook_readers().get(name)
    if point is None:
        raise SourceError(f"there is no reader {name!r}", hint=f"there are: {', '.join(hook_readers())}")
    try:
        reader: HookSource = point.load()()
    except Exception as error:  # a stranger's package may fail in any way, and this must say which one
        raise SourceError(f"the reader {name} cannot be loaded: {_named(error)}") from error
    if getattr(reader, "name", None) != name or not callable(getattr(reader, "read", None)):
        text = f"the reader {name} does not fulfil the protocol: it has no `read`, or calls itself by another name"
        raise SourceError(text, hint=_PAGE)
    return reader


def _load_scheme(name: str) -> HookScheme:
    reader = find_reader(name)
    try:
        return _SCHEMES.validate_python(reader.scheme.model_dump())
    except Exception as error:  # likewise
        raise SourceError(f"the reader {name} says no scheme: {_named(error)}", hint=_PAGE) from error


def _read_in_child(sender: HookSender, batch: tuple[HookBody, ...]) -> tuple[HookReading, ...]:
    reader = find_reader(sender.reader)
    return tuple(read_body(reader, sender, body) for body in batch)


def read_body(reader: HookSource, sender: HookSender, body: HookBody) -> HookReading:
    """Return what a reader makes of one delivery, rebuilt from what is known."""
    context = HookContext(
        hook=sender.hook,
        event=body.event,
        received_at=body.received_at,
        repositories=sender.repositories,
        projects=sender.projects,
        options=sender.options,
    )
    try:
        payload = json.loads(body.body)
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, ValueError) else "it is nested too deeply"
        return HookReading(body.delivery, error=shorten(f"the body is no JSON: {reason}", _MAX_ERROR))
    try:
        answer = list(islice(reader.read(payload, context), MAX_FACTS_OF_DELIVERY + 1))
        return HookReading(body.delivery, _checked(answer, sender))
    except MemoryError:
        raise  # the child has a verdict for that
    except Exception as error:  # noqa: BLE001 - a stranger's code on a stranger's text; the delivery has the reason
        reason = f"the reader {sender.reader} failed: {_named(error)}"
        return HookReading(body.delivery, error=shorten(reason, _MAX_ERROR))


def _checked(answer: Sequence[object], sender: HookSender) -> tuple[HookFact, ...]:
    """Return the facts of an answer. Raises ValueError for what is none, too many, or about no repository of ours."""
    if len(answer) > MAX_FACTS_OF_DELIVERY:
        raise ValueError(f"it yielded more than {MAX_FACTS_OF_DELIVERY} facts")
    spelling = {name.casefold(): name for name in sender.repositories}
    facts: dict[tuple[str, str], HookFact] = {}
    for item in answer:
        if not isinstance(item, HookFact):
            raise TypeError(f"it yielded a {type(item).__name__} where a HookFact belongs")
        fact = HookFact.model_validate(item.model_dump())
        name = spelling.get(fact.repository.casefold())
        if name is None:
            raise ValueError(f"{fact.repository} is no repository that [hooks.{sender.hook}] may be about")
        if (name, fact.key) in facts:
            raise ValueError(f"it yielded two facts with the key {fact.key!r}")
        facts[name, fact.key] = fact.model_copy(update={"repository": name})
    return tuple(facts.values())


def _named(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return f"{place}: {first['msg']}" if place else str(first["msg"])
    return f"{type(error).__name__}: {error}" if not isinstance(error, ValueError) else str(error)
