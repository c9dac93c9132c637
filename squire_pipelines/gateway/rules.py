"""Which paths and headers pass to the model and back. Pure; see `request_body` and `refusals` too."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from squire_pipelines.gateway.model import Protocol
from squire_pipelines.gateway.refusals import RefusalError

CHAT_PATH = "/v1/chat/completions"
RESPONSES_PATH = "/v1/responses"
MODELS_PATH = "/v1/models"
MESSAGES_PATH = "/v1/messages"
COUNT_PATH = "/v1/messages/count_tokens"
# Gemini's interface has the model in its path; `*` stands for it here.
GEMINI_PREFIX = "/v1beta/"
GEMINI_MODELS_PATH = "/v1beta/models"
GENERATE_PATH = "/v1beta/models/*:generateContent"
STREAM_PATH = "/v1beta/models/*:streamGenerateContent"
GEMINI_COUNT_PATH = "/v1beta/models/*:countTokens"
_POSTED = (CHAT_PATH, RESPONSES_PATH, MESSAGES_PATH, COUNT_PATH, GENERATE_PATH, STREAM_PATH, GEMINI_COUNT_PATH)
_METHODS = {**dict.fromkeys(_POSTED, "POST"), **dict.fromkeys((MODELS_PATH, GEMINI_MODELS_PATH), "GET")}
_MODEL_IN_PATH = re.compile(r"(/v1beta/models/)([^/:]{1,200})(:[A-Za-z]{1,40})")
# Counting tokens and naming the models is free: https://docs.anthropic.com/en/api/messages-count-tokens,
# https://ai.google.dev/api/tokens
FREE_PATHS = frozenset({MODELS_PATH, COUNT_PATH, GEMINI_MODELS_PATH, GEMINI_COUNT_PATH})
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
# How long a provider may have a program wait. Some heed an hour, in which their attempt would end; a provider that
# still fails after some of these is asked no more, and the attempt is tried again later.
_LONGEST_WAIT_S = 60
_KEY_HEADERS = {
    Protocol.OPENAI: "authorization",
    Protocol.ANTHROPIC: "x-api-key",
    Protocol.GEMINI: "x-goog-api-key",
}
BYTES_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Target:
    """What a path asks for: the path as the tables here have it, with the model that it names, if any."""

    path: str
    model: str | None = None

    def below(self, model: str | None) -> str:
        """Return the path below the provider's base URL, for the model as the provider calls it."""
        below = self.path.removeprefix(GEMINI_PREFIX[:-1]).removeprefix("/v1").replace("*", quote(model or "", safe=""))
        return f"{below}?alt=sse" if self.path == STREAM_PATH else below  # else it streams no events


def target_of(path: str) -> Target:
    """Return what a path asks for, whether or not it is served."""
    parts = _MODEL_IN_PATH.fullmatch(path)
    return Target(f"{parts[1]}*{parts[3]}", parts[2]) if parts is not None else Target(path)


def protocol_of(path: str) -> Protocol:
    """Return the interface that a path belongs to."""
    if path.startswith(GEMINI_PREFIX):
        return Protocol.GEMINI
    return Protocol.ANTHROPIC if path.startswith(MESSAGES_PATH) else Protocol.OPENAI


def check_path(method: str, path: str, protocol: Protocol | None = None, *, is_upgrade: bool = False) -> None:
    """Raise RefusalError unless the gateway serves this method and path.

    Args:
        method: Of HTTP.
        path: Of the request, without its query.
        protocol: The interface of the one provider that is served; None for all.
        is_upgrade: Whether another protocol than HTTP is asked for on the connection.
    """
    if method == "CONNECT":
        raise RefusalError(
            "method", "the gateway opens no tunnels; packages are read from the registries below /egress/"
        )
    known = target_of(path).path
    if known not in _METHODS:
        raise RefusalError("path", f"the gateway does not serve {path[:200]}")
    if is_upgrade:
        raise RefusalError("upgrade", f"{path} is served over HTTP alone, without a WebSocket")
    if method != _METHODS[known]:
        raise RefusalError("method", f"{path} takes {_METHODS[known]}")
    # OpenAI's and Anthropic's lists of models have one path.
    if protocol is not None and protocol_of(path) is not protocol and known != MODELS_PATH:
        raise RefusalError(
            "protocol",
            f"the model's provider speaks the protocol {protocol}, and {path[:200]} is of {protocol_of(path)}: "
            "the settings have to name a provider of the agent's protocol",
        )


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
    if api_key:
        name = _KEY_HEADERS[protocol]
        made[name] = f"Bearer {api_key}" if name == "authorization" else api_key
    return made


def response_headers(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Return the headers for the agent, which is told to wait for a minute at most."""
    return [
        (name.lower().encode("latin-1"), _bounded_wait(name.lower(), value).encode("latin-1", errors="replace"))
        for name, value in headers
        if name.lower() in _RESPONSE_HEADERS
    ]


def _bounded_wait(name: str, value: str) -> str:
    """Return the value of a header, which for a wait is a number within the bound; a date becomes the bound."""
    most = {"retry-after": _LONGEST_WAIT_S, "retry-after-ms": _LONGEST_WAIT_S * 1000}.get(name)
    if most is None:
        return value
    try:
        return value if 0 <= float(value) <= most else str(most)
    except ValueError:
        return str(most)


def is_event_stream(content_type: str) -> bool:
    """Return whether the body is a stream of server-sent events."""
    return content_type.partition(";")[0].strip().lower() == "text/event-stream"


def as_object(value: Any) -> dict[str, Any]:
    """Return `value` if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}
