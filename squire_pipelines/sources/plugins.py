"""Reads a source of an installed package in a child with limits, so that nothing it does can take the reading down."""

import re
from collections.abc import Iterable
from itertools import islice

from pydantic import ValidationError

from squire_pipelines.errors import JudgementError, SourceError
from squire_pipelines.installed_packages import find_entry_points
from squire_pipelines.judgement import JudgementLimits, run_judgement
from squire_pipelines.source_names import GROUP, installed
from squire_pipelines.sources.protocol import MAX_FACTS, NAME, SignalSource, SourceContext, SourceFact

_MEMORY = 2**30
_OUTPUT = 16 * 2**20


def read_plugin(name: str, context: SourceContext, *, timeout_s: float) -> tuple[SourceFact, ...]:
    """Return a source's facts. Raises SourceError when it has none to give, whatever the reason."""
    limits = JudgementLimits(memory=_MEMORY, cpu_s=max(1, int(timeout_s)), wall_s=timeout_s, output=_OUTPUT)
    try:
        return run_judgement(f"the source {name}", limits, _read_in_child, name, context)
    except JudgementError as error:
        hint = f"ask whoever made the source {name}, or switch it off: sources.{name}.enabled = false"
        raise SourceError(str(error), hint=hint, context=dict(error.context)) from error


def _read_in_child(name: str, context: SourceContext) -> tuple[SourceFact, ...]:
    source = find(name)
    try:
        answer: Iterable[object] = source.read(context)
        facts = list(islice(answer, MAX_FACTS + 1))
    except Exception as error:  # a stranger's package may fail in any way, and this must say which one
        raise SourceError(f"the source {name} failed: {type(error).__name__}: {str(error)[:500]}") from error
    return check_facts(name, facts)


def find(name: str) -> SignalSource:
    """Return the source of that name. Raises SourceError when its package does not have one."""
    points = [point for point in find_entry_points(GROUP) if point.name == name]
    if not points or not re.fullmatch(NAME, name):
        raise SourceError(f"no installed package has a source {name!r}", hint=f"there are: {', '.join(installed())}")
    try:
        source: SignalSource = points[0].load()()
    except Exception as error:  # likewise
        raise SourceError(f"the source {name} cannot be loaded: {type(error).__name__}: {str(error)[:500]}") from error
    if getattr(source, "name", None) != name or not callable(getattr(source, "read", None)):
        raise SourceError(
            f"the source {name} does not fulfil the protocol: it has no `read`, or calls itself by another name",
            hint="docs/reference/sources.md has the protocol and an example",
        )
    return source


def check_facts(name: str, answer: Iterable[object]) -> tuple[SourceFact, ...]:
    """Return the facts of an answer, rebuilt from what is known. Raises SourceError for what is none, or too many."""
    facts: dict[str, SourceFact] = {}
    for item in answer:
        if not isinstance(item, SourceFact):
            raise SourceError(f"the source {name} yielded a {type(item).__name__} where a SourceFact belongs")
        try:
            fact = SourceFact.model_validate(item.model_dump())
        except (ValidationError, TypeError, ValueError) as error:
            raise SourceError(f"the source {name} yielded a fact that is none: {str(error)[:500]}") from error
        if fact.key in facts:
            raise SourceError(f"the source {name} yielded two facts with the key {fact.key!r}")
        facts[fact.key] = fact
    if len(facts) > MAX_FACTS:
        raise SourceError(f"the source {name} yielded more than {MAX_FACTS} facts")
    return tuple(facts.values())
