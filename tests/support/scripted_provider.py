"""A scripted provider of models that speaks four protocols: it has an agent's program run shell commands, then ends.

Which turn a request is follows from the results of tools in it, so that a program that asks again gets the same answer.
The command is put into whichever tool for commands the program offers.
"""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.billing import Bill, usage
from tests.support.model_requests import CHAT, GENERATE, MESSAGES, RESPONSES

SHELL_TOOLS = ("Bash", "bash", "shell", "shell_command", "exec_command", "local_shell", "run_shell_command")
INPUT_TOKENS, OUTPUT_TOKENS = 100, 10
MODEL = "scripted"
FAILS, IS_CUT, REFUSES = "fails", "is cut", "refuses"
"""Faults of an answer: the status 500, a stream that ends before its last event, and the status 401."""
_NO_VALUE: dict[str, Any] = {"string": "a", "boolean": False, "number": 60, "integer": 60, "array": [], "object": {}}


@dataclass(frozen=True)
class ShellTool:
    """The tool for commands that a program offers, and the arguments that its schema wants."""

    name: str
    schema: dict[str, Any]

    def arguments(self, command: str) -> dict[str, Any]:
        """Return the arguments that run a command."""
        properties = self.schema.get("properties") or {}
        values: dict[str, Any] = {}
        for name in ("command", "cmd"):
            if name in properties:
                is_list = properties[name].get("type") in {"array", "ARRAY"}
                values[name] = ["bash", "-c", command] if is_list else command
        for name in self.schema.get("required") or ():
            kind = str((properties.get(name) or {}).get("type", "string")).lower()
            values.setdefault(name, _NO_VALUE[kind])
        return values


def _functions(body: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for tool in body.get("tools") or []:
        for one in tool.get("functionDeclarations") or [tool.get("function") or tool]:
            schema = one.get("parametersJsonSchema") or one.get("parameters") or one.get("input_schema") or {}
            yield str(one.get("name")), schema


def shell_tool(body: dict[str, Any]) -> ShellTool | None:
    """Return the tool for commands among those that a request offers."""
    offered = dict(_functions(body))
    return next((ShellTool(name, offered[name]) for name in SHELL_TOOLS if name in offered), None)


def _blocks(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    inputs = body.get("input")
    for message in (*(body.get("messages") or ()), *(inputs if isinstance(inputs, list) else ())):
        yield message
        content = message.get("content")
        yield from (block for block in content if isinstance(block, dict)) if isinstance(content, list) else ()
    for content in body.get("contents") or ():
        yield from content.get("parts") or ()


def results_of_tools(body: dict[str, Any]) -> int:
    """Return how many results of tools a request tells."""
    kinds = {"tool_result", "function_call_output", "custom_tool_call_output"}
    return sum(
        block.get("role") == "tool" or block.get("type") in kinds or "functionResponse" in block
        for block in _blocks(body)
    )


@dataclass
class ScriptedProvider:
    """The provider: what it has agents run, what it says at the end, and the requests that came.

    `make_bill` says what each answer is billed, and `faults` what is wrong with the first ones. `bills` are those of
    the answers, `arrived` are the times of all calls by the monotonic clock.
    """

    commands: tuple[str, ...]
    text: str = "Done."
    make_bill: Callable[[], Bill] = lambda: Bill(INPUT_TOKENS, 0, 0, OUTPUT_TOKENS, 0)
    faults: list[str] = field(default_factory=list)
    bills: list[Bill] = field(default_factory=list)
    arrived: list[float] = field(default_factory=list)
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    answered: int = 0
    root: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def url(self, protocol: str) -> str:
        """Return the base URL for the settings of a provider of that protocol."""
        return f"{self.root}/{'v1beta' if protocol == 'gemini' else 'v1'}"

    @property
    def prompt_text(self) -> str:
        """Everything that reached the model, for a look at what is in prompts."""
        return "\n".join(json.dumps(body, ensure_ascii=False) for _path, body in self.requests)

    def call(self, body: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
        """Return the tool and the arguments of the turn that a request is at; None at the end."""
        number, tool = results_of_tools(body), shell_tool(body)
        if tool is None or number >= len(self.commands):
            return None
        return tool.name, tool.arguments(self.commands[number])


def chat_completion(provider: ScriptedProvider, body: dict[str, Any], bill: Bill) -> list[Any]:
    """Return the events of OpenAI's chat completions."""
    call = provider.call(body)
    delta: dict[str, Any] = {"role": "assistant", "content": None if call else provider.text}
    if call:
        function = {"name": call[0], "arguments": json.dumps(call[1])}
        delta["tool_calls"] = [{"index": 0, "id": f"call_{len(str(body))}", "type": "function", "function": function}]
    reason = "tool_calls" if call else "stop"
    common = {"id": "chatcmpl-1", "created": 1_700_000_000, "model": MODEL}
    if not body.get("stream"):
        choice = {"index": 0, "message": delta, "finish_reason": reason}
        return [{**common, "object": "chat.completion", "choices": [choice], "usage": usage(CHAT, bill)}]
    common["object"] = "chat.completion.chunk"
    return [
        {**common, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]},
        {**common, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]},
        {**common, "choices": [], "usage": usage(CHAT, bill)},
        "[DONE]",
    ]


def message(provider: ScriptedProvider, body: dict[str, Any], bill: Bill) -> list[Any]:
    """Return the events of Anthropic's messages."""
    call = provider.call(body)
    block: dict[str, Any] = {"type": "text", "text": provider.text}
    if call:
        block = {"type": "tool_use", "id": f"toolu_{len(str(body))}", "name": call[0], "input": call[1]}
    reason, report = "tool_use" if call else "end_turn", usage(MESSAGES, bill)
    whole = {"id": "msg_1", "type": "message", "role": "assistant", "model": MODEL, "stop_sequence": None}
    if not body.get("stream"):
        return [{**whole, "content": [block], "stop_reason": reason, "usage": report}]
    opening = {**block, "input": {}} if call else {**block, "text": ""}
    part = {"type": "text_delta", "text": provider.text}
    if call:
        part = {"type": "input_json_delta", "partial_json": json.dumps(call[1])}
    return [
        {
            "type": "message_start",
            "message": {
                **whole,
                "content": [],
                "stop_reason": None,
                "usage": {**usage(MESSAGES, bill), "output_tokens": 1},
            },
        },
        {"type": "content_block_start", "index": 0, "content_block": opening},
        {"type": "content_block_delta", "index": 0, "delta": part},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": reason, "stop_sequence": None},
            "usage": {"output_tokens": bill.output},
        },
        {"type": "message_stop"},
    ]


def response(provider: ScriptedProvider, body: dict[str, Any], bill: Bill) -> list[Any]:
    """Return the events of OpenAI's responses."""
    call = provider.call(body)
    content = {"type": "output_text", "text": provider.text, "annotations": []}
    item: dict[str, Any] = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed"}
    item["content"] = [content]
    if call:
        item = {"type": "function_call", "id": "fc_1", "call_id": f"call_{len(str(body))}", "status": "completed"}
        item |= {"name": call[0], "arguments": json.dumps(call[1])}
    whole = {"id": "resp_1", "object": "response", "created_at": 1_700_000_000, "model": MODEL}
    done = {**whole, "status": "completed", "output": [item], "usage": usage(RESPONSES, bill)}
    if not body.get("stream"):
        return [done]
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": {**whole, "status": "in_progress", "output": []}},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "status": "in_progress"}},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": done},
    ]
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


def generate_content(provider: ScriptedProvider, body: dict[str, Any], bill: Bill) -> list[Any]:
    """Return the events of Gemini's interface, the same for a stream and a single answer."""
    call = provider.call(body)
    part: dict[str, Any] = {"functionCall": {"name": call[0], "args": call[1]}} if call else {"text": provider.text}
    candidate = {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}
    return [
        {"candidates": [candidate], "usageMetadata": usage(GENERATE, bill), "modelVersion": MODEL, "responseId": "r1"}
    ]


_ANSWERS = {
    "/chat/completions": chat_completion,
    "/messages": message,
    "/responses": response,
    ":generateContent": generate_content,
    ":streamGenerateContent": generate_content,
}
_COUNTS = {
    "/messages/count_tokens": {"input_tokens": INPUT_TOKENS},
    ":countTokens": {"totalTokens": INPUT_TOKENS},
}


def _bytes_of(events: list[Any], *, is_stream: bool) -> bytes:
    if not is_stream:
        return json.dumps(events[0]).encode()
    lines: list[str] = []
    for event in events:
        kind = event.get("type") if isinstance(event, dict) else None
        lines += [f"event: {kind}"] if kind else []
        lines += [f"data: {event if isinstance(event, str) else json.dumps(event)}", ""]
    return ("\n".join(lines) + "\n").encode()


@contextlib.contextmanager
def serve_provider(*commands: str, text: str = "Done.", **more: Any) -> Iterator[ScriptedProvider]:
    """Serve until the block ends; each session runs the commands in order. `more` is of `ScriptedProvider`."""
    provider = ScriptedProvider(commands, text, **more)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"{}")
            path = self.path.partition("?")[0]
            count = next((answer for end, answer in _COUNTS.items() if path.endswith(end)), None)
            answer = next((write for end, write in _ANSWERS.items() if path.endswith(end)), None)
            is_stream = bool(body.get("stream")) or ":stream" in path
            fault, bill = "", provider.make_bill()
            with provider.lock:
                provider.requests.append((self.path, body))
                if answer is not None:
                    provider.arrived.append(time.monotonic())
                    fault = provider.faults.pop(0) if provider.faults else ""
                    provider.answered += fault not in {FAILS, REFUSES}
                    provider.bills += [bill] if fault not in {FAILS, REFUSES} else []
            if count is not None:
                self._send(200, json.dumps(count).encode(), "application/json")
            elif answer is None:
                self._send(404, b'{"error": {"message": "no such path"}}', "application/json")
            elif fault == FAILS:
                self._send(500, b'{"error": {"message": "try again", "type": "server_error"}}', "application/json")
            elif fault == REFUSES:
                self._send(401, b'{"error": {"message": "a wrong key"}}', "application/json")
            else:
                kind = "text/event-stream" if is_stream else "application/json"
                events = answer(provider, body, bill)
                events = events[:-1] if fault == IS_CUT and is_stream and len(events) > 1 else events
                self._send(200, _bytes_of(events, is_stream=is_stream), kind)

        def do_GET(self) -> None:
            data = [{"id": MODEL, "object": "model", "type": "model", "created": 1, "owned_by": "test"}]
            self._send(200, json.dumps({"object": "list", "data": data}).encode(), "application/json")

        def _send(self, status: int, raw: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(raw)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                self.wfile.write(raw)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    provider.root = f"http://127.0.0.1:{server.server_port}"
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
