"""Which deliveries ask for nothing, by the settings that hold: for the receiver, the replay and the trial of rules.

The rules themselves are `domain.delivery_filters`'s.
"""

from collections.abc import Callable
from dataclasses import dataclass

from squire_pipelines.domain.branches import OWN_BRANCHES
from squire_pipelines.domain.delivery_filters import DeliveryFacts, DeliveryRule, OwnAccount, asks_for_reading, rule_for
from squire_pipelines.github.events import ParsedDelivery
from squire_pipelines.settings.model import Settings


@dataclass(frozen=True, slots=True)
class DeliveryJudge:
    """Judges deliveries by rules, in their order, and by what is known of our own writing."""

    rules: tuple[DeliveryRule, ...]
    own: OwnAccount

    def rule_of(self, parsed: ParsedDelivery) -> str | None:
        """Return the name of the rule by which a delivery asks for nothing; None where none does."""
        return rule_for(parsed.facts, self.rules, self.own)

    def rule_of_sender(self, source: str, event: str) -> str | None:
        """Return the name of the rule that filters a delivery of another sender than GitHub; None where none does."""
        return rule_for(DeliveryFacts(event=event, source=source), self.rules, self.own)

    def asks_for_reading(self, parsed: ParsedDelivery) -> bool:
        """Return whether its repository is to be read for a delivery."""
        return parsed.collects and asks_for_reading(parsed.facts, self.own)


NO_RULES = DeliveryJudge((), OwnAccount(None, OWN_BRANCHES))
"""The judge of settings that say nothing about it."""


def judge_of(settings: Settings) -> DeliveryJudge:
    """Return the judge that the settings make."""
    slug = settings.github.app_slug if settings.github.app_id is not None else None
    own = OwnAccount(None if slug is None else f"{slug}[bot]", settings.publishing.branch_prefix)
    return DeliveryJudge(tuple(rule.rule for rule in settings.webhooks.filters), own)


class PresentJudge:
    """The judge of the settings that hold at the moment, which are asked for at each delivery.

    Args:
        settings: Returns them: the same object while they are the same.
    """

    def __init__(self, settings: Callable[[], Settings]) -> None:
        self._settings = settings
        self._made: tuple[Settings, DeliveryJudge] | None = None

    def __call__(self) -> DeliveryJudge:
        """Return it; made again only for other settings."""
        settings = self._settings()
        made = self._made
        if made is None or made[0] is not settings:
            made = self._made = settings, judge_of(settings)
        return made[1]
