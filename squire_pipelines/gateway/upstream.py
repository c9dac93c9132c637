"""What the gateway knows of one provider of models: where it is, its key, and what may be asked there. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from squire_pipelines.domain.provider_faults import ProviderWords
from squire_pipelines.domain.provider_limits import ProviderLimits
from squire_pipelines.gateway.clouds.cloud import Cloud
from squire_pipelines.gateway.model import Protocol
from squire_pipelines.gateway.prices import Price

_DEFAULT = ProviderWords("default", "model-key")


@dataclass(frozen=True, slots=True)
class Upstream:
    """A provider to which the gateway passes calls on.

    Args:
        base_url: Where it is, with the version, such as `https://api.example.com/v1`.
        api_key: Its key; the gateway puts it into requests, and it goes nowhere else. None for a provider without one.
        models: The ids of models that the agent may use there.
        aliases: Further names that the agent may use, and the ids for which they stand there.
        prices: The user's own prices, which win over the library's.
        words: How messages name it.
        protocol: The one that it speaks; None serves the paths of all.
        cloud: The platform on which it is, which takes signatures and no key.
        limits: What may be asked of it; that of a day is kept by whoever starts attempts.
        states_cost: Whether its own figure of what a call costs counts before our calculation.
    """

    base_url: str
    api_key: str | None = field(default=None, repr=False)
    models: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    prices: Mapping[str, Price] = field(default_factory=dict)
    words: ProviderWords = _DEFAULT
    protocol: Protocol | None = None
    cloud: Cloud | None = None
    limits: ProviderLimits = field(default_factory=ProviderLimits)
    states_cost: bool = False

    @property
    def name(self) -> str:
        """Of the settings' table, recorded with each call."""
        return self.words.name
