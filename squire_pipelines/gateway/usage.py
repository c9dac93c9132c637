"""Counting tokens as a response passes: JSON bodies and server-sent events of both of OpenAI's interfaces. Pure."""

import json
from dataclasses import dataclass

from squire_pipelines.gateway.rules import as_object

_MAX_LINE_BYTES = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a response says it used; None where it says nothing. `cached` are among the input's."""

    input: int | None = None
    output: int | None = None
    cached: int | None = None


def tokens_of(text: bytes) -> Tokens | None:
    """The usage in one JSON document, or None when it tells none."""
    if b'"usage"' not in text:
        return None
    try:
        document = as_object(json.loads(text))
    except (ValueError, RecursionError):
        return None
    # The responses interface tells it in the object of its last event.
    usage = as_object(document.get("usage") or as_object(document.get("response")).get("usage"))
    if not usage:
        return None
    details = as_object(usage.get("prompt_tokens_details") or usage.get("input_tokens_details"))
    return Tokens(
        input=_count(usage.get("prompt_tokens", usage.get("input_tokens"))),
        output=_count(usage.get("completion_tokens", usage.get("output_tokens"))),
        cached=_count(details.get("cached_tokens")),
    )


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


class EventCounter:
    """Looks at server-sent events in any cut; the last usage counts. Keeps one line at most."""

    def __init__(self) -> None:
        self.tokens = Tokens()
        self._rest = bytearray()
        self._skipping = False

    def feed(self, chunk: bytes) -> None:
        """Take a piece of the body."""
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
        if line.startswith(b"data:"):
            self.tokens = tokens_of(line[5:].strip()) or self.tokens
