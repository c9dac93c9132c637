"""Reads what a provider reports of one call's use: its tokens by kind, and what it says the call costs. Pure.

Every compatible server has words of its own for the same numbers, and some write them as fractions, as text or as null.
A number that is none is no report. Whatever is reported in a stream again is put together with what was known.

Sources: https://platform.openai.com/docs/api-reference/chat/object, https://docs.anthropic.com/en/api/messages,
https://ai.google.dev/api/generate-content#UsageMetadata, https://openrouter.ai/docs/use-cases/usage-accounting,
https://docs.x.ai/developers/cost-tracking, https://api-docs.deepseek.com/guides/kv_cache,
https://console.groq.com/docs/api-reference, https://github.com/ollama/ollama/blob/main/docs/api.md.
"""

import re
from dataclasses import dataclass, replace
from math import ceil, isfinite
from typing import Any

from squire_pipelines.gateway.model import Tokens
from squire_pipelines.gateway.rules import as_object

_MOST_TOKENS = 10**9  # of one answer or request: a report of more is none
_MOST_USD = 10_000.0  # of one call: a figure of more is in another unit
_MOST_SEARCHES = 10_000
_TICKS_PER_USD = 10**10
_NUMBER = re.compile(r"\d{1,15}(\.\d{0,30})?([eE]-?\d{1,2})?")
_INPUT_PARTS = ("cached", "cache_write", "cache_write_hour", "audio_input", "audio_cached")
_OUTPUT_PARTS = ("reasoning", "audio_output", "searches", "stated_usd")


def read_report(document: dict[str, Any]) -> Tokens | None:
    """Return what a JSON document reports of the call's use; None when it reports nothing."""
    if "usageMetadata" in document:
        return _read_gemini(as_object(document["usageMetadata"]))
    usage = _usage_object(document)
    if usage:
        return _read_usage(usage)
    return _read_local(document)


def _usage_object(document: dict[str, Any]) -> dict[str, Any]:
    # The responses interface reports it in the object of its last event, Anthropic's in that of its first, Groq in an
    # object of its own, Moonshot in the answer that has finished.
    places = [document, *(as_object(document.get(name)) for name in ("response", "message", "x_groq"))]
    choices = document.get("choices")
    if isinstance(choices, list) and choices:
        places.append(as_object(choices[-1]))
    return next((usage for place in places if (usage := as_object(place.get("usage")))), {})


def _read_usage(usage: dict[str, Any]) -> Tokens:
    asked_details = as_object(usage.get("prompt_tokens_details") or usage.get("input_tokens_details"))
    answer_details = as_object(usage.get("completion_tokens_details") or usage.get("output_tokens_details"))
    asked = _first_count(usage, "prompt_tokens", "input_tokens")
    cached = _first_count(asked_details, "cached_tokens")
    # DeepSeek's two parts of the request, and Moonshot's one.
    hits, misses = (_count(usage.get(f"prompt_cache_{part}_tokens")) for part in ("hit", "miss"))
    cached = _first_count(usage, "prompt_cache_hit_tokens", "cached_tokens") if cached is None else cached
    if asked is None and hits is not None and misses is not None:
        asked = hits + misses
    by_age = as_object(usage.get("cache_creation"))
    hour, minutes = (_count(by_age.get(f"ephemeral_{age}_input_tokens")) for age in ("1h", "5m"))
    written = _count(usage.get("cache_creation_input_tokens"))
    if written is None and (hour is not None or minutes is not None):
        written = (hour or 0) + (minutes or 0)
    read = _count(usage.get("cache_read_input_tokens"))
    if asked is not None and (written is not None or read is not None):
        # Anthropic's input leaves out what the cache was asked for or given. Proxies that speak OpenAI's interface
        # before it repeat the two beside a sum that has them.
        asked += (written or 0) + (read or 0) if "prompt_tokens" not in usage else 0
        cached = cached if read is None else read
    written = _first_count(asked_details, "cache_write_tokens") if written is None else written
    reasoning = _first_count(answer_details, "reasoning_tokens", "thinking_tokens")
    searches = _count(as_object(usage.get("server_tool_use")).get("web_search_requests"))
    tokens = Tokens(
        input=asked,
        output=_first_count(usage, "completion_tokens", "output_tokens"),
        cached=cached,
        cache_write=written,
        cache_write_hour=hour,
        reasoning=_count(usage.get("reasoning_tokens")) if reasoning is None else reasoning,
        audio_input=_count(asked_details.get("audio_tokens")) or None,
        audio_cached=_count(as_object(asked_details.get("cached_tokens_details")).get("audio_tokens")) or None,
        audio_output=_count(answer_details.get("audio_tokens")) or None,
        searches=min(searches, _MOST_SEARCHES) if searches else None,
        stated_usd=_stated_usd(usage),
    )
    return with_total(tokens, _count(usage.get("total_tokens")))


def _read_gemini(usage: dict[str, Any]) -> Tokens | None:
    """Return a Gemini report, which leaves zeros out."""
    names = ("promptTokenCount", "toolUsePromptTokenCount", "candidatesTokenCount", "thoughtsTokenCount")
    asked, tools, answer, thoughts = (_count(usage.get(name)) for name in names)
    if asked is None:
        return None
    tokens = Tokens(
        input=asked + (tools or 0),
        output=(answer or 0) + (thoughts or 0),
        cached=_count(usage.get("cachedContentTokenCount")),
        reasoning=thoughts,
        audio_input=_audio_of(usage.get("promptTokensDetails")),
        audio_cached=_audio_of(usage.get("cacheTokensDetails")),
        audio_output=_audio_of(usage.get("candidatesTokensDetails")),
    )
    return with_total(tokens, _count(usage.get("totalTokenCount")))


def _read_local(document: dict[str, Any]) -> Tokens | None:
    """Return what Ollama and llama.cpp report in their own words, where they do not in OpenAI's."""
    timings = as_object(document.get("timings"))
    if timings:
        fresh, cached, output = (_count(timings.get(name)) for name in ("prompt_n", "cache_n", "predicted_n"))
        asked = None if fresh is None else fresh + (cached or 0)
    else:
        asked, output = _count(document.get("prompt_eval_count")), _count(document.get("eval_count"))
        cached = None
    if asked is None and output is None:
        return None
    return Tokens(input=asked, output=output, cached=cached)


def _audio_of(details: object) -> int | None:
    """Return the audio's tokens in one of Gemini's lists of modalities."""
    if not isinstance(details, list):
        return None
    of_audio = (entry for entry in map(as_object, details) if entry.get("modality") == "AUDIO")
    return sum(_count(entry.get("tokenCount")) or 0 for entry in of_audio) or None


def with_total(tokens: Tokens, total: int | None) -> Tokens:
    """Return a report with what its total says beyond its parts, which was charged too.

    Where the rest is just what the cache had, the request's number leaves the cache out. Any other rest is of the
    answer, whose tokens cost more: some providers count what a model thinks beside the answer. A total that says less
    than the parts changes nothing.

    Args:
        tokens: As the parts say.
        total: Of request and answer together; None where the provider says none.
    """
    if total is not None and tokens.input is not None:
        rest = total - tokens.total
        beside = (tokens.cached or 0) + (tokens.cache_write or 0)
        if rest > 0 and rest == beside and rest != (tokens.reasoning or 0):
            tokens = replace(tokens, input=tokens.input + rest)
        elif rest > 0 or (rest == 0 and tokens.output is None):
            tokens = replace(tokens, output=(tokens.output or 0) + rest)
    output, reasoning = tokens.output, tokens.reasoning
    if output is not None and reasoning is not None and reasoning > output:
        return replace(tokens, output=output + reasoning)  # what is more than the whole is no part of it
    return tokens


def _stated_usd(usage: dict[str, Any]) -> float | None:
    """Return what the provider says that the call costs, in US dollars."""
    ticks = _amount(usage.get("cost_in_usd_ticks"))
    if ticks is not None:
        return _usd(ticks / _TICKS_PER_USD)
    cost = usage.get("cost")
    stated = _amount(cost["total_cost"] if isinstance(cost, dict) and "total_cost" in cost else cost)
    if stated is None:
        stated = _amount(usage.get("estimated_cost"))
    if stated is not None and usage.get("is_byok") is True:
        # With a key of the user's own, OpenRouter's cost is its fee, and the model's provider bills the rest.
        stated += _amount(as_object(usage.get("cost_details")).get("upstream_inference_cost")) or 0.0
    return _usd(stated)


def _usd(amount: float | None) -> float | None:
    return amount if amount is not None and amount <= _MOST_USD else None


def _amount(value: object) -> float | None:
    """Return a number that is not negative, also one that is written as text."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        return float(value) if _NUMBER.fullmatch(value.strip()) else None
    if isinstance(value, float):
        return value if isfinite(value) and value >= 0 else None
    return float(value) if isinstance(value, int) and 0 <= value <= _TICKS_PER_USD * _MOST_USD else None


def _count(value: object) -> int | None:
    """Return a number of tokens; a part of one counts as one."""
    amount = _amount(value)
    return ceil(amount) if amount is not None and amount <= _MOST_TOKENS else None


def _first_count(values: dict[str, Any], *names: str) -> int | None:
    counts = (_count(values.get(name)) for name in names)
    return next((count for count in counts if count is not None), None)


def join_reports(before: Tokens, later: Tokens) -> Tokens:
    """Return what two reports of one call say together, the later one of which has the word where both say something.

    A call has one request: the greatest number of its tokens is the most complete, with its parts.
    """
    first, second = before.input or 0, later.input or 0
    fuller, other = (before, later) if first > second else (later, before)
    joined = replace(later, input=fuller.input if fuller.input is not None else other.input)
    parts: dict[str, Any] = {}
    for name in _INPUT_PARTS:
        values = [value for value in (getattr(fuller, name), getattr(other, name)) if value is not None]
        parts[name] = (max(values) if first == second else values[0]) if values else None
    for name in _OUTPUT_PARTS:
        value = getattr(later, name)
        parts[name] = getattr(before, name) if value is None else value
    return replace(joined, **parts)


@dataclass(slots=True)
class OutputReports:
    """The numbers of output tokens that the events of one stream report: so far, or each of what came with it.

    A number so far grows with the text. One that again and again does not, though text has passed, is of its own piece.
    """

    last: int | None = None
    _sum: int = 0
    _largest: int = -1
    _rising: int = 0
    _flat: int = 0

    def add(self, output: int, *, has_text: bool) -> None:
        """Take a further number, and whether text has passed since the one before."""
        if output > self._largest:
            self._rising += 1
        elif has_text:
            self._flat += 1
        self.last, self._largest, self._sum = output, max(self._largest, output), self._sum + output

    @property
    def output(self) -> int | None:
        """What they come to; None before the first."""
        return self._sum if self._flat > self._rising else self.last
