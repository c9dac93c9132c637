"""The signals of what other senders delivered: what is known and what came since, within bounds. Pure."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from squire_pipelines.domain.authority import StartVerdict
from squire_pipelines.domain.evidence import Comment, SignalEvidence
from squire_pipelines.domain.signals import HOOKS_SOURCE, FurtherSource, PluginFact, Signal
from squire_pipelines.sources.hook_protocol import HookFact

HOOKS = FurtherSource(HOOKS_SOURCE)
_DIGITS = 16


@dataclass(frozen=True, slots=True)
class HookRules:
    """What the settings say of one sender's facts.

    Args:
        may_start: Whether work starts from them.
        max_age: After how long a fact ends of which nothing comes.
        max_facts: How many of one repository are open; the oldest end.
        repositories: That they may be about.
    """

    may_start: bool
    max_age: timedelta
    max_facts: int
    repositories: frozenset[str]


@dataclass(frozen=True, slots=True)
class ArrivedFact:
    """A fact about one repository, who sent it, and when it came."""

    hook: str
    fact: HookFact
    received_at: datetime


def signal_key(hook: str, fact: HookFact) -> str:
    """Return the key of a fact's signal, which no other sender's has."""
    return f"{HOOKS.key_prefix}{hook}/{fact.key}"


def update_signals(
    repository: str,
    known: Iterable[Signal],
    arrived: Sequence[ArrivedFact],
    rules: Mapping[str, HookRules],
    *,
    now: datetime,
) -> tuple[Signal, ...]:
    """Return the signals of other senders that a repository has now.

    Args:
        repository: Which one.
        known: Its signals that have not ended, oldest first; those of other sources are left out of the answer.
        arrived: What came since, in order. A fact of a version that is known says only that it lasts: its text stays
            as it was, since somebody may have released that one.
        rules: Of the senders that are switched on and read in this repository; what others sent ends.
        now: The ledger's time.
    """
    rules = {hook: one for hook, one in rules.items() if repository in one.repositories}
    signals: dict[str, Signal] = {}
    for signal in known:
        if signal.key.startswith(HOOKS.key_prefix) and _hook_of(signal) in rules:
            signals[signal.key] = signal
    for item in arrived:
        if item.hook not in rules:
            continue
        key = signal_key(item.hook, item.fact)
        before = signals.pop(key, None)
        if item.fact.state == "open":
            signals[key] = _lasting(before, item) or _new(repository, key, item)
    of_hooks: dict[str, list[Signal]] = defaultdict(list)
    for signal in signals.values():
        if signal.updated_at > now - rules[_hook_of(signal)].max_age:
            of_hooks[_hook_of(signal)].append(signal)
    left = [
        signal
        for hook, several in of_hooks.items()
        for signal in sorted(several, key=lambda one: one.updated_at)[-rules[hook].max_facts :]
    ]
    return tuple(
        signal.model_copy(update={"verdict": _verdict(_hook_of(signal), rules[_hook_of(signal)])}) for signal in left
    )


def _lasting(before: Signal | None, item: ArrivedFact) -> Signal | None:
    """Return the known signal as one that lasts, None where the fact is another version of it."""
    own = item.fact.version
    if before is None or not (before.version == _version(item.fact) or (own and _own_part(before.version) == own)):
        return None
    return before.model_copy(update={"updated_at": max(before.updated_at, item.received_at)})


def _new(repository: str, key: str, item: ArrivedFact) -> Signal:
    fact, version = item.fact, _version(item.fact)
    comment = Comment(author=fact.author or item.hook, body=fact.body, written_at=item.received_at, digest=version)
    return Signal(
        repository=repository,
        key=key,
        version=version,
        title=fact.title,
        url=fact.url,
        updated_at=item.received_at,
        details=PluginFact(source=item.hook, author=fact.author, body=fact.body, severity=fact.severity),
        evidence=SignalEvidence(source=f"/hooks/{item.hook}", comments=(comment,)) if fact.body else None,
    )


def _version(fact: HookFact) -> str:
    """Return the version of a fact's signal: its own, if it has one, and what changes with the text in any case.

    Somebody who releases the signal has read this text.
    """
    content = f"{fact.title}\x00{fact.body}\x00{fact.severity}\x00{fact.url}"
    digest = hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
    return f"{fact.version}#{digest}" if fact.version else digest


def _own_part(version: str) -> str:
    return version.rpartition("#")[0]


def _hook_of(signal: Signal) -> str:
    return signal.details.source if isinstance(signal.details, PluginFact) else ""


def _verdict(hook: str, rules: HookRules) -> StartVerdict:
    if rules.may_start:
        return StartVerdict(may_start=True, reason=f"the settings let work start from what {hook} sends")
    reason = f"the settings let no work start from what {hook} sends: set hooks.{hook}.may_start"
    return StartVerdict(may_start=False, reason=f"{reason}, or release this one by `squire signals release`")
