"""What tokens cost: by the prices of the settings, else by those of a library; else it is not known. No I/O.

The library (genai-prices) carries its table with it and is asked once for each model, since it takes a while to import.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from squire_pipelines.gateway.model import Tokens
from squire_pipelines.observability.logging import Component, get_logger

_MILLION = 1_000_000
# What is kept for an hour: https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching#pricing
_LONG_WRITE = 2
_LONGEST = 10 * _MILLION  # of a request, in tokens: no model reads as many
_ROUNDING = 1e-9
_log = get_logger(Component.GATEWAY)


@dataclass(frozen=True, slots=True)
class Price:
    """The price of one model, in US dollars for a million tokens. `cached` and `cache_write` default to `input`.

    Some providers ask more for a whole call whose request has more than `long_from` tokens: so many times as much for
    the request, and for the answer.
    """

    input: float
    output: float
    cached: float | None = None
    cache_write: float | None = None
    long_from: int | None = None
    long_input_factor: float = 1.0
    long_output_factor: float = 1.0

    @property
    def greatest_input(self) -> float:
        """The greatest price of a token of the request, whether it is read, taken from the cache or written to it."""
        long_write = _LONG_WRITE * self.input if (self.cache_write or 0.0) > self.input else 0.0
        return max(self.input, self.cached or 0.0, self.cache_write or 0.0, long_write) * self.long_input_factor

    @property
    def greatest_output(self) -> float:
        """The greatest price of a token of the answer."""
        return self.output * self.long_output_factor

    def cost_of(self, tokens: Tokens) -> float:
        """Return what these tokens cost in US dollars; tokens that nobody reported cost nothing."""
        asked = tokens.input or 0
        cached = min(tokens.cached or 0, asked)
        written = min(tokens.cache_write or 0, asked - cached)
        usd = (asked - cached - written) * self.input
        usd += cached * (self.input if self.cached is None else self.cached)
        long_written = min(tokens.cache_write_hour or 0, written)
        write = self.input if self.cache_write is None else self.cache_write
        usd += (written - long_written) * write
        usd += long_written * (max(write, _LONG_WRITE * self.input) if write > self.input else write)
        answer = (tokens.output or 0) * self.output
        if self.long_from is not None and asked > self.long_from:
            usd, answer = usd * self.long_input_factor, answer * self.long_output_factor
        return (usd + answer) / _MILLION


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

    def price(count: int, long: int = 0) -> float:
        """Return what a token of `count` costs, of the answer to a request of `long` tokens or of the request."""
        if long:
            return (cost(Usage(input_tokens=long, output_tokens=count)) - cost(Usage(input_tokens=long))) / count
        return cost(Usage(input_tokens=count)) / count

    # A thousand tokens at a time: some providers have a second price for long inputs.
    thousand = 1000
    try:
        base, output = price(thousand), cost(Usage(output_tokens=thousand)) / thousand
        cached = cost(Usage(input_tokens=thousand, cache_read_tokens=thousand)) / thousand
        written = cost(Usage(input_tokens=thousand, cache_write_tokens=thousand)) / thousand
        input_factor = price(_LONGEST) / base if base else 1.0
        output_factor = price(_LONGEST, _LONGEST) / output if output else 1.0
        is_longer = max(input_factor, output_factor) > 1 + _ROUNDING
        return Price(
            input=base * _MILLION,
            output=output * _MILLION,
            cached=cached * _MILLION,
            cache_write=written * _MILLION,
            long_from=_last_short(lambda count: price(count) > base * (1 + _ROUNDING)) if is_longer else None,
            long_input_factor=input_factor if is_longer else 1.0,
            long_output_factor=output_factor if is_longer else 1.0,
        )
    except (LookupError, ValueError) as error:
        _log.info("gateway.price_unknown", model=model, reason=str(error)[:200])
        return None


def _last_short(is_long: Callable[[int], bool]) -> int:
    """Return the greatest number of tokens that is not yet long; beyond it all cost as the longest do."""
    short, long = 1000, _LONGEST
    while long - short > 1:
        middle = (short + long) // 2
        short, long = (short, middle) if is_long(middle) else (middle, long)
    return short
