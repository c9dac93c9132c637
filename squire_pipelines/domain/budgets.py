"""What work may cost: limits by scope, what an attempt reserves before it starts, and whether that still fits. Pure.

Days and months are those of UTC. What is reserved counts as spent until it is settled, so that many attempts which
begin at once cannot spend more than there is.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Self

from pydantic import ConfigDict, Field, model_validator

from squire_pipelines.domain.frozen import FrozenModel

DERIVED_SHARE = 10
"""An attempt without a limit of its own reserves this part of the smallest wider limit: one tenth."""

_EPSILON_USD = 1e-9


class Scope(StrEnum):
    """What a limit is for. `repository` and `month` count a month, `day` a day; `month` and `day` count all work.

    Those of a tenant count the work in its repositories.
    """

    ATTEMPT = "attempt"
    PLAN = "plan"
    TASK = "task"
    REPOSITORY = "repository"
    TENANT_DAY = "tenant_day"
    TENANT_MONTH = "tenant_month"
    DAY = "day"
    MONTH = "month"


class Purpose(StrEnum):
    """What a reservation is for."""

    ATTEMPT = "attempt"
    PLAN = "plan"


class ReservationState(StrEnum):
    """Whether the work of a reservation goes on, or its cost is known."""

    OPEN = "open"
    SETTLED = "settled"


_OF_MANY = (Scope.REPOSITORY, Scope.TENANT_DAY, Scope.TENANT_MONTH, Scope.DAY, Scope.MONTH)
_WIDER = {Purpose.ATTEMPT: (Scope.TASK, *_OF_MANY), Purpose.PLAN: _OF_MANY}
_OF_ALL = frozenset({Scope.DAY, Scope.MONTH})
_WORDS = {Scope.TENANT_DAY: "tenant's day", Scope.TENANT_MONTH: "tenant's month"}


class Limit(FrozenModel):
    """The most that a scope may use; None for no limit in this unit."""

    model_config = ConfigDict(allow_inf_nan=False)

    usd: float | None = Field(default=None, gt=0, le=1_000_000)
    tokens: int | None = Field(default=None, gt=0, le=2_000_000_000)

    @property
    def is_set(self) -> bool:
        """Whether there is any limit."""
        return self.usd is not None or self.tokens is not None


NO_LIMIT = Limit()


@dataclass(frozen=True, slots=True)
class Amount:
    """US dollars and tokens (input and output together)."""

    usd: float = 0.0
    tokens: int = 0

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(self.usd + other.usd, self.tokens + other.tokens)

    def fits(self, limit: Limit) -> bool:
        """Return whether it is within the limit, in both units."""
        usd_fits = limit.usd is None or self.usd <= limit.usd + _EPSILON_USD
        return usd_fits and (limit.tokens is None or self.tokens <= limit.tokens)


def scope_words(scope: Scope) -> str:
    """Return how people name a scope, as in "the budget of the day"."""
    return _WORDS.get(scope, scope.value)


@dataclass(frozen=True, slots=True)
class Shortage:
    """A limit that leaves too little room: `used` of it is spent or reserved, by several tenants where it is shared."""

    scope: Scope
    used: Amount
    limit: Limit
    is_shared: bool = False

    def __str__(self) -> str:
        if self.is_shared:  # what others have spent is not this tenant's business
            return f"the budget of the {scope_words(self.scope)}, which all tenants share"
        parts = []
        if self.limit.usd is not None:
            parts.append(f"{self.used.usd:.2f} of {self.limit.usd:.2f} USD")
        if self.limit.tokens is not None:
            parts.append(f"{self.used.tokens} of {self.limit.tokens} tokens")
        return f"the budget of the {scope_words(self.scope)} ({', '.join(parts)} used or reserved)"


class BudgetLimits(FrozenModel):
    """All limits that hold for one repository.

    A limit on an attempt (or a plan) that is larger than a wider one is refused: no attempt could ever start.
    """

    attempt: Limit = Limit()
    plan: Limit = Limit()
    task: Limit = Limit()
    repository: Limit = Limit()
    day: Limit = Limit()
    month: Limit = Limit()

    @property
    def whose(self) -> str | None:
        """Whose repository it is, where it is a tenant's of the settings."""
        return None

    @model_validator(mode="after")
    def _narrow_within_wide(self) -> Self:
        for purpose in Purpose:
            own = self.of(Scope(purpose))
            for scope in _WIDER[purpose]:
                if not Amount(own.usd or 0.0, own.tokens or 0).fits(self.of(scope)):
                    raise ValueError(
                        f"the limit of the {purpose} is larger than that of the {scope}: none could ever start"
                    )
        return self

    def of(self, scope: Scope) -> Limit:
        """Return the limit of one scope."""
        limit: Limit = getattr(self, scope.value, NO_LIMIT)
        return limit

    @property
    def is_set(self) -> bool:
        """Whether there is any limit at all."""
        return any(self.of(scope).is_set for scope in Scope)

    def cap(self, purpose: Purpose) -> Limit:
        """Return what one attempt or plan may use: its own limit, else a part of the smallest wider one, by unit."""
        own = self.of(Scope(purpose))
        wider = [self.of(scope) for scope in _WIDER[purpose]]
        usd = [limit.usd for limit in wider if limit.usd is not None]
        tokens = [limit.tokens for limit in wider if limit.tokens is not None]
        return Limit(
            usd=own.usd if own.usd is not None else min(usd) / DERIVED_SHARE if usd else None,
            tokens=own.tokens if own.tokens is not None else max(1, min(tokens) // DERIVED_SHARE) if tokens else None,
        )

    def reservation(self, purpose: Purpose) -> Amount:
        """Return what one attempt or plan reserves of the wider limits before it starts: all that it may use."""
        cap = self.cap(purpose)
        return Amount(cap.usd or 0.0, cap.tokens or 0)

    def shortage(self, purpose: Purpose, used: Mapping[Scope, Amount]) -> Shortage | None:
        """Return the narrowest limit in which one more reservation does not fit; None when all have room."""
        reservation = self.reservation(purpose)
        for scope in _WIDER[purpose]:
            limit, before = self.of(scope), used.get(scope, Amount())
            # A limit that has been exceeded leaves no room even for what reserves nothing in its unit.
            if not (before + reservation).fits(limit):
                return Shortage(scope, before, limit, is_shared=self.whose is not None and scope in _OF_ALL)
        return None

    def wide(self) -> Iterator[Scope]:
        """Return the scopes of more than one attempt that have a limit."""
        return (scope for scope in _WIDER[Purpose.ATTEMPT] if self.of(scope).is_set)


def day_of(now: datetime) -> datetime:
    """Return the beginning of the day in UTC."""
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def month_of(now: datetime) -> datetime:
    """Return the beginning of the month in UTC."""
    return day_of(now).replace(day=1)


def renewed_at(scope: Scope, now: datetime) -> datetime | None:
    """Return when a used-up budget is full again; None when only the settings can change that."""
    if scope in {Scope.DAY, Scope.TENANT_DAY}:
        return day_of(now) + timedelta(days=1)
    if scope in {Scope.MONTH, Scope.REPOSITORY, Scope.TENANT_MONTH}:
        return (month_of(now) + timedelta(days=32)).replace(day=1)
    return None


class TenantBudgetLimits(BudgetLimits):
    """All limits that hold for one repository of a tenant, with those of the tenant as a whole where there are any."""

    tenant: str
    tenant_day: Limit = Limit()
    tenant_month: Limit = Limit()

    @property
    def whose(self) -> str | None:
        """See `BudgetLimits`."""
        return self.tenant
