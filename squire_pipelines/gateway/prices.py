"""What tokens cost: by the prices of the settings, else by those of a library; else it is not known. No I/O.

The library (genai-prices) carries its table with it and is asked once for each model, since it takes a while to import.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from squire_pipelines.gateway.model import Tokens
from squire_pipelines.observability.logging import Component, get_logger

_MILLION = 1_000_000
_log = get_logger(Component.GATEWAY)


@dataclass(frozen=True, slots=True)
class Price:
    """The price of one model, in US dollars for a million tokens. `cached` and `cache_write` default to `input`."""

    input: float
    output: float
    cached: float | None = None
    cache_write: float | None = None

    @property
    def greatest_input(self) -> float:
        """The greatest price of a token of the request, whether it is read, taken from the cache or written to it."""
        return max(self.input, self.cached or 0.0, self.cache_write or 0.0)

    def cost_of(self, tokens: Tokens) -> float:
        """Return what these tokens cost in US dollars; tokens that nobody reported cost nothing."""
        asked = tokens.input or 0
        cached = min(tokens.cached or 0, asked)
        written = min(tokens.cache_write or 0, asked - cached)
        usd = (asked - cached - written) * self.input
        usd += cached * (self.input if self.cached is None else self.cached)
        usd += written * (self.input if self.cache_write is None else self.cache_write)
        return (usd + (tokens.output or 0) * self.output) / _MILLION


def find_price(model: str, own: Mapping[str, Price], *, api_url: str | None = None) -> Price | None:
    """Return the price of a model, or None when nobody knows it.

    Args:
        model: As the provider calls it.
        own: The settings' prices, which win.
        api_url: The provider's base URL, by which the library tells providers apart that sell the same model.
    """
    if model in own:
        return own[model]
    try:
        from genai_prices import Usage, calc_price  # noqa: PLC0415 - see the module's charter
    except ImportError:
        _log.warning("gateway.no_price_library", model=model)
        return None

    def cost(usage: "Usage") -> float:
        # Without the URL when the library does not know it: a proxy before the provider has its own.
        try:
            return float(calc_price(usage, model_ref=model, provider_api_url=api_url).total_price)
        except LookupError:
            return float(calc_price(usage, model_ref=model).total_price)

    # A thousand tokens: some providers have a second price for long inputs, which is not counted.
    thousand = 1000
    try:
        base = cost(Usage(input_tokens=thousand))
        return Price(
            input=base * thousand,
            output=cost(Usage(output_tokens=thousand)) * thousand,
            cached=cost(Usage(input_tokens=thousand, cache_read_tokens=thousand)) * thousand,
            cache_write=cost(Usage(input_tokens=thousand, cache_write_tokens=thousand)) * thousand,
        )
    except (LookupError, ValueError) as error:
        _log.info("gateway.price_unknown", model=model, reason=str(error)[:200])
        return None
