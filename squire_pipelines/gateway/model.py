"""The gateway's types: its limits and the record of one call. No I/O."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class GatewayLimits:
    """What one attempt may ask of its model.

    Args:
        max_request_bytes: Of one request's body.
        max_response_bytes: Of one response's body; a longer one is cut off.
        max_calls: During the gateway's life.
        max_concurrent: At a time; more connections are answered 503.
        connect_s: For the connection to the upstream.
        idle_s: Between two pieces of a response (a model may think for long).
        call_s: For one call as a whole, the reading of its request included.
    """

    max_request_bytes: int = 16 * 2**20
    max_response_bytes: int = 64 * 2**20
    max_calls: int = 2000
    max_concurrent: int = 16
    connect_s: float = 10.0
    idle_s: float = 300.0
    call_s: float = 900.0


@dataclass(frozen=True, slots=True)
class GatewayCall:
    """One request of the agent, passed on or refused.

    `status` is what the agent was answered (0: the agent went away before an answer). Tokens are the upstream's
    count, None when it told none. `error` is a code: `path`, `method`, `model`, `budget`, `request_too_large`,
    `bad_request`, `timeout`, `upstream_unreachable`, `upstream_status`, `response_too_large`, `client_gone`,
    `shutdown`. Neither bodies nor headers are kept.
    """

    path: str
    model: str | None
    status: int
    started_at: datetime
    latency_s: float
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    request_bytes: int = 0
    response_bytes: int = 0
    error: str | None = None
