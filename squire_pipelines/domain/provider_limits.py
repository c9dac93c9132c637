"""Limits of one provider of models, beside those of the attempts that ask it, and what its limit of a day leaves. Pure.

Days are those of UTC.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from squire_pipelines.domain.budgets import DERIVED_SHARE, Limit

_EPSILON_USD = 1e-9
DayLimits = Mapping[str, float | None]
"""US dollars a day by the names of an agent's or the planner's providers, in their order; None for any number."""


@dataclass(frozen=True, slots=True)
class ProviderLimits:
    """What may be asked of a provider; None for no limit of its own.

    Args:
        max_output: Tokens of one answer; a request that names more, or none, is told this number.
        max_concurrent: Calls of one attempt at a time.
        max_calls_per_minute: Calls of one attempt in any minute.
        max_usd_per_day: What all attempts and plans together may spend there in a day.
    """

    max_output: int | None = None
    max_concurrent: int | None = None
    max_calls_per_minute: int | None = None
    max_usd_per_day: float | None = None


@dataclass(frozen=True, slots=True)
class ProviderShortage:
    """A provider whose limit of the day leaves too little room: `used_usd` of it is spent or reserved."""

    provider: str
    used_usd: float
    limit_usd: float

    def __str__(self) -> str:
        return (
            f"the provider {self.provider} may cost {self.limit_usd:.2f} USD a day (max_usd_per_day), of which "
            f"{self.used_usd:.2f} USD are spent or reserved today"
        )


@dataclass(frozen=True, slots=True)
class ProviderLevel:
    """How much of a provider's limit of the day is spent or reserved, and what the next attempt would reserve."""

    provider: str
    used_usd: float
    limit_usd: float
    next_usd: float

    @property
    def share(self) -> float:
        """The used part, 0 to 1 and beyond."""
        return self.used_usd / self.limit_usd

    @property
    def is_used_up(self) -> bool:
        """Whether no further attempt fits."""
        return not fits_day(self.used_usd, self.next_usd, self.limit_usd)


def limited(limits: DayLimits) -> dict[str, float]:
    """Return the providers that have a limit of the day."""
    return {name: usd for name, usd in limits.items() if usd is not None}


def share_of_day(cap: Limit, limits: DayLimits) -> float | None:
    """Return what one attempt or plan may spend where its providers have limits of the day; None where none has one.

    That is its own cap, and never more than the smallest of the limits; without a cap, a part of it, as of a budget.
    """
    usd = limited(limits).values()
    if not usd:
        return cap.usd
    return min(usd) / DERIVED_SHARE if cap.usd is None else min(cap.usd, *usd)


def fits_day(used_usd: float, more_usd: float, limit_usd: float) -> bool:
    """Return whether so many US dollars more are within a limit of the day."""
    return used_usd + more_usd <= limit_usd + _EPSILON_USD


def no_room(limits: DayLimits, shortages: Collection[ProviderShortage]) -> bool:
    """Return whether none of the providers has room."""
    return bool(shortages) and len(shortages) == len(limits)
