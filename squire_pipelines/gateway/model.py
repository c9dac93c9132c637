"""The gateway's types: its limits, what an attempt has used, and the record of one call. No I/O."""

from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from enum import StrEnum


class Protocol(StrEnum):
    """The provider's interface that a request and its errors are written for."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    GEMINI = "gemini"


@dataclass(frozen=True, slots=True)
class GatewayLimits:
    """What one attempt may ask of its model.

    Args:
        max_request_bytes: Of one request's body.
        max_response_bytes: Of one response's body; a longer one is cut off.
        max_calls: During the attempt.
        max_failures: How often in a row a provider may fail before it is asked no more: some agents ask for ever.
        max_concurrent: At a time; more calls are answered 503, and count as refused.
        request_s: From a connection's beginning, or its last answer, to the end of a request's head.
        connect_s: For the connection to the upstream.
        idle_s: Between two pieces of a response (a model may think for long).
        call_s: For one call as a whole, the reading of its request included.
        max_tokens: Input and output of all calls of the attempt together; None for no cap.
        max_output_tokens: Of one answer, where a request names no number of its own.
        max_usd: The same in US dollars; a model without a known price is then refused.
    """

    max_request_bytes: int = 16 * 2**20
    max_response_bytes: int = 64 * 2**20
    max_calls: int = 2000
    max_failures: int = 5
    max_concurrent: int = 16
    request_s: float = 20.0
    connect_s: float = 10.0
    idle_s: float = 300.0
    call_s: float = 900.0
    max_tokens: int | None = None
    max_output_tokens: int = 32_000
    max_usd: float | None = None

    @property
    def has_caps(self) -> bool:
        """Whether tokens or US dollars have a cap."""
        return self.max_tokens is not None or self.max_usd is not None


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens that a call has used; None where the provider does not say.

    `cached` (read from the provider's cache) and `cache_write` are among the input's, `cache_write_hour` (kept for an
    hour) among what is written. `estimated` says that a number was worked out from the text that passed, since the
    provider did not report it.

    Args:
        input: Of the request.
        output: Of the answer, with what the model thinks.
        reasoning: Those of the output that the model thinks.
        audio_input: Those of the input that are sound.
        audio_cached: Those of the cached ones that are sound.
        audio_output: Those of the output that are sound.
        searches: How often the provider searched the web for the call, which costs by itself.
        stated_usd: What the provider itself says that the call costs, in US dollars.
    """

    input: int | None = None
    output: int | None = None
    cached: int | None = None
    cache_write: int | None = None
    estimated: bool = False
    cache_write_hour: int | None = None
    reasoning: int | None = None
    audio_input: int | None = None
    audio_cached: int | None = None
    audio_output: int | None = None
    searches: int | None = None
    stated_usd: float | None = None

    @property
    def total(self) -> int:
        """Input and output together."""
        return (self.input or 0) + (self.output or 0)


@dataclass(frozen=True, slots=True)
class GatewayTotals:
    """The sum of an attempt's model calls: `requests` counts those that were passed on, `refused` the others."""

    tokens: int = 0
    usd: float = 0.0
    requests: int = 0
    refused: int = 0

    def plus(self, tokens: int, usd: float | None, requests: int = 1) -> "GatewayTotals":
        """Return the totals with one more call."""
        return GatewayTotals(self.tokens + tokens, self.usd + (usd or 0.0), self.requests + requests, self.refused)

    def plus_refused(self) -> "GatewayTotals":
        """Return the totals with one more call that was refused."""
        return GatewayTotals(self.tokens, self.usd, self.requests, self.refused + 1)


@dataclass(frozen=True, slots=True)
class GatewayCall:
    """One request of the agent, passed on or refused.

    `status` is what the agent was answered (0: it went away before an answer, or another provider was asked instead).
    Tokens are the upstream's count, or an estimate when `estimated`; None when nothing was used. `cost_usd` is None
    when the price is not known.
    `error` is a code: a row of `refusals`, or `upstream_status` (the provider's own error passed), `empty_answer`,
    `unfinished`, `error_in_answer`, `not_the_protocol` and `no_stream` (what it answered was none), `client_gone`,
    `shutdown`, `interrupted` (the gateway was killed). Neither bodies nor headers are kept.

    Args:
        call_id: Of this one call in the world, so that it is recorded once.
        target: `model`, or the host of the registry that was asked.
        provider: The name of the model's provider.
        web_search: Whether the provider could search the web for the agent.
        dropped: Names of keys and kinds of the request that were not passed on.
        upstream_status: Of the provider's answer, where it was an error.
        upstream_code: The provider's own code of that error.
        has_notice: Whether it ends with a notice that most of the budget is used.
        reasoning_tokens: Those of the output that the model thinks.
        stated_usd: What the provider itself says that the call costs.
        cost_difference_usd: How much that is above our own calculation; None where one of the two is not known.
        first_piece_s: From its beginning to the first piece of a streamed answer; None where none came so.
        is_left: Whether it did not begin to be answered, and went on to another provider as another call.
    """

    path: str
    model: str | None
    status: int
    started_at: datetime
    latency_s: float
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    request_bytes: int = 0
    response_bytes: int = 0
    error: str | None = None
    call_id: str = ""
    target: str = "model"
    cost_usd: float | None = None
    estimated: bool = False
    forwarded: bool = False
    web_search: bool = False
    dropped: tuple[str, ...] = ()
    upstream_status: int | None = None
    upstream_code: str | None = None
    has_notice: bool = False
    provider: str | None = None
    reasoning_tokens: int | None = None
    stated_usd: float | None = None
    cost_difference_usd: float | None = None
    first_piece_s: float | None = None
    is_left: bool = False

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return (self.input_tokens or 0) + (self.output_tokens or 0)


@dataclass(slots=True)
class RunningCall:
    """One call while it is under way; becomes a `GatewayCall`.

    Args:
        reserved: The most that it may use.
        reserved_usd: What its request by its estimate, and the longest answer, would cost.
        free: Whether it costs nothing and answers nothing: tokens that are counted, models that are named.
        reported: Whether `tokens` is what it has used in the end: the provider has said so, or nothing was used.
    """

    path: str
    call_id: str
    target: str = "model"
    model: str | None = None
    status: int = 0
    request_bytes: int = 0
    response_bytes: int = 0
    tokens: Tokens = field(default_factory=Tokens)
    reserved: Tokens = field(default_factory=Tokens)
    reserved_usd: float = 0.0
    reported: bool = False
    cost_usd: float | None = None
    cost_difference_usd: float | None = None
    web_search: bool = False
    dropped: tuple[str, ...] = ()
    error: str | None = None
    upstream_status: int | None = None
    upstream_code: str | None = None
    has_notice: bool = False
    provider: str | None = None
    free: bool = False
    answered: bool = False
    forwarded: bool = False
    slot: int | None = None
    first_piece_s: float | None = None
    is_left: bool = False
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    began: float = 0.0

    @property
    def open_output(self) -> int:
        """The output tokens that it costs if nothing more is known of it; 0 once its use is reported."""
        return 0 if self.reported else self.reserved.output or 0

    @property
    def open_usd(self) -> float:
        """What it costs in US dollars if nothing more is known of it."""
        return 0.0 if self.reported else self.reserved_usd

    def restart(self, call_id: str, provider: str, began: float) -> "RunningCall":
        """Return the call as it ended at one provider, and begin it again at another, in place.

        Args:
            call_id: A new one.
            provider: The name of the other.
            began: The time, by the clock of `began`.
        """
        left = replace(self)
        fresh = RunningCall(
            self.path, call_id, self.target, request_bytes=self.request_bytes, provider=provider, began=began
        )
        for entry in fields(self):
            setattr(self, entry.name, getattr(fresh, entry.name))
        return left

    def record(self, latency_s: float) -> GatewayCall:
        """Return the call as it stands `latency_s` after its beginning."""
        return GatewayCall(
            path=self.path[:200],
            model=self.model,
            status=self.status,
            started_at=self.started_at,
            latency_s=round(latency_s, 4),
            input_tokens=self.tokens.input,
            output_tokens=self.tokens.output,
            cached_tokens=self.tokens.cached,
            cache_write_tokens=self.tokens.cache_write,
            request_bytes=self.request_bytes,
            response_bytes=self.response_bytes,
            error=self.error,
            call_id=self.call_id,
            target=self.target,
            cost_usd=self.cost_usd,
            estimated=self.tokens.estimated,
            forwarded=self.forwarded,
            web_search=self.web_search,
            dropped=self.dropped,
            upstream_status=self.upstream_status,
            upstream_code=self.upstream_code,
            has_notice=self.has_notice,
            provider=self.provider,
            reasoning_tokens=self.tokens.reasoning,
            stated_usd=self.tokens.stated_usd,
            cost_difference_usd=self.cost_difference_usd,
            first_piece_s=self.first_piece_s,
            is_left=self.is_left,
        )
