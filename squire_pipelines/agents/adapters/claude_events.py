"""Reads the event stream of Claude Code, whose form Qwen Code has too: one object a line. Pure."""

from collections.abc import Iterable

from squire_pipelines.agents.adapters.event_reader import EventReader
from squire_pipelines.agents.adapters.json_lines import Event, cost_of, count_of, part_of, parts_of, text_of
from squire_pipelines.agents.adapters.transcript import Entry

# Qwen Code ends with success and this text when its provider failed.
_ERROR_MARK = "[API Error:"


class StreamReader(EventReader):
    """Reads one session. A message comes in one event for each of its blocks, and its usage with each of them.

    The output's tokens in those are what was counted when the message began; the last event has the whole session's,
    so that the rest is one more step.
    """

    def __init__(self) -> None:
        super().__init__()
        self._messages: set[str] = set()
        self._counted = dict.fromkeys(("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"), 0)

    def entries(self, event: Event) -> Iterable[Entry]:
        """Yield what an event says."""
        self.belongs_to(text_of(event, "session_id"))
        match event.get("type"):
            case "system":
                yield from self._system(event)
            case "assistant":
                yield from self._assistant(part_of(event, "message"))
            case "user":
                for block in parts_of(part_of(event, "message"), "content"):
                    if block.get("type") == "tool_result":
                        failed = block.get("is_error") is True
                        yield self.tool_ended(text_of(block, "tool_use_id"), block.get("content"), failed=failed)
            case "result":
                yield from self._result(event)

    def _system(self, event: Event) -> Iterable[Entry]:
        match event.get("subtype"):
            case "init":
                yield self.began(text_of(event, "model"))
            case "api_retry":
                status = event.get("error_status")
                yield self.note(f"the provider failed with {status}, try {event.get('attempt')}")

    def _assistant(self, message: Event) -> Iterable[Entry]:
        message_id = text_of(message, "id")
        if message_id not in self._messages:
            self._messages.add(message_id)
            tokens = _tokens(part_of(message, "usage"))
            for name, count in tokens.items():
                self._counted[name] += count
            yield self.step(**tokens, reason=text_of(message, "stop_reason"))
        for block in parts_of(message, "content"):
            match block.get("type"):
                case "text":
                    yield from self.says(text_of(block, "text"))
                case "tool_use":
                    self.tool_began(text_of(block, "id"), text_of(block, "name"), block.get("input"))

    def _result(self, event: Event) -> Iterable[Entry]:
        whole = _tokens(part_of(event, "usage"))
        rest = {name: max(0, count - self._counted[name]) for name, count in whole.items()}
        cost = cost_of(event, "total_cost_usd")
        if self._messages and (any(rest.values()) or cost):
            yield self.step(**rest, cost_usd=cost, reason="the rest of the session's usage")
        text, subtype = text_of(event, "result"), text_of(event, "subtype")
        error = text_of(part_of(event, "error"), "message")
        status = event.get("api_error_status")
        is_error = event.get("is_error") is True or subtype.startswith("error")
        if text.lstrip().startswith(_ERROR_MARK):
            yield self.failed("api_error", text.strip(), provider=True)
        elif is_error:
            name = f"api_error_{status}" if isinstance(status, int) else subtype
            of_provider = isinstance(status, int) or _ERROR_MARK in error
            yield self.failed(name, text or error or subtype, provider=of_provider)
        else:
            yield self.ended()


def _tokens(usage: Event) -> dict[str, int]:
    return {
        "input_tokens": count_of(usage, "input_tokens"),
        "output_tokens": count_of(usage, "output_tokens"),
        "cache_read_tokens": count_of(usage, "cache_read_input_tokens"),
        "cache_write_tokens": count_of(usage, "cache_creation_input_tokens"),
    }
