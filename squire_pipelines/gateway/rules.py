"""Which paths and headers pass to the model and back, and how a refusal is written. Pure; see `request_body` too."""

import json
from collections.abc import Iterable
from typing import Any

from squire_pipelines.gateway.model import Protocol

CHAT_PATH = "/v1/chat/completions"
RESPONSES_PATH = "/v1/responses"
MODELS_PATH = "/v1/models"
MESSAGES_PATH = "/v1/messages"
COUNT_PATH = "/v1/messages/count_tokens"
_METHODS = {CHAT_PATH: "POST", RESPONSES_PATH: "POST", MODELS_PATH: "GET", MESSAGES_PATH: "POST", COUNT_PATH: "POST"}
# Counting tokens and naming the models is free: https://docs.anthropic.com/en/api/messages-count-tokens
FREE_PATHS = frozenset({MODELS_PATH, COUNT_PATH})
_VERSION = "2023-06-01"
# Betas that change what is read from the request or how the answer is written. Those of remote tools, files,
# containers, skills and faster service are left out: https://docs.anthropic.com/en/api/beta-headers
_BETAS = frozenset(
    {
        "claude-code-20250219",
        "computer-use-2024-10-22",
        "computer-use-2025-01-24",
        "computer-use-2025-11-24",
        "context-1m-2025-08-07",
        "context-management-2025-06-27",
        "effort-2025-11-24",
        "extended-cache-ttl-2025-04-11",
        "fine-grained-tool-streaming-2025-05-14",
        "interleaved-thinking-2025-05-14",
        "output-128k-2025-02-19",
        "pdfs-2024-09-25",
        "prompt-caching-2024-07-31",
        "prompt-caching-scope-2026-01-05",
        "structured-outputs-2025-11-13",
        "token-counting-2024-11-01",
        "token-efficient-tools-2025-02-19",
    }
)
# An allow-list: hop-by-hop headers (RFC 9110, 7.6.1) and upstream's cookies have no place in an answer.
_RESPONSE_HEADERS = frozenset(
    {"content-type", "cache-control", "retry-after", "retry-after-ms", "x-request-id", "request-id", "x-should-retry"}
)
_MAX_HEADER_CHARS = 2000
# What Anthropic calls an error of that status: https://docs.anthropic.com/en/api/errors
_ANTHROPIC_TYPES = {400: "invalid_request_error", 403: "permission_error", 404: "not_found_error"} | {
    405: "invalid_request_error",
    413: "request_too_large",
}
# By these codes a program must not try again: only the user can change anything about it.
_FINAL_CODES = frozenset(
    {"budget", "price_unknown", "model", "path", "method", "bad_request", "not_passed_on", "provider_down"}
)
BYTES_PER_TOKEN = 4


class RefusalError(Exception):
    """The refusal of an agent's request, with its HTTP status, and a code for the agent and the record."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The headers of the refusal; OpenAI's and Anthropic's clients heed `x-should-retry`."""
        return [(b"x-should-retry", b"false")] if self.code in _FINAL_CODES else []

    def body(self, protocol: Protocol = Protocol.OPENAI) -> bytes:
        """Return the error as the provider's API writes one, so that clients show its message."""
        return json.dumps(self._document(protocol)).encode()

    def event(self, protocol: Protocol) -> bytes:
        """Return the error as an event in the midst of a stream."""
        name = b"event: error\n" if protocol is Protocol.ANTHROPIC else b""
        return name + b"data: " + self.body(protocol) + b"\n\n"

    def _document(self, protocol: Protocol) -> dict[str, Any]:
        if protocol is Protocol.ANTHROPIC:
            kind = _ANTHROPIC_TYPES.get(self.status, "api_error")
            return {"type": "error", "error": {"type": kind, "message": self.message, "code": self.code}}
        kind = "insufficient_quota" if self.code == "budget" else "squire_gateway"
        return {"error": {"message": self.message, "type": kind, "param": None, "code": self.code}}


def protocol_of(path: str) -> Protocol:
    """Return the interface that a path belongs to."""
    return Protocol.ANTHROPIC if path.startswith(MESSAGES_PATH) else Protocol.OPENAI


def check_path(method: str, path: str) -> None:
    """Raise RefusalError unless the gateway serves this method and path."""
    if method == "CONNECT":
        raise RefusalError(
            405, "method", "the gateway opens no tunnels; packages are read from the registries below /egress/"
        )
    if path not in _METHODS:
        raise RefusalError(404, "path", f"the gateway does not serve {path[:200]}")
    if method != _METHODS[path]:
        raise RefusalError(405, "method", f"{path} takes {_METHODS[path]}")


def request_headers(
    headers: Iterable[tuple[str, str]], api_key: str | None, protocol: Protocol = Protocol.OPENAI
) -> dict[str, str]:
    """Return the headers for the upstream: ours, and of the agent's the names of a version and of known betas."""
    made = {
        "content-type": "application/json",
        "accept-encoding": "identity",  # tokens are counted as they pass
    }
    if protocol is Protocol.ANTHROPIC:
        made["anthropic-version"] = _VERSION
        named = ",".join(value for name, value in headers if name.lower() == "anthropic-beta")[:_MAX_HEADER_CHARS]
        betas = dict.fromkeys(beta.strip() for beta in named.split(","))
        if passed := [beta for beta in betas if beta in _BETAS]:
            made["anthropic-beta"] = ",".join(passed)
    if api_key and protocol is Protocol.ANTHROPIC:
        made["x-api-key"] = api_key
    elif api_key:
        made["authorization"] = f"Bearer {api_key}"
    return made


def response_headers(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Return the headers for the agent."""
    return [
        (name.lower().encode("latin-1"), value.encode("latin-1", errors="replace"))
        for name, value in headers
        if name.lower() in _RESPONSE_HEADERS
    ]


def is_event_stream(content_type: str) -> bool:
    """Return whether the body is a stream of server-sent events."""
    return content_type.partition(";")[0].strip().lower() == "text/event-stream"


def as_object(value: Any) -> dict[str, Any]:
    """Return `value` if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}
