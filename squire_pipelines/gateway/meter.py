"""An attempt's meter: what its calls have used and may still use, and whether one more is allowed. No I/O.

A call reserves the most that it may use before it is passed on, and is settled when it ends. What nobody can count,
because the agent left or the time was up, costs its reservation.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from squire_pipelines.gateway.forward import Forward
from squire_pipelines.gateway.model import GatewayLimits, GatewayTotals, RunningCall, Tokens
from squire_pipelines.gateway.prices import Price
from squire_pipelines.gateway.refusals import RefusalError
from squire_pipelines.gateway.upstream_health import UpstreamHealth

_MILLION = 1_000_000
# The provider may have gone on, and what it wrote has not passed here.
_UNCOUNTED = frozenset({"client_gone", "timeout", "shutdown", "response_too_large", "budget", "gateway_failed"})


@dataclass(frozen=True, slots=True)
class _Amount:
    tokens: int = 0
    usd: float = 0.0

    def plus(self, other: "_Amount") -> "_Amount":
        return _Amount(self.tokens + other.tokens, self.usd + other.usd)

    def greatest(self, other: "_Amount") -> "_Amount":
        return _Amount(max(self.tokens, other.tokens), max(self.usd, other.usd))


@dataclass(slots=True)
class _Running:
    """A call that has been passed on: what it may use, and has used so far."""

    reserved: _Amount
    estimate: int
    used: _Amount = _Amount()


class Meter:
    """Counts for one attempt, in one thread.

    Args:
        limits: With the caps on tokens, US dollars and calls.
        before: What earlier gateways of the same attempt have counted.
        upstreams: The names of the providers.
        believed: The names of those whose own figure of a call's cost counts before our calculation.
    """

    def __init__(
        self,
        limits: GatewayLimits,
        before: GatewayTotals | None = None,
        upstreams: Sequence[str | None] = (None,),
        *,
        believed: Collection[str | None] = (),
    ) -> None:
        self._limits = limits
        self._believed = frozenset(believed)
        self.health = UpstreamHealth(upstreams, limits.max_failures)
        # By the provider's name and the model's there: one name may cost differently at two providers.
        self.prices: Mapping[tuple[str | None, str], Price | None] = {}
        self._running: dict[str, _Running] = {}
        self.totals = before or GatewayTotals()  # replaced, never changed: other threads read it
        self._admitted = self.totals.requests + self.totals.refused
        self.exhausted: str | None = None

    def admit(self) -> None:
        """Count a call that has arrived, whatever becomes of it. Raises RefusalError when no more may be made."""
        if self.health.final is not None:
            raise RefusalError(self.health.final.code, self.health.final.message)
        if self._admitted >= self._limits.max_calls:
            raise self._used_up(self._limits.max_calls, "calls")
        self._admitted += 1

    def admit_again(self) -> None:
        """Count a call that goes on to another provider, as `admit` does. Raises RefusalError."""
        self.admit()

    def count_refused(self) -> None:
        """Count a request that was refused before it was a call."""
        self._admitted += 1
        self.totals = self.totals.plus_refused()

    def can_count(self, call: RunningCall, forward: Forward) -> bool:
        """Return whether a call's cost can be counted, if there is a cap on it."""
        return forward.free or self._limits.max_usd is None or self._price(call.provider, forward.model) is not None

    def refuse_unpriced(self, model: str | None) -> RefusalError:
        """End the attempt's budget for a model without a price. Returns the refusal for the agent."""
        reason = f"in USD, but the price of {model} is not known"
        self.exhausted = self.exhausted or reason
        return RefusalError("price_unknown", f"there is a cap {reason}: name it in the settings")

    def _price(self, provider: str | None, model: str | None) -> Price | None:
        return self.prices.get((provider, model or ""))

    def reserve(self, call: RunningCall, forward: Forward) -> int | None:
        """Reserve the most that a call may use, and count it as passed on.

        Returns:
            How many tokens each of its answers may have, at least one; 0 for a call without an answer in tokens. None
            when the call has to wait for others that are under way: what these do not use is then free.

        Raises:
            RefusalError: A cap leaves no room for the call.
        """
        granted = 0
        if not forward.free:
            price = self._price(call.provider, forward.model)
            if self._limits.max_usd is not None and price is None:
                raise self.refuse_unpriced(forward.model)
            granted, asked = self._fit(forward, price)
            if granted == 0:
                return None
            call.reserved = Tokens(input=asked, output=granted * forward.choices, estimated=True)
            if price is not None:
                call.reserved_usd = price.cost_of(replace(call.reserved, input=forward.input_estimate))
        greatest = _greatest_cost(self._price(call.provider, forward.model), call.reserved)
        reserved = _Amount(call.reserved.total, greatest)
        self._running[call.call_id] = _Running(reserved, forward.input_estimate)
        self.totals = self.totals.plus(0, 0.0)
        call.forwarded = True
        self.note(call, Tokens() if forward.free else Tokens(input=forward.input_estimate, output=0, estimated=True))
        return granted

    def _fit(self, forward: Forward, price: Price | None) -> tuple[int, int]:
        """Return the tokens for each answer and those to reserve for the request; 0 for an answer that has to wait."""
        if not self._limits.has_caps:
            return forward.output, forward.input_estimate
        # As long as there is room, a request is reserved at the most tokens that its bytes can have.
        room = self._room(forward, forward.greatest_input, price)
        if room is None or room >= forward.output:
            return forward.output, forward.greatest_input
        if self._running:
            return 0, 0
        # Alone, it gets what is left by the usual estimate of its request.
        room = self._room(forward, forward.input_estimate, price)
        if room is not None and room < forward.least_output:
            limits = self._limits
            tokens_end = limits.max_tokens is not None and (
                limits.max_tokens - self.totals.tokens - forward.input_estimate < forward.least_output * forward.choices
            )
            raise self._used_up(limits.max_tokens, "tokens") if tokens_end else self._used_up(limits.max_usd, "USD")
        granted = min(forward.output, room if room is not None else forward.output)
        return granted, self._rest_for_request(forward, granted, price)

    def _rest_for_request(self, forward: Forward, granted: int, price: Price | None) -> int:
        """Return what the caps leave for the request of a call that runs alone, between its estimate and its most."""
        limits, left = self._limits, self._left()
        most = forward.greatest_input
        if limits.max_tokens is not None:
            most = min(most, left.tokens - granted * forward.choices)
        if limits.max_usd is not None and price is not None and price.greatest_input:
            millionths = left.usd * _MILLION - granted * forward.choices * price.greatest_output
            most = min(most, int(millionths / price.greatest_input))
        return max(most, forward.input_estimate)

    def _room(self, forward: Forward, asked: int, price: Price | None) -> int | None:
        """Return how many tokens each answer could have if its request had `asked`; None for no bound."""
        limits = self._limits
        left = self._left()
        rooms = []
        if limits.max_tokens is not None:
            rooms.append((left.tokens - asked) // forward.choices)
        if limits.max_usd is not None and price is not None:
            millionths = left.usd * _MILLION - asked * price.greatest_input
            free = forward.output if millionths >= 0 else 0
            # One token is kept for rounding.
            rooms.append(
                int(millionths / price.greatest_output / forward.choices) - 1 if price.greatest_output else free
            )
        return max(0, min(rooms)) if rooms else None

    def _left(self) -> _Amount:
        """Return what is neither used nor reserved."""
        reserved = used = _Amount()
        for running in self._running.values():
            reserved = reserved.plus(running.reserved.greatest(running.used))
            used = used.plus(running.used)
        limits, totals = self._limits, self.totals
        return _Amount(
            (limits.max_tokens or 0) - (totals.tokens - used.tokens) - reserved.tokens,
            (limits.max_usd or 0.0) - (totals.usd - used.usd) - reserved.usd,
        )

    def note(self, call: RunningCall, tokens: Tokens) -> None:
        """Count what a call has used so far."""
        call.tokens = tokens
        price = self._price(call.provider, call.model)
        self._count(call, price.cost_of(tokens) if price is not None and tokens.total else None)

    def _count(self, call: RunningCall, own_usd: float | None) -> None:
        """Count a call's tokens, and what it costs by our own calculation or by its provider's word."""
        tokens, stated = call.tokens, call.tokens.stated_usd
        is_believed = stated is not None and (own_usd is None or call.provider in self._believed)
        call.cost_usd = stated if is_believed else own_usd
        call.cost_difference_usd = stated - own_usd if stated is not None and own_usd is not None else None
        running = self._running.get(call.call_id)
        if running is None:
            return
        before, running.used = running.used, _Amount(tokens.total, call.cost_usd or 0.0)
        self.totals = self.totals.plus(running.used.tokens - before.tokens, running.used.usd - before.usd, 0)

    def check_stream(self) -> None:
        """Raise RefusalError when the calls under way have passed a cap: a provider may not heed limits."""
        limits, used = self._limits, self.totals
        if limits.max_tokens is not None and used.tokens > limits.max_tokens:
            raise self._used_up(limits.max_tokens, "tokens")
        if limits.max_usd is not None and used.usd > limits.max_usd:
            raise self._used_up(limits.max_usd, "USD")

    def end(self, call: RunningCall) -> None:
        """End a call; what it has used stays counted, or what it reserved when nobody can say what it used."""
        self.health.look_at(call)
        if call.forwarded:
            if not call.reported and call.error in _UNCOUNTED:
                self.note_most(call)
            price = self._price(call.provider, call.model)
            if price is not None and call.tokens.total:
                self._count(call, price.final_cost(call.tokens, call.started_at))
        else:
            self.totals = self.totals.plus_refused()
        self._running.pop(call.call_id, None)

    def note_most(self, call: RunningCall) -> None:
        """Count what a call has reserved: of its request, unless the provider has counted that, and of its answer."""
        used, reserved, running = call.tokens, call.reserved, self._running.get(call.call_id)
        if not reserved.total or running is None:
            return
        is_counted = used.input is not None and used.input != running.estimate
        asked = used.input if is_counted else max(used.input or 0, reserved.input or 0)
        output = max(used.output or 0, reserved.output or 0)
        self.note(call, replace(used, input=asked, output=output, estimated=True, stated_usd=None))

    def _used_up(self, cap: float | None, unit: str) -> RefusalError:
        # Not "exhausted": agents take the word for a provider that is overloaded, and try again.
        limit = f"{cap:g} {unit}" if unit == "USD" else f"{cap} {unit}"
        self.exhausted = self.exhausted or limit
        return RefusalError("budget", f"the budget of this attempt is used up: it may use {limit}. Stop working.")


def _greatest_cost(price: Price | None, tokens: Tokens) -> float:
    if price is None:
        return 0.0
    return ((tokens.input or 0) * price.greatest_input + (tokens.output or 0) * price.greatest_output) / _MILLION
