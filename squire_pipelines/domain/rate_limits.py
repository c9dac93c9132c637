"""GitHub's limits: what is known of one, how long a refused credential waits, and how much a cycle may spend. Pure.

How GitHub words a limit is `github.protocol`'s; where the states are kept, `ledger.github_limits`' and the client's.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

FIRST_WAIT_S = 60.0
"""The least wait after a limit that names no time.

https://docs.github.com/rest/using-the-rest-api/best-practices-for-using-the-rest-api#handle-rate-limit-errors-appropriately
"""

MAX_WAIT_S = 3600.0
"""The longest of the growing waits, and of those that GitHub's answers name: its windows are an hour long."""

_CLOCKS_DIFFER_S = 300.0


class LimitKind(StrEnum):
    """What GitHub counts by itself."""

    CORE = "core"
    GRAPHQL = "graphql"
    SEARCH = "search"
    CONTENT = "content"


@dataclass(frozen=True, slots=True)
class LimitState:
    """What is known of one kind of limit of one credential.

    `strikes` counts the refusals in a row that named no time; `quota`, `remaining` and `reset_at` are what the newest
    answer said.
    """

    blocked_until: datetime | None = None
    strikes: int = 0
    quota: int | None = None
    remaining: int | None = None
    reset_at: datetime | None = None

    def blocked(self, *, now: datetime, wait_s: float | None) -> "LimitState":
        """Return the state after a refusal. `wait_s` is None when it named no time: each such wait is twice the last.

        A block is never made shorter by what another request was told.
        """
        strikes = self.strikes
        if wait_s is None:
            wait_s = min(MAX_WAIT_S, FIRST_WAIT_S * 2**strikes)
            strikes = min(strikes + 1, 10)
        until = now + timedelta(seconds=min(max(wait_s, 1.0), MAX_WAIT_S + _CLOCKS_DIFFER_S))
        return replace(self, blocked_until=max(until, self.blocked_until or until), strikes=strikes)

    def used(self, use: "LimitUse", *, now: datetime) -> "LimitState":
        """Return the state after an answer: of two about one window, the one with less left is the newer."""
        if use.reset_at == self.reset_at and self.remaining is not None:
            use = replace(use, remaining=min(use.remaining, self.remaining))
        is_over = self.blocked_until is not None and self.blocked_until <= now
        return replace(
            self,
            quota=use.quota,
            remaining=use.remaining,
            reset_at=use.reset_at,
            strikes=0 if is_over else self.strikes,
            blocked_until=None if is_over else self.blocked_until,
        )

    def available(self, now: datetime) -> int | None:
        """Return how much may still be spent in this window; None when that is not known, as after its end."""
        if self.remaining is None or self.reset_at is None or self.reset_at <= now:
            return None
        return self.remaining


@dataclass(frozen=True, slots=True)
class LimitUse:
    """What an answer said of its limit."""

    kind: LimitKind
    quota: int
    remaining: int
    reset_at: datetime


def blocking(states: Mapping[LimitKind, LimitState], kinds: Iterable[LimitKind], now: datetime) -> LimitState | None:
    """Return the state that refuses a request of these kinds for the longest time; None when none does."""
    refusing = [state for kind in kinds if (state := states.get(kind)) and (state.blocked_until or now) > now]
    return max(refusing, key=lambda state: state.blocked_until or now, default=None)


def affordable(state: LimitState, *, cost_each: float, now: datetime, reserve: float = 0.1) -> int | None:
    """Return how many readings of about `cost_each` points fit in what is left; None when any number may.

    A share of the quota is kept for what a person or an agent's pull request needs before the window ends.
    """
    left = state.available(now)
    if left is None or state.quota is None or cost_each <= 0:
        return None
    return max(0, int((left - reserve * state.quota) // cost_each))
