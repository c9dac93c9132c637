"""Which requests pass to the model and in which form: paths, models, headers, the request for usage. Pure."""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from squire_pipelines.gateway.model import Protocol

CHAT_PATH = "/v1/chat/completions"
RESPONSES_PATH = "/v1/responses"
MODELS_PATH = "/v1/models"
MESSAGES_PATH = "/v1/messages"
COUNT_PATH = "/v1/messages/count_tokens"
_METHODS = {CHAT_PATH: "POST", RESPONSES_PATH: "POST", MODELS_PATH: "GET", MESSAGES_PATH: "POST", COUNT_PATH: "POST"}
# Counting tokens and naming the models is free: https://docs.anthropic.com/en/api/messages-count-tokens
_FREE = frozenset({MODELS_PATH, COUNT_PATH})
# Allow-lists: hop-by-hop headers (RFC 9110, 7.6.1), the agent's own credentials and upstream's cookies have no place
# in either.
_REQUEST_HEADERS = frozenset({"content-type", "accept", "anthropic-version", "anthropic-beta"})
_RESPONSE_HEADERS = frozenset(
    {"content-type", "cache-control", "retry-after", "retry-after-ms", "x-request-id", "request-id", "x-should-retry"}
)
_MAX_HEADER_CHARS = 500
# Where a request names the most that it may be answered. Responses: `max_output_tokens`.
_OUTPUT_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
# What Anthropic calls an error of that status: https://docs.anthropic.com/en/api/errors
_ANTHROPIC_TYPES = {400: "invalid_request_error", 403: "permission_error", 404: "not_found_error"} | {
    405: "invalid_request_error",
    413: "request_too_large",
}
# By these codes a program must not try again: only the user can change anything about it.
_FINAL_CODES = frozenset({"budget", "price_unknown", "model", "path", "method"})
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


@dataclass(frozen=True, slots=True)
class Forward:
    """A request as it goes to the upstream: `path` below the base URL.

    `input_estimate` is in tokens, from the body's size. `free` calls cost nothing and count for no cap on tokens.
    """

    method: str
    path: str
    body: bytes
    model: str | None
    protocol: Protocol = Protocol.OPENAI
    free: bool = False
    input_estimate: int = 0


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


def prepare(
    method: str,
    path: str,
    body: bytes,
    allowed_models: Collection[str],
    aliases: Mapping[str, str] = MappingProxyType({}),
    *,
    max_output: int | None = None,
) -> Forward:
    """Return the request to pass on, with the usage asked for.

    Args:
        method: Of HTTP.
        path: One that `check_path` has let through.
        body: As it came.
        allowed_models: The ids that may be named.
        aliases: Names of models that stand for another; the upstream gets the other.
        max_output: The most tokens that an answer may still have; a request that asks for more is lowered.

    Raises:
        RefusalError: The body is no JSON object, or asks for a model that is not allowed.
    """
    below = path.removeprefix("/v1")
    protocol = protocol_of(path)
    if path == MODELS_PATH:
        return Forward(method, below, b"", None, protocol=protocol, free=True)
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RefusalError(400, "bad_request", "the body is not JSON") from error
    if not isinstance(document, dict):
        raise RefusalError(400, "bad_request", "the body is not a JSON object")
    asked = document.get("model")
    model = aliases.get(asked, asked) if isinstance(asked, str) else asked
    if not isinstance(model, str) or model not in allowed_models:
        raise RefusalError(403, "model", f"the model {str(asked)[:100]!r} is not allowed for this attempt")
    document["model"] = model
    if path == CHAT_PATH and document.get("stream") is True:
        options = document.get("stream_options")
        document["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
    if max_output is not None:
        for name in _OUTPUT_LIMITS:
            if isinstance(document.get(name), int) and document[name] > max_output:
                document[name] = max_output
    text = json.dumps(document, ensure_ascii=False).encode(errors="replace")
    return Forward(
        method,
        below,
        text,
        model,
        protocol=protocol,
        free=path in _FREE,
        input_estimate=-(-len(text) // BYTES_PER_TOKEN),
    )


def request_headers(
    headers: Iterable[tuple[str, str]], api_key: str | None, protocol: Protocol = Protocol.OPENAI
) -> dict[str, str]:
    """Return the headers for the upstream: few of the agent's, and our key where the protocol wants it."""
    passed = {
        name.lower(): value
        for name, value in headers
        if name.lower() in _REQUEST_HEADERS and len(value) <= _MAX_HEADER_CHARS
    }
    passed["accept-encoding"] = "identity"  # tokens are counted as they pass
    if protocol is Protocol.ANTHROPIC:
        passed.setdefault("anthropic-version", "2023-06-01")
    if api_key and protocol is Protocol.ANTHROPIC:
        passed["x-api-key"] = api_key
    elif api_key:
        passed["authorization"] = f"Bearer {api_key}"
    return passed


def response_headers(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Return the headers for the agent."""
    return [
        (name.lower().encode("latin-1"), value.encode("latin-1", errors="replace"))
        for name, value in headers
        if name.lower() in _RESPONSE_HEADERS
    ]


def without_key(body: bytes, api_key: str | None) -> bytes:
    """Return a body without our key, which an upstream may repeat in its answer."""
    return body.replace(api_key.encode(), b"[redacted]") if api_key else body


def is_event_stream(content_type: str) -> bool:
    """Return whether the body is a stream of server-sent events."""
    return content_type.partition(";")[0].strip().lower() == "text/event-stream"


def as_object(value: Any) -> dict[str, Any]:
    """Return `value` if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}
