"""Counting tokens as a response passes: JSON bodies and server-sent events of the providers' interfaces. Pure.

A provider reports what a stream has used at its end (OpenAI), at both ends (Anthropic) or in each event (Gemini, and
some compatible servers), which is the last word only once the answer has finished. The text that passed is counted all
the same, in whatever field it stands: at least one token for each piece, and one for each four bytes. It is what a
stream has used that nobody reported, and a report that says less than the text can be is not believed.
"""

import json
import re
from dataclasses import dataclass, replace
from typing import Any

from squire_pipelines.gateway.answer_content import EMPTY, ERROR, NOT_THE_PROTOCOL, RESPONSE_ENDS, StreamEnd
from squire_pipelines.gateway.model import Tokens
from squire_pipelines.gateway.rules import BYTES_PER_TOKEN, as_object
from squire_pipelines.gateway.usage_report import OutputReports, join_reports, read_report

_MAX_LINE_BYTES = 4 * 2**20
# No model writes text of which the average token is that long: a report below it is none.
_MOST_BYTES_PER_TOKEN = 32
_LINE_END = re.compile(rb"\r\n|\r|\n")
# Of server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html); the first is a comment.
_FIELDS = (b":", b"event:", b"id:", b"retry:")
# What surrounds the text in every event. A longer value is text, whatever its key is called.
_ENVELOPE = frozenset(
    {"id", "object", "model", "type", "role", "status", "created", "provider", "system_fingerprint", "service_tier"}
    | {"finish_reason", "native_finish_reason", "stop_reason", "stop_sequence", "item_id", "call_id", "tool_use_id"}
    | {"obfuscation", "phase", "modelVersion", "responseId", "createTime", "finishReason", "finishMessage", "mimeType"}
)
_MAX_ENVELOPE_CHARS = 100
# What Gemini's interface adds to the model's text: the sealed form of a thought, and what it found and judged.
_ADDED = frozenset(
    {"thoughtSignature", "groundingMetadata", "citationMetadata", "safetyRatings", "promptFeedback", "usageMetadata"}
)
# Events that repeat what passed before in pieces, and what of them is the model's own.
_WHOLES = frozenset({"response.created", "response.queued", "response.in_progress"})
_MAX_KINDS = 32


@dataclass(frozen=True, slots=True)
class WholeAnswer:
    """What one JSON document says: its usage, if it reports any that its text can be, and what is wrong with it."""

    tokens: Tokens | None = None
    failure: str | None = EMPTY


def read_answer(text: bytes, input_estimate: int = 0) -> WholeAnswer:
    """Return what an answer that came whole says of itself; the estimate is for a request that it does not count."""
    try:
        document = as_object(json.loads(text))
    except (ValueError, RecursionError):
        return WholeAnswer(failure=NOT_THE_PROTOCOL if text.strip() else EMPTY)
    usage = read_report(document)
    is_response = document.get("object") == "response"
    size = _text_bytes(document.get("output") if is_response else {**document, "usage": None})
    failure = None if size or (usage is not None and usage.output) else EMPTY
    if usage is not None and size and usage.output == 0:  # servers that count nothing report zeros
        usage = replace(usage, output=None, stated_usd=None) if usage.input else None
    is_counted = usage is not None and (usage.output is None or usage.output >= size // _MOST_BYTES_PER_TOKEN)
    tokens = _filled(usage, size, input_estimate) if usage is not None and is_counted else None
    return WholeAnswer(tokens, ERROR if document.get("error") else failure)


def _least_tokens(size: int) -> int:
    """Return the fewest tokens that text of so many bytes can be; no text is none."""
    return max(min(size, 1), size // _MOST_BYTES_PER_TOKEN)


def _filled(usage: Tokens, size: int, input_estimate: int) -> Tokens:
    """Return a report with estimates for what it leaves out; no request has no tokens."""
    if usage.input and usage.output is not None:
        return usage
    output = -(-size // BYTES_PER_TOKEN) if usage.output is None else usage.output
    return replace(usage, input=usage.input or input_estimate, output=output, estimated=True)


def _text_bytes(value: Any) -> int:
    """Return how many bytes of text a document has in all its fields, without what surrounds the text."""
    size = 0
    rest: list[Any] = [value]
    while rest:
        entry = rest.pop()
        if isinstance(entry, str):
            size += len(entry.encode(errors="replace"))
        elif isinstance(entry, list):
            rest += entry
        elif isinstance(entry, dict):
            rest += [
                inner
                for key, inner in entry.items()
                if key not in _ADDED
                and not (key in _ENVELOPE and isinstance(inner, str) and len(inner) <= _MAX_ENVELOPE_CHARS)
            ]
    return size


@dataclass(slots=True)
class _Text:
    """Text that has passed."""

    pieces: int = 0
    size: int = 0

    def add(self, size: int) -> None:
        """Count a piece, which may be empty."""
        if size:
            self.pieces += 1
            self.size += size

    @property
    def tokens(self) -> int:
        """An estimate of its tokens."""
        return max(self.pieces, -(-self.size // BYTES_PER_TOKEN))


class EventCounter:
    """Counts the tokens of a stream of server-sent events, whose pieces may be cut anywhere.

    Args:
        input_estimate: Of the request's tokens, until the provider reports them.
    """

    def __init__(self, input_estimate: int = 0) -> None:
        self._input_estimate = input_estimate
        self._reported: Tokens | None = None
        self._outputs = OutputReports()
        self._has_text = False  # since the last report of any kind
        self._is_interim = False
        self._text = _Text()
        self._since_report = _Text()
        self._repeated: dict[str, _Text] = {}
        self._end = StreamEnd()
        self._rest = bytearray()
        self._skipping = False

    @property
    def is_final(self) -> bool:
        """Whether the provider has reported what the stream used, and nothing has passed since."""
        reported = self._reported
        return reported is not None and not self.tokens.estimated

    @property
    def failure(self) -> str | None:
        """What is wrong with the stream now that it has ended: an error in it, no content, or no finish."""
        has_text = any(text.pieces for text in (self._text, *self._repeated.values()))
        output = self._reported.output if self._reported is not None else None
        return self._end.failure(has_content=has_text or bool(output))

    @property
    def tokens(self) -> Tokens:
        """What is known by now."""
        texts = (self._text, *self._repeated.values())
        reported = self._reported
        if reported is None:
            return Tokens(input=self._input_estimate, output=max(text.tokens for text in texts), estimated=True)
        output, later = reported.output or 0, self._since_report.tokens
        is_interim = self._is_interim and not self._end.has_finished
        # Anthropic's first event reports the input, and of the output only its first token.
        is_early = reported.estimated or reported.output is None
        output = max(output, later) if is_early else output + later
        if output < self._least:
            output, is_early = max(text.tokens for text in texts), True
        return replace(
            reported,
            input=reported.input or self._input_estimate,  # no request has none
            output=output,
            estimated=is_early or bool(later) or is_interim,
            stated_usd=None if is_early or later or is_interim else reported.stated_usd,
        )

    @property
    def _least(self) -> int:
        """The fewest tokens that the text can be."""
        return _least_tokens(max(text.size for text in (self._text, *self._repeated.values())))

    def feed(self, chunk: bytes) -> None:
        """Take a piece of the body."""
        if not self._rest and not self._skipping and chunk.endswith(b"\n") and b"\r" not in chunk:
            for whole in chunk.split(b"\n"):
                self._line(whole)
            return
        self._rest += chunk
        lines: list[bytes | bytearray] = []
        if b"\n" in chunk or b"\r" in chunk:  # else a line of many pieces would be searched as often
            *lines, rest = _LINE_END.split(self._rest)
            self._rest = bytearray(rest)
        for line in lines:
            if self._skipping:
                self._add(len(line))
            else:
                self._line(bytes(line))
            self._skipping = False
        if self._skipping or len(self._rest) > _MAX_LINE_BYTES:
            self._add(len(self._rest))
            self._rest.clear()
            self._skipping = True

    def close(self) -> None:
        """Take what is left as the last line."""
        if self._skipping:
            self._add(len(self._rest))
        else:
            self._line(bytes(self._rest))
        self._rest.clear()

    def _add(self, size: int) -> None:
        self._has_text = self._has_text or size > 0
        self._text.add(size)
        self._since_report.add(size)

    def _line(self, line: bytes) -> None:
        if not line.startswith(b"data:"):
            if not line.startswith(_FIELDS):
                self._add(len(line))
            return
        data = line[5:].strip()
        if data == b"[DONE]":
            self._end.has_finished = True
            return
        try:
            document = json.loads(data)
        except (ValueError, RecursionError):
            document = None
        if isinstance(document, dict):
            self._event(document)
        else:
            self._add(len(data))

    def _event(self, document: dict[str, Any]) -> None:
        kind = document.get("type")
        usage = read_report(document)
        self._end.look_at(document)
        if usage is not None or (isinstance(kind, str) and kind in _WHOLES):
            document = {**document, "usage": None}
        if isinstance(kind, str) and (kind in _WHOLES or kind in RESPONSE_ENDS):
            document = {"output": as_object(document.get("response")).get("output")}
        elif kind == "message_start":
            document = {"content": as_object(document.get("message")).get("content")}
        size = _text_bytes(document)
        name = kind if isinstance(kind, str) and (kind in RESPONSE_ENDS or kind.endswith(".done")) else ""
        if name and (name in self._repeated or len(self._repeated) < _MAX_KINDS):
            self._repeated.setdefault(name, _Text()).add(size)
        else:
            self._add(size)
        if usage is None:
            return
        is_early = kind == "message_start"
        # Gemini and some compatible servers report with each piece of text what was used so far.
        self._is_interim = "usageMetadata" in document or size > 0
        output = usage.output
        if output is not None and not is_early:
            self._outputs.add(output, has_text=self._has_text)
            output = self._outputs.output
        self._has_text = False
        before = self._reported or Tokens()
        if output is not None and output >= self._least:
            self._since_report = _Text()
        else:
            output = before.output
        self._reported = replace(join_reports(before, usage), output=output, estimated=is_early)
