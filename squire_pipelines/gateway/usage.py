"""Counting tokens as a response passes: JSON bodies and server-sent events of two providers' interfaces. Pure.

A provider reports what a stream has used at its end (OpenAI) or at both ends (Anthropic). For one that is cut before,
the text that passed is counted: at least one token for each piece, and one for each four bytes.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from squire_pipelines.gateway.model import Tokens
from squire_pipelines.gateway.rules import BYTES_PER_TOKEN, as_object

_MAX_LINE_BYTES = 4 * 2**20


def tokens_of(text: bytes) -> Tokens | None:
    """Return the usage in one JSON document, or None when it reports none."""
    if b'"usage"' not in text:
        return None
    try:
        document = as_object(json.loads(text))
    except (ValueError, RecursionError):
        return None
    return _usage(document)


def _usage(document: dict[str, Any]) -> Tokens | None:
    # The responses interface reports it in the object of its last event, Anthropic's in that of its first.
    inner = as_object(document.get("response")) or as_object(document.get("message"))
    usage = as_object(document.get("usage") or inner.get("usage"))
    if not usage:
        return None
    details = as_object(usage.get("prompt_tokens_details") or usage.get("input_tokens_details"))
    asked, cached = _count(usage.get("prompt_tokens", usage.get("input_tokens"))), _count(details.get("cached_tokens"))
    written = _count(usage.get("cache_creation_input_tokens"))
    read = _count(usage.get("cache_read_input_tokens"))
    if asked is not None and (written is not None or read is not None):
        # Anthropic's input leaves out what the cache was asked for or given: https://docs.anthropic.com/en/api/messages
        asked += (written or 0) + (read or 0)
        cached = read
    return Tokens(
        input=asked,
        output=_count(usage.get("completion_tokens", usage.get("output_tokens"))),
        cached=cached,
        cache_write=written,
    )


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _texts(document: dict[str, Any]) -> Iterator[str]:
    """Yield what the model has written in one event: words, thoughts, and the arguments of its tool calls."""
    delta = document.get("delta")
    if isinstance(delta, str):  # responses: response.*.delta
        yield delta
    pieces = [as_object(delta)] if isinstance(delta, dict) else []
    choices = document.get("choices")
    pieces += [as_object(as_object(choice).get("delta")) for choice in choices] if isinstance(choices, list) else []
    for piece in pieces:
        for name in ("content", "reasoning_content", "reasoning", "text", "thinking", "partial_json"):
            if isinstance(piece.get(name), str):
                yield piece[name]
        calls = piece.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            function = as_object(as_object(call).get("function"))
            yield from (function[name] for name in ("name", "arguments") if isinstance(function.get(name), str))


class EventCounter:
    """Counts the tokens of server-sent events in any cut; the last usage counts. Keeps one line at most.

    Args:
        input_estimate: The request's tokens, estimated, until the provider reports them.
    """

    def __init__(self, input_estimate: int = 0) -> None:
        self._input_estimate = input_estimate
        self._reported: Tokens | None = None
        self._pieces = 0
        self._bytes = 0
        self._rest = bytearray()
        self._skipping = False

    @property
    def seen(self) -> int:
        """An estimate of the output tokens whose text has passed."""
        return max(self._pieces, -(-self._bytes // BYTES_PER_TOKEN))

    @property
    def tokens(self) -> Tokens:
        """What is known by now."""
        reported = self._reported
        if reported is None:
            return Tokens(input=self._input_estimate, output=self.seen, estimated=True)
        # Anthropic's first event reports the input, and of the output only its first token.
        if reported.estimated or reported.output is None:
            output = max(reported.output or 0, self.seen)
            asked = self._input_estimate if reported.input is None else reported.input
            return replace(reported, input=asked, output=output, estimated=True)
        return reported

    def feed(self, chunk: bytes) -> None:
        """Take a piece of the body."""
        if not self._rest and not self._skipping and chunk.endswith(b"\n"):
            for whole in chunk.split(b"\n"):
                self._line(whole)
            return
        self._rest += chunk
        *lines, rest = self._rest.split(b"\n")
        self._rest = rest
        for line in lines:
            if not self._skipping:
                self._line(bytes(line))
            self._skipping = False
        if len(self._rest) > _MAX_LINE_BYTES:
            self._rest.clear()
            self._skipping = True

    def close(self) -> None:
        """Take what is left as the last line."""
        if not self._skipping:
            self._line(bytes(self._rest))
        self._rest.clear()

    def _line(self, line: bytes) -> None:
        if not line.startswith(b"data:"):
            return
        try:
            document = as_object(json.loads(line[5:]))
        except (ValueError, RecursionError):
            return
        for text in _texts(document):
            if text:
                self._pieces += 1
                self._bytes += len(text.encode(errors="replace"))
        if (usage := _usage(document)) is not None:
            before = self._reported or Tokens()
            self._reported = Tokens(
                input=before.input if usage.input is None else usage.input,
                output=before.output if usage.output is None else usage.output,
                cached=before.cached if usage.cached is None else usage.cached,
                cache_write=before.cache_write if usage.cache_write is None else usage.cache_write,
                estimated=document.get("type") == "message_start",
            )
