"""The price library's entry of one model, and its calculation for one call. Importing the library takes a while.

The library knows the price of each kind of token, tiers by the length of the request, prices that begin on a day and
those of the hours of a day. It takes numbers that agree with each other alone: no part is greater than its whole.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from genai_prices import Usage, calc_price
from genai_prices.types import ModelInfo, ModelPrice, Provider, TieredPrices

from squire_pipelines.gateway.model import Tokens

_LONGEST = 10_000_000  # of a request, in tokens: no model reads as many
_HOURS = 24


@dataclass(frozen=True, slots=True)
class PriceEntry:
    """A model's entry; all prices are US dollars for one token.

    Args:
        model: In the library.
        provider: Who sells it.
        most_input: The greatest price of a token of a request, at any length and hour.
        most_output: The greatest price of a token of an answer.
    """

    model: ModelInfo = field(repr=False)
    provider: Provider = field(repr=False)
    most_input: float
    most_output: float

    def cost_of(self, tokens: Tokens, at: datetime) -> float:
        """Return what a call costs in US dollars that began at a time. Raises ValueError."""
        usage = _usage_of(tokens)
        return float(self.model.calc_price(usage, self.provider, genai_request_timestamp=at).total_price)

    def price_of(self, tokens: Tokens, *, beside: int = 0) -> float:
        """Return what a token costs now. Raises ValueError.

        Args:
            tokens: Of the request or the answer, all of one kind.
            beside: The tokens of the request to which an answer is given.
        """
        now = datetime.now(tz=UTC)
        whole = self.cost_of(replace(tokens, input=beside) if beside else tokens, now)
        rest = self.cost_of(Tokens(input=beside), now) if beside else 0.0
        return (whole - rest) / tokens.total


def find_entry(model: str, api_url: str | None) -> PriceEntry:
    """Return the entry of a model. Raises LookupError when there is none, ValueError when it cannot be used."""
    one = Usage(input_tokens=1)
    try:
        # Without the URL when the library does not know it: a proxy before the provider has its own.
        priced = calc_price(one, model_ref=model, provider_api_url=api_url)
    except LookupError:
        priced = calc_price(one, model_ref=model)
    prices = _prices_of_a_day(priced.model)
    return PriceEntry(
        priced.model,
        priced.provider,
        max(_most(price, "input") for price in prices),
        max(_most(price, "output") for price in prices),
    )


def _prices_of_a_day(model: ModelInfo) -> list[ModelPrice]:
    now = datetime.now(tz=UTC)
    prices = [model.get_prices(now + timedelta(hours=hours)) for hours in range(_HOURS + 1)]
    return list({id(price): price for price in prices}.values())


def _most(price: ModelPrice, side: str) -> float:
    """Return the greatest price of a token of text on one side of a call, in US dollars."""
    kinds: tuple[dict[str, int], ...] = ({"output_tokens": 1},)
    if side == "input":
        kinds = ({}, {"cache_read_tokens": 1}, {"cache_write_tokens": 1})
        kinds += ({"cache_write_tokens": 1, "cache_write_1h_tokens": 1},)
    return max(_most_of_kind(price, kind, side) for kind in kinds)


def _most_of_kind(price: ModelPrice, kind: dict[str, int], side: str) -> float:
    costs = []
    for length in _lengths(price):
        counts = dict.fromkeys(kind, length)
        usage = Usage(**{"input_tokens": length, **counts})
        cost = price.calc_price(usage)
        costs.append(float(cost["output_price"] if side == "output" else cost["input_price"]) / length)
    return max(costs)


def _lengths(price: ModelPrice) -> Iterator[int]:
    """Yield a length of each tier of an entry."""
    yield 1000
    yield _LONGEST
    for value in vars(price).values():
        if isinstance(value, TieredPrices):
            yield from (tier.start + 1 for tier in value.tiers)


def _usage_of(tokens: Tokens) -> Usage:
    """Return the tokens in the library's words, each part at most what its whole has left."""
    asked, output = tokens.input or 0, tokens.output or 0
    cached = min(tokens.cached or 0, asked)
    written = min(tokens.cache_write or 0, asked - cached)
    counts: dict[str, Any] = {
        "input_tokens": asked,
        "output_tokens": output,
        "cache_read_tokens": cached,
        "cache_write_tokens": written,
        "cache_write_1h_tokens": min(tokens.cache_write_hour or 0, written),
        "output_reasoning_tokens": min(tokens.reasoning or 0, output),
        "web_searches": tokens.searches or 0,
    }
    if tokens.audio_input:
        of_cache = min(tokens.audio_cached or 0, tokens.audio_input, cached)
        counts["cache_audio_read_tokens"] = of_cache
        counts["input_audio_tokens"] = of_cache + min(tokens.audio_input - of_cache, asked - cached - written)
    if tokens.audio_output:
        counts["output_audio_tokens"] = min(tokens.audio_output, output - counts["output_reasoning_tokens"])
    return Usage(**{name: count for name, count in counts.items() if count or name == "cache_audio_read_tokens"})
