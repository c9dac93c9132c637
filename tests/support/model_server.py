"""A scripted model that speaks OpenAI's chat completions, plain and streamed, over TCP and a Unix socket.

For tests of whatever calls a model: OpenCode, the planner, the gateway. It thinks nothing: it plays a list of turns,
records every request, and answers side requests (OpenCode asks for a title of the session) without using a turn up.
"""

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

STARTED = 1_700_000_000


@dataclass(frozen=True)
class Call:
    """One tool call of a turn; `arguments` as the tool's schema wants them."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Turn:
    """What the model answers to one request: text, tool calls, or an HTTP error.

    `change` makes of an answer that is not streamed what some servers make of it. OpenCode asks again, for a minute
    and more, after an error whose `error_type` is the server's.
    """

    text: str = ""
    calls: tuple[Call, ...] = ()
    status: int = 200
    error_type: str = "server_error"
    prompt_tokens: int = 100
    completion_tokens: int = 10
    headers: dict[str, str] = field(default_factory=dict)
    change: Callable[[dict[str, Any]], None] = lambda _whole: None


@dataclass(frozen=True)
class Recorded:
    """One request as it arrived; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    side: bool

    @property
    def tools(self) -> set[str]:
        """The names of the tools that the model was offered."""
        return {tool["function"]["name"] for tool in self.body.get("tools") or []}

    @property
    def text(self) -> str:
        """All text of all messages, for a look at what reached the model."""
        return json.dumps(self.body.get("messages", []), ensure_ascii=False)


def _is_side_request(body: dict[str, Any]) -> bool:
    """OpenCode names a session with a request of its own, which offers no tools and asks for a title."""
    system = json.dumps([m for m in body.get("messages", []) if m.get("role") in {"system", "developer"}]).lower()
    return not body.get("tools") and "title generator" in system


def _tool_calls(turn: Turn) -> list[dict[str, Any]]:
    return [
        {
            "index": index,
            "id": f"call_{index}_{call.name}",
            "type": "function",
            "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
        }
        for index, call in enumerate(turn.calls)
    ]


class ModelServer:
    """`with ModelServer([Turn(...), ...]) as model:` serves until the block ends.

    Args:
        turns: Answers in order. A request after the last one gets HTTP 500 `script is over`, which a test notices.
        socket_path: Serve on this Unix socket too, mode 0666, so that a container of any uid can connect.
        delay_s: Wait this long before each answer.
    """

    def __init__(self, turns: Sequence[Turn] = (), *, socket_path: Path | None = None, delay_s: float = 0.0) -> None:
        self.requests: list[Recorded] = []
        self._turns = list(turns)
        self._played = 0
        self._lock = threading.Lock()
        self._delay_s = delay_s
        self._socket_path = socket_path
        self._tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._tcp.bind(("127.0.0.1", 0))
        self.port: int = self._tcp.getsockname()[1]
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The base URL for OpenAI clients."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def main_requests(self) -> list[Recorded]:
        """The requests that used a turn up."""
        return [request for request in self.requests if not request.side]

    def __enter__(self) -> Self:
        app = Starlette(
            routes=[
                Route("/v1/chat/completions", self._complete, methods=["POST"]),
                Route("/v1/models", self._models, methods=["GET"]),
            ]
        )
        config = uvicorn.Config(app, log_level="error", lifespan="off", ws="none", timeout_graceful_shutdown=1)
        sockets = [self._tcp]
        if self._socket_path is not None:
            unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            unix.bind(str(self._socket_path))
            self._socket_path.chmod(0o666)
            sockets.append(unix)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=(sockets,), name="model-server", daemon=True)
        self._thread.start()
        deadline = time.monotonic() + 10
        while not self._server.started:
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise RuntimeError("the model server did not start")
            threading.Event().wait(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(timeout=10)
        self._tcp.close()
        if self._socket_path is not None:
            self._socket_path.unlink(missing_ok=True)

    async def _models(self, request: Request) -> Response:
        self._record(request, {}, side=True)
        return JSONResponse({"object": "list", "data": [{"id": "scripted", "object": "model", "created": STARTED}]})

    async def _complete(self, request: Request) -> Response:
        body: dict[str, Any] = await request.json()
        side = _is_side_request(body)
        self._record(request, body, side=side)
        turn = Turn(text="A scripted session") if side else self._next()
        if self._delay_s:
            await asyncio.sleep(self._delay_s)

        if turn.status != 200:
            error = {"error": {"message": turn.text or "scripted failure", "type": turn.error_type, "code": None}}
            return JSONResponse(error, status_code=turn.status, headers=turn.headers)
        if body.get("stream"):
            usage = bool((body.get("stream_options") or {}).get("include_usage"))
            chunks = self._chunks(turn, str(body.get("model")), usage=usage)
            return StreamingResponse(chunks, media_type="text/event-stream", headers=turn.headers)
        return JSONResponse(self._whole(turn, str(body.get("model"))), headers=turn.headers)

    def _record(self, request: Request, body: dict[str, Any], *, side: bool) -> None:
        headers = dict(request.headers)
        self.requests.append(Recorded(request.method, request.url.path, headers, body, side))

    def _next(self) -> Turn:
        with self._lock:
            if self._played >= len(self._turns):
                return Turn(text="script is over", status=500)
            self._played += 1
            return self._turns[self._played - 1]

    @staticmethod
    def _usage(turn: Turn) -> dict[str, int]:
        total = turn.prompt_tokens + turn.completion_tokens
        return {
            "prompt_tokens": turn.prompt_tokens,
            "completion_tokens": turn.completion_tokens,
            "total_tokens": total,
        }

    def _whole(self, turn: Turn, model: str) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": turn.text or None}
        if turn.calls:
            message["tool_calls"] = [
                {key: value for key, value in call.items() if key != "index"} for call in _tool_calls(turn)
            ]
        answer: dict[str, Any] = {
            "id": "chatcmpl-scripted",
            "object": "chat.completion",
            "created": STARTED,
            "model": model,
            "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls" if turn.calls else "stop"}],
            "usage": self._usage(turn),
        }
        turn.change(answer)
        return answer

    async def _chunks(self, turn: Turn, model: str, *, usage: bool) -> AsyncIterator[bytes]:
        for choice in _deltas(turn):
            yield _event(model, [choice], None)
        if usage:
            yield _event(model, [], self._usage(turn))
        yield b"data: [DONE]\n\n"


def _deltas(turn: Turn) -> Iterator[dict[str, Any]]:
    """The turn in pieces as OpenAI streams them: text in words, a tool call's name first, then its arguments."""
    yield {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
    for word in turn.text.splitlines(keepends=True):
        yield {"index": 0, "delta": {"content": word}, "finish_reason": None}
    for call in _tool_calls(turn):
        arguments = call["function"]["arguments"]
        opening = {**call, "function": {**call["function"], "arguments": ""}}
        yield {"index": 0, "delta": {"tool_calls": [opening]}, "finish_reason": None}
        half = len(arguments) // 2
        for piece in (arguments[:half], arguments[half:]):
            delta = {"tool_calls": [{"index": call["index"], "function": {"arguments": piece}}]}
            yield {"index": 0, "delta": delta, "finish_reason": None}
    yield {"index": 0, "delta": {}, "finish_reason": "tool_calls" if turn.calls else "stop"}


def _event(model: str, choices: list[dict[str, Any]], usage: dict[str, int] | None) -> bytes:
    chunk = {
        "id": "chatcmpl-scripted",
        "object": "chat.completion.chunk",
        "created": STARTED,
        "model": model,
        "choices": choices,
    }
    if usage is not None:
        chunk["usage"] = usage
    return f"data: {json.dumps(chunk)}\n\n".encode()


__all__ = ["Call", "ModelServer", "Recorded", "Turn"]
