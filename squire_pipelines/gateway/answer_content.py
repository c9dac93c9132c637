"""What an answer of a model shows of itself: whether it is one, has finished, says anything, or is an error. Pure.

A program that gets nothing may take it for the model's last word and end well. So the gateway looks at each answer.
"""

from dataclasses import dataclass
from typing import Any

from squire_pipelines.gateway.rules import as_object

EMPTY, UNFINISHED, ERROR = "empty_answer", "unfinished", "error_in_answer"
NOT_THE_PROTOCOL, NO_STREAM = "not_the_protocol", "no_stream"
NO_ANSWER = frozenset({EMPTY, UNFINISHED, ERROR, NOT_THE_PROTOCOL, NO_STREAM})
"""What a provider's answer of status 200 may be that is none, or not what was asked for."""
RESPONSE_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed"})


@dataclass(slots=True)
class StreamEnd:
    """What a stream's events have shown so far.

    Args:
        has_finished: Whether the provider has said that the answer is at its end.
        has_failed: Whether one of its events was an error.
        has_events: Whether there was any event; a page of HTML has none.
    """

    has_finished: bool = False
    has_failed: bool = False
    has_events: bool = False

    def look_at(self, document: dict[str, Any]) -> None:
        """Take an event of any of the interfaces."""
        name = document.get("type")
        kind = name if isinstance(name, str) else ""
        self.has_events = True
        self.has_failed = self.has_failed or kind in {"error", "response.failed"} or bool(document.get("error"))
        if not self.has_finished:
            self.has_finished = (
                kind in RESPONSE_ENDS
                or kind == "message_stop"
                or bool(as_object(document.get("delta")).get("stop_reason"))
                or has_finish(document)
            )

    def failure(self, *, has_content: bool) -> str | None:
        """Return what is wrong with a stream that has ended."""
        if self.has_failed:
            return ERROR
        if not has_content:
            return EMPTY
        if not self.has_events:
            return NOT_THE_PROTOCOL
        return None if self.has_finished else UNFINISHED


def has_finish(document: dict[str, Any]) -> bool:
    """Return whether an event says that one of its answers has finished: OpenAI's chat completions and Gemini's."""
    if as_object(document.get("promptFeedback")).get("blockReason"):
        return True
    answers = document.get("candidates") or document.get("choices")
    return isinstance(answers, list) and any(
        as_object(answer).get("finishReason") or as_object(answer).get("finish_reason") for answer in answers
    )
