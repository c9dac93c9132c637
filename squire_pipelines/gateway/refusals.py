"""How the gateway refuses a request: a row for each cause, and each interface's own form of an error. Pure.

What programs make of a status was measured. 400 with a sentence in the interface's form ends Codex, Claude Code and
Copilot after one call, and Gemini's and OpenCode's programs do not ask again either. After 403 some ask again and some
speak of authentication, after 401 all do, and 429 and 5xx are asked again for minutes. So a cause that stays is a 400,
and only what may pass has a status after which programs ask again.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from squire_pipelines.gateway.model import Protocol


@dataclass(frozen=True, slots=True)
class Row:
    """What a cause of refusal is answered with.

    Args:
        status: Of HTTP.
        is_final: Whether the same request, or any further one, is refused again: OpenAI's, Anthropic's and Copilot's
            clients then heed `x-should-retry: false`.
        headers: Further ones.
    """

    status: int
    is_final: bool = False
    headers: tuple[tuple[bytes, bytes], ...] = ()


_FINAL = Row(400, is_final=True)
ROWS: Mapping[str, Row] = MappingProxyType(
    {
        **dict.fromkeys(("budget", "price_unknown", "model", "protocol", "bad_request", "not_passed_on"), _FINAL),
        **dict.fromkeys(("provider_down", "provider_refused"), _FINAL),
        "path": Row(404, is_final=True),
        "method": Row(405, is_final=True),
        # Codex asks for a WebSocket first, and goes over to HTTP at once after this status alone.
        "upgrade": Row(426, is_final=True, headers=((b"upgrade", b"HTTP/1.1"),)),
        "request_too_large": Row(413, is_final=True),
        **dict.fromkeys(("upstream_unreachable", "response_too_large", "redirect", "gateway_failed"), Row(502)),
        **dict.fromkeys(("busy", "provider_limit"), Row(503)),
        "timeout": Row(504),
        # Of registries, which package managers ask for: they take a 403 for what it is.
        **dict.fromkeys(("egress", "address"), Row(403)),
    }
)
# What each interface calls an error of that status: https://docs.anthropic.com/en/api/errors,
# https://cloud.google.com/apis/design/errors
_ANTHROPIC_TYPES = {400: "invalid_request_error", 403: "permission_error", 404: "not_found_error"} | {
    405: "invalid_request_error",
    413: "request_too_large",
    426: "invalid_request_error",
}
_GOOGLE_STATUSES = {400: "INVALID_ARGUMENT", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 405: "UNIMPLEMENTED"} | {
    413: "INVALID_ARGUMENT",
    426: "UNIMPLEMENTED",
    504: "DEADLINE_EXCEEDED",
}


class RefusalError(Exception):
    """The refusal of an agent's request.

    Args:
        code: The cause, a row of the table; for the agent and the record.
        message: The sentence for the agent.
        status: Of HTTP, where it is not the row's.
    """

    def __init__(self, code: str, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self._row = ROWS[code]
        self.status = self._row.status if status is None else status
        self.code = code
        self.message = message

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The headers of the refusal beside its type and length."""
        return [*self._row.headers, *([(b"x-should-retry", b"false")] if self._row.is_final else [])]

    def body(self, protocol: Protocol = Protocol.OPENAI) -> bytes:
        """Return the error as the provider's API writes one, so that clients show its message."""
        return json.dumps(self._document(protocol)).encode()

    def event(self, protocol: Protocol, *, is_response: bool = False) -> bytes:
        """Return the error as the last event of a stream.

        Args:
            protocol: Whose stream it is.
            is_response: Whether it is one of OpenAI's `/v1/responses`, which ends with an event of its own.
        """
        if is_response:
            # Codex shows the sentence of this code and asks again after others.
            error = {"code": "invalid_prompt", "message": self.message}
            response = {"id": f"resp_{self.code}", "object": "response", "status": "failed", "error": error}
            document = {"type": "response.failed", "sequence_number": 0, "response": response, "error": self._openai()}
            return b"event: response.failed\ndata: " + json.dumps(document).encode() + b"\n\n"
        name = b"event: error\n" if protocol is Protocol.ANTHROPIC else b""
        return name + b"data: " + self.body(protocol) + b"\n\n"

    def _document(self, protocol: Protocol) -> dict[str, Any]:
        if protocol is Protocol.ANTHROPIC:
            kind = _ANTHROPIC_TYPES.get(self.status, "api_error")
            return {"type": "error", "error": {"type": kind, "message": self.message, "code": self.code}}
        if protocol is Protocol.GEMINI:
            reason = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": self.code.upper()}
            name = _GOOGLE_STATUSES.get(self.status, "UNAVAILABLE")
            details = [{**reason, "domain": "squire"}]
            return {"error": {"code": self.status, "message": self.message, "status": name, "details": details}}
        return {"error": self._openai()}

    def _openai(self) -> dict[str, Any]:
        # One type for all: a program that reads of a quota waits for it, and asks again.
        return {"message": self.message, "type": "squire_gateway", "param": None, "code": self.code}
