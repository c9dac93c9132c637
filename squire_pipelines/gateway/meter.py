"""An attempt's meter: what its calls have used, those under way included, and whether more is allowed. No I/O."""

from collections.abc import Mapping

from squire_pipelines.gateway.model import GatewayLimits, GatewayTotals, RunningCall, Tokens
from squire_pipelines.gateway.prices import Price
from squire_pipelines.gateway.rules import Forward, RefusalError

_MILLION = 1_000_000
_ASK_AGAIN = frozenset({408, 409, 425, 429})
_SERVER_ERROR = 500


class Meter:
    """Counts for one attempt, in one thread.

    Args:
        limits: With the caps on tokens, US dollars and calls.
        before: What earlier gateways of the same attempt have counted.
    """

    def __init__(self, limits: GatewayLimits, before: GatewayTotals | None = None) -> None:
        self._limits = limits
        self.prices: Mapping[str, Price | None] = {}
        self._running: dict[str, tuple[int, float]] = {}
        self.totals = before or GatewayTotals()  # replaced, never changed: other threads read it
        self.exhausted: str | None = None
        self._failures = 0

    def check_requests(self) -> None:
        """Raise RefusalError when the attempt has made all the calls that it may, or its provider fails on."""
        if self._failures >= self._limits.max_failures:
            raise RefusalError(
                403, "provider_down", f"the model's provider has failed {self._failures} times in a row. Stop working."
            )
        if self.totals.requests >= self._limits.max_calls:
            raise self._used_up(self._limits.max_calls, "calls")

    def remaining_tokens(self) -> int | None:
        """Return how many tokens the attempt may still use; None when there is no cap."""
        cap = self._limits.max_tokens
        return None if cap is None else max(1, cap - self.totals.tokens)

    def begin(self, call: RunningCall, forward: Forward) -> None:
        """Count a call that is about to be passed on, with the tokens of its request. Raises RefusalError."""
        price = self.prices.get(forward.model or "")
        if not forward.free:
            if self._limits.max_usd is not None and price is None:
                reason = f"in USD, but the price of {forward.model} is not known"
                self.exhausted = self.exhausted or reason
                raise RefusalError(403, "price_unknown", f"there is a cap {reason}: name it in the settings")
            self._check(
                forward.input_estimate, 0.0 if price is None else forward.input_estimate * price.input / _MILLION
            )
        self._running[call.call_id] = (0, 0.0)
        self.totals = self.totals.plus(0, 0.0)
        call.forwarded = True
        self.note(call, Tokens() if forward.free else Tokens(input=forward.input_estimate, output=0, estimated=True))

    def _check(self, tokens: int, usd: float) -> None:
        limits, used = self._limits, self.totals
        if limits.max_tokens is not None and used.tokens + tokens >= limits.max_tokens:
            raise self._used_up(limits.max_tokens, "tokens")
        if limits.max_usd is not None and used.usd + usd >= limits.max_usd:
            raise self._used_up(limits.max_usd, "USD")

    def note(self, call: RunningCall, tokens: Tokens) -> None:
        """Count what a call has used so far."""
        call.tokens = tokens
        price = self.prices.get(call.model or "")
        call.cost_usd = price.cost_of(tokens) if price is not None and tokens.total else None
        before = self._running.get(call.call_id)
        if before is None:
            return
        usd = call.cost_usd or 0.0
        self._running[call.call_id] = (tokens.total, usd)
        self.totals = self.totals.plus(tokens.total - before[0], usd - before[1], 0)

    def check_stream(self) -> None:
        """Raise RefusalError when the calls under way have passed a cap."""
        limits, used = self._limits, self.totals
        if limits.max_tokens is not None and used.tokens > limits.max_tokens:
            raise self._used_up(limits.max_tokens, "tokens")
        if limits.max_usd is not None and used.usd > limits.max_usd:
            raise self._used_up(limits.max_usd, "USD")

    def end(self, call: RunningCall) -> None:
        """End a call; what it has used stays counted."""
        if call.forwarded:
            self._failures = self._failures + 1 if _provider_failed(call) else 0
        self._running.pop(call.call_id, None)

    def _used_up(self, cap: float, unit: str) -> RefusalError:
        # Not "exhausted": agents take the word for a provider that is overloaded, and try again.
        limit = f"{cap:g} {unit}" if unit == "USD" else f"{cap} {unit}"
        self.exhausted = self.exhausted or limit
        return RefusalError(403, "budget", f"the budget of this attempt is used up: it may use {limit}. Stop working.")


def _provider_failed(call: RunningCall) -> bool:
    """Return whether the provider failed in a way after which clients ask again, which is useless if it goes on."""
    if call.error == "upstream_status":
        return call.status in _ASK_AGAIN or call.status >= _SERVER_ERROR
    return call.error in {"upstream_unreachable", "timeout"}
