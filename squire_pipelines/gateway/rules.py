"""What passes the door and in which form: paths, models, headers, the request for usage. Pure."""

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

CHAT_PATH = "/v1/chat/completions"
RESPONSES_PATH = "/v1/responses"
MODELS_PATH = "/v1/models"
_METHODS = {CHAT_PATH: "POST", RESPONSES_PATH: "POST", MODELS_PATH: "GET"}
# Allow-lists: hop-by-hop headers (RFC 9110, 7.6.1), the agent's Authorization and upstream's cookies have no place
# in either.
_REQUEST_HEADERS = frozenset({"content-type", "accept"})
_RESPONSE_HEADERS = frozenset(
    {"content-type", "cache-control", "retry-after", "retry-after-ms", "x-request-id", "x-should-retry"}
)


class RefusalError(Exception):
    """The agent's request does not pass: the HTTP status and a code for agent and record."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message

    def body(self) -> bytes:
        """The error as OpenAI's API writes one, so that clients show its message."""
        error = {"message": self.message, "type": "squire_gateway", "param": None, "code": self.code}
        return json.dumps({"error": error}).encode()


@dataclass(frozen=True, slots=True)
class Forward:
    """A request as it goes to the upstream: `path` below the base URL."""

    method: str
    path: str
    body: bytes
    model: str | None
    stream: bool


def check_path(method: str, path: str) -> None:
    """Raises RefusalError unless the gateway serves this method and path."""
    wanted = _METHODS.get(path)
    if wanted is None:
        raise RefusalError(404, "path", f"the gateway does not serve {path[:200]}")
    if method != wanted:
        raise RefusalError(405, "method", f"{path} takes {wanted}")


def prepare(method: str, path: str, body: bytes, allowed_models: Collection[str]) -> Forward:
    """The request to pass on, with the usage asked for.

    Raises:
        RefusalError: The body is no JSON object, or asks for a model that is not allowed.
    """
    below = path.removeprefix("/v1")
    if path == MODELS_PATH:
        return Forward(method, below, b"", None, stream=False)
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RefusalError(400, "bad_request", "the body is not JSON") from error
    if not isinstance(document, dict):
        raise RefusalError(400, "bad_request", "the body is not a JSON object")
    model = document.get("model")
    if not isinstance(model, str) or model not in allowed_models:
        raise RefusalError(403, "model", f"the model {str(model)[:100]!r} is not allowed for this attempt")
    stream = document.get("stream") is True
    if path == CHAT_PATH and stream:
        options = document.get("stream_options")
        document["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
    return Forward(method, below, json.dumps(document, ensure_ascii=False).encode(), model, stream=stream)


def request_headers(headers: Iterable[tuple[str, str]], api_key: str | None) -> dict[str, str]:
    """The headers for the upstream: few of the agent's, and our key."""
    passed = {name.lower(): value for name, value in headers if name.lower() in _REQUEST_HEADERS}
    passed["accept-encoding"] = "identity"  # tokens are counted as they pass
    if api_key:
        passed["authorization"] = f"Bearer {api_key}"
    return passed


def response_headers(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """The headers for the agent."""
    return [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in headers
        if name.lower() in _RESPONSE_HEADERS
    ]


def without_key(body: bytes, api_key: str | None) -> bytes:
    """A body in which an upstream that repeats our key is not heard by the agent."""
    return body.replace(api_key.encode(), b"[redacted]") if api_key else body


def is_event_stream(content_type: str) -> bool:
    """Whether the body is a stream of server-sent events."""
    return content_type.partition(";")[0].strip().lower() == "text/event-stream"


def as_object(value: Any) -> dict[str, Any]:
    """`value` if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}
