"""What a provider bills for one answer, and the report of it in the words of each interface."""

from dataclasses import dataclass
from typing import Any

from squire_pipelines.gateway.prices import Price
from tests.support.model_requests import CHAT, MESSAGES, RESPONSES

PRICE = Price(input=3.0, output=15.0, cached=0.3, cache_write=3.75)


@dataclass(frozen=True)
class Bill:
    """One answer as its provider counts it, each part by itself; `hourly` is written too, to be kept for an hour."""

    fresh: int
    cached: int
    written: int
    answer: int
    thoughts: int
    hourly: int = 0

    @property
    def asked(self) -> int:
        """The request's tokens."""
        return self.fresh + self.cached + self.written + self.hourly

    @property
    def output(self) -> int:
        """The answer's tokens."""
        return self.answer + self.thoughts

    @property
    def tokens(self) -> int:
        """All of them."""
        return self.asked + self.output

    @property
    def usd(self) -> float:
        """By the prices of `PRICE`; what is kept for an hour costs twice as much as what is asked."""
        return (
            self.fresh * 3.0 + self.cached * 0.3 + self.written * 3.75 + self.hourly * 6.0 + self.output * 15.0
        ) / 1e6


def usage(interface: str, bill: Bill) -> dict[str, Any]:
    """Return the report in the words of the interface: the path of one of OpenAI's or Anthropic's, else Gemini's."""
    if interface == CHAT:
        details = {"prompt_tokens_details": {"cached_tokens": bill.cached}}
        thoughts = {"completion_tokens_details": {"reasoning_tokens": bill.thoughts}}
        counts = {"prompt_tokens": bill.asked, "completion_tokens": bill.output, "total_tokens": bill.tokens}
        return {**counts, **details, **thoughts}
    if interface == RESPONSES:
        details = {"input_tokens_details": {"cached_tokens": bill.cached}}
        thoughts = {"output_tokens_details": {"reasoning_tokens": bill.thoughts}}
        counts = {"input_tokens": bill.asked, "output_tokens": bill.output, "total_tokens": bill.tokens}
        return {**counts, **details, **thoughts}
    if interface == MESSAGES:
        written = {"ephemeral_5m_input_tokens": bill.written, "ephemeral_1h_input_tokens": bill.hourly}
        return {
            "input_tokens": bill.fresh,
            "output_tokens": bill.output,
            "cache_read_input_tokens": bill.cached,
            "cache_creation_input_tokens": bill.written + bill.hourly,
            "cache_creation": written,
        }
    return {
        "promptTokenCount": bill.asked,
        "cachedContentTokenCount": bill.cached,
        "candidatesTokenCount": bill.answer,
        "thoughtsTokenCount": bill.thoughts,
        "totalTokenCount": bill.tokens,
    }
