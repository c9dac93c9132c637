"""What tokens cost: by the prices of the settings, else by those of a library; else it is not known. No I/O.

The library (genai-prices) carries its table with it and is asked once for each model, since it takes a while to import.
While an answer passes, its cost is worked out from a few numbers of that table; what a call has cost in the end is the
library's own calculation.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

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

    def final_cost(self, tokens: Tokens, at: datetime) -> float:
        """Return what a call that has ended costs in US dollars; `at` is when it began."""
        del at  # the settings' prices are the same at all times
        return self.cost_of(tokens)

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


@dataclass(frozen=True, slots=True)
class LibraryPrice(Price):
    """The price of one model as the library has it.

    Args:
        calculate: The library's own calculation. Raises ValueError for numbers that contradict each other.
        most_input: The greatest price of a token of the request, at any length and at any time of the day.
        most_output: The same of the answer.
    """

    calculate: Callable[[Tokens, datetime], float] | None = field(default=None, repr=False)
    most_input: float = 0.0
    most_output: float = 0.0

    @property
    def greatest_input(self) -> float:
        """The greatest price of a token of the request."""
        return self.most_input

    @property
    def greatest_output(self) -> float:
        """The greatest price of a token of the answer."""
        return self.most_output

    def final_cost(self, tokens: Tokens, at: datetime) -> float:
        """Return what the library says of a call that has ended, in US dollars; `at` is when it began."""
        if self.calculate is None:
            return self.cost_of(tokens)
        try:
            return self.calculate(tokens, at)
        except ValueError as error:
            _log.warning("gateway.price_not_calculated", reason=str(error)[:200])
            return self.cost_of(tokens)


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
        from squire_pipelines.gateway.price_library import find_entry  # noqa: PLC0415 - see the module's charter
    except ImportError:
        _log.warning("gateway.no_price_library", model=model)
        return None
    try:
        entry = find_entry(model, api_url)
        # A thousand tokens at a time: some providers have a second price for long inputs.
        thousand = 1000
        base, output = entry.price_of(Tokens(input=thousand)), entry.price_of(Tokens(output=thousand))
        input_factor = entry.price_of(Tokens(input=_LONGEST)) / base if base else 1.0
        output_factor = entry.price_of(Tokens(output=_LONGEST), beside=_LONGEST) / output if output else 1.0
        is_longer = max(input_factor, output_factor) > 1 + _ROUNDING

        def is_long(count: int) -> bool:
            return entry.price_of(Tokens(input=count)) > base * (1 + _ROUNDING)

        return LibraryPrice(
            input=base * _MILLION,
            output=output * _MILLION,
            cached=entry.price_of(Tokens(input=thousand, cached=thousand)) * _MILLION,
            cache_write=entry.price_of(Tokens(input=thousand, cache_write=thousand)) * _MILLION,
            long_from=_last_short(is_long) if is_longer else None,
            long_input_factor=input_factor if is_longer else 1.0,
            long_output_factor=output_factor if is_longer else 1.0,
            calculate=entry.cost_of,
            most_input=entry.most_input * _MILLION,
            most_output=entry.most_output * _MILLION,
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
