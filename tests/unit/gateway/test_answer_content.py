"""An answer without content, without a finish or with an error in it is seen, in each interface."""

import json
from typing import Any

import pytest

from squire_pipelines.gateway.usage import EventCounter, read_answer

CHAT_ROLE = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}
CHAT_TEXT = {"choices": [{"index": 0, "delta": {"content": "a"}}]}
CHAT_CALL = {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"name": "ls"}}]}}]}
CHAT_FINISH = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
CHAT_USAGE = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3}}
CLAUDE_START = {"type": "message_start", "message": {"content": [], "usage": {"input_tokens": 9, "output_tokens": 0}}}
CLAUDE_TEXT = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}}
CLAUDE_FINISH = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}}
CLAUDE_NOTHING = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 0}}
CODEX_START = {"type": "response.created", "response": {"instructions": "Be good.", "output": []}}
CODEX_TEXT = {"type": "response.output_text.delta", "delta": "a"}
CODEX_FINISH: dict[str, Any] = {"type": "response.completed", "response": {"output": [], "error": None}}
GEMINI_TEXT = {"candidates": [{"content": {"parts": [{"text": "a"}]}}]}
GEMINI_FINISH = {"candidates": [{"content": {"role": "model"}, "finishReason": "STOP"}]}
STREAMS: dict[str, tuple[list[object], str | None]] = {
    "nothing at all": ([], "empty_answer"),
    "chat": ([CHAT_ROLE, CHAT_TEXT, CHAT_FINISH], None),
    "chat, a call of a tool": ([CHAT_ROLE, CHAT_CALL, CHAT_FINISH], None),
    "chat, thoughts that nobody sees": ([CHAT_ROLE, CHAT_FINISH, CHAT_USAGE], None),
    "chat, empty": ([CHAT_ROLE, CHAT_FINISH], "empty_answer"),
    "chat, cut": ([CHAT_ROLE, CHAT_TEXT], "unfinished"),
    "chat, an error in it": ([CHAT_TEXT, {"error": {"message": "no"}}], "error_in_answer"),
    "Anthropic": ([CLAUDE_START, CLAUDE_TEXT, CLAUDE_FINISH, {"type": "message_stop"}], None),
    "Anthropic, the model has no more to say": ([CLAUDE_START, CLAUDE_FINISH], None),
    "Anthropic, empty": ([CLAUDE_START, {"type": "ping"}, CLAUDE_NOTHING], "empty_answer"),
    "Anthropic, cut": ([CLAUDE_START, CLAUDE_TEXT], "unfinished"),
    "Anthropic, overloaded": (
        [CLAUDE_START, {"type": "error", "error": {"type": "overloaded_error"}}],
        "error_in_answer",
    ),
    "responses": ([CODEX_START, CODEX_TEXT, CODEX_FINISH], None),
    "responses, empty": ([CODEX_START, CODEX_FINISH], "empty_answer"),
    "responses, cut": ([CODEX_START, CODEX_TEXT], "unfinished"),
    "responses, failed": ([CODEX_START, {"type": "response.failed", "response": {}}], "error_in_answer"),
    "Gemini": ([GEMINI_TEXT, GEMINI_FINISH], None),
    "Gemini, empty": ([GEMINI_FINISH], "empty_answer"),
    "Gemini, cut": ([GEMINI_TEXT], "unfinished"),
    "Gemini, blocked": ([{"promptFeedback": {"blockReason": "SAFETY"}}], "empty_answer"),
}


@pytest.mark.parametrize("case", STREAMS)
def test_a_stream_is_looked_at(case: str) -> None:
    events, failure = STREAMS[case]
    counter = EventCounter()
    for event in events:
        counter.feed(f"data: {json.dumps(event)}\n\n".encode())
    counter.close()
    assert counter.failure == failure


def test_servers_that_only_say_done_have_finished() -> None:
    counter = EventCounter()
    counter.feed(f"data: {json.dumps(CHAT_TEXT)}\n\ndata: [DONE]\n\n".encode())
    counter.close()
    assert counter.failure is None


WHOLE: dict[str, tuple[object, str | None]] = {
    "chat": ({"choices": [{"message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}]}, None),
    "chat, empty": (
        {"id": "c", "model": "m", "choices": [{"message": {"role": "assistant", "content": None}}]},
        "empty_answer",
    ),
    "chat, thoughts alone": ({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 5}}, None),
    "Anthropic": ({"type": "message", "content": [{"type": "tool_use", "name": "ls", "input": {}}]}, None),
    "Anthropic, empty": ({"type": "message", "content": [], "usage": {"output_tokens": 0}}, "empty_answer"),
    "responses, empty": ({"object": "response", "instructions": "Be good.", "output": []}, "empty_answer"),
    "Gemini, empty": ({**GEMINI_FINISH, "usageMetadata": {"promptTokenCount": 5}}, "empty_answer"),
    "an error with a 200": ({"error": {"message": "no"}}, "error_in_answer"),
    "no object": (["a"], "empty_answer"),
}


@pytest.mark.parametrize("case", WHOLE)
def test_a_whole_answer_is_looked_at(case: str) -> None:
    document, failure = WHOLE[case]
    assert read_answer(json.dumps(document).encode()).failure == failure
    assert read_answer(b"<html>Sign in</html>").failure == "not_the_protocol"
