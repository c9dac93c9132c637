"""What rules would do with deliveries that are stored: counted rule by rule, with examples. Changes nothing."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from squire_pipelines.domain.deliveries import DeliverySource
from squire_pipelines.domain.delivery_filters import OWN_RULE, DeliveryFacts, first_match, is_own_writing
from squire_pipelines.errors import DeliveryError
from squire_pipelines.github.events import ParsedDelivery, parse_delivery
from squire_pipelines.webhooks.filtering import DeliveryJudge

_SHOWN = ("id", "event", "action", "repository", "sender", "effects")
EXAMPLES = 3
"""How many deliveries are named of each rule: the newest."""


@dataclass(frozen=True, slots=True)
class StoredDelivery:
    """A delivery as rules judge it, and how many effects are recorded with it."""

    id: int
    source: str
    event: str
    action: str | None
    repository: str | None
    sender: str | None
    body: bytes
    filtered_by: str | None
    effects: int


@dataclass(slots=True)
class RuleTrial:
    """What a rule would do.

    Args:
        name: The rule's.
        keep: Whether it lets through what it matches.
        matched: How many deliveries it is the first to match.
        had_effects: How many of them did something when they came, which they would not have done.
        examples: The first of them that were judged.
    """

    name: str
    keep: bool
    matched: int = 0
    had_effects: int = 0
    examples: list[Mapping[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class FilterTrial:
    """What all rules together would do with the deliveries that were judged.

    Args:
        rules: In their order, that of our own writing first.
        judged: How many deliveries ask for something and so were judged.
        filtered: How many of them would be filtered.
        were_filtered: How many of them were filtered when they came.
        asking_nothing: How many others ask for nothing anyhow, so that no rule is asked.
        unread: How many could not be read.
    """

    rules: list[RuleTrial]
    judged: int = 0
    filtered: int = 0
    were_filtered: int = 0
    asking_nothing: int = 0
    unread: int = 0


def try_rules(judge: DeliveryJudge, stored: Iterable[StoredDelivery], *, watched: Collection[str]) -> FilterTrial:
    """Return what the judge's rules would do with deliveries, of other senders by what is known when they come.

    Args:
        judge: Whose rules.
        stored: The deliveries.
        watched: The repositories of the settings; deliveries about others ask for nothing.
    """
    names = {name.casefold() for name in watched}
    own = RuleTrial(OWN_RULE, keep=False)
    trial = FilterTrial([own, *(RuleTrial(rule.name, rule.keep) for rule in judge.rules)])
    by_name = {rule.name: rule for rule in trial.rules}
    for delivery in stored:
        facts = DeliveryFacts(event=delivery.event, source=delivery.source)
        if delivery.source == DeliverySource.GITHUB:
            try:
                parsed = parse_delivery(delivery.event, delivery.body, known_as=delivery.repository)
            except DeliveryError:
                trial.unread += 1
                continue
            if not _asks_for_something(parsed, names):
                trial.asking_nothing += 1
                continue
            facts = parsed.facts
        trial.judged += 1
        trial.were_filtered += delivery.filtered_by is not None
        rule = _first_rule(judge, facts, by_name)
        if rule is None:
            continue
        trial.filtered += not rule.keep
        rule.matched += 1
        rule.had_effects += bool(delivery.effects)
        if len(rule.examples) < EXAMPLES:
            rule.examples.append({name: getattr(delivery, name) for name in _SHOWN})
    return trial


def _asks_for_something(parsed: ParsedDelivery, names: Collection[str]) -> bool:
    return parsed.relevant and (parsed.of_account or (parsed.repository or "").casefold() in names)


def _first_rule(judge: DeliveryJudge, facts: DeliveryFacts, by_name: Mapping[str, RuleTrial]) -> RuleTrial | None:
    if is_own_writing(facts, judge.own):
        return by_name[OWN_RULE]
    rule = first_match(facts, judge.rules)
    return None if rule is None else by_name[rule.name]
