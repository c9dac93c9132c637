"""How tenants share the slots for attempts: by weight, without an empty slot while any of them has work. Pure.

Which task of a tenant is started is `dispatch_order`'s to say, and what a tenant may spend is for budgets.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

_LEAST = 1e-9
_MOST_OWED = -1.0


@dataclass(frozen=True, slots=True)
class TenantShare:
    """What a tenant is due: its weight against others', and at most so many slots; None for as many as there are."""

    weight: float = 1.0
    max_concurrent: int | None = None


ONE_SHARE = TenantShare()
"""That of a tenant of which the settings say nothing."""


def fair_shares(
    slots: int, rules: Mapping[str, TenantShare], taken: Mapping[str, int], due: Mapping[str, int]
) -> dict[str, float]:
    """Return how many of the slots each tenant is due now, as fractions that add up to all slots that can be used.

    The slots are shared by weight among those who want one. Whoever wants fewer than that, or may have no more, gets
    those, and the others share what is left, again by weight.

    Args:
        slots: How many there are, those that are taken included.
        rules: By tenant.
        taken: How many slots each has.
        due: For how many tasks more each could use one.
    """
    most = {name: _most(rules.get(name, ONE_SHARE), taken.get(name, 0), due.get(name, 0)) for name in {*taken, *due}}
    shares: dict[str, float] = {}
    left, wanting = float(slots), {name: count for name, count in most.items() if count}
    while wanting and left > 0:
        weight = sum(rules.get(name, ONE_SHARE).weight for name in wanting)
        filled = {
            name: count
            for name, count in wanting.items()
            if count <= left * rules.get(name, ONE_SHARE).weight / weight + _LEAST
        }
        if not filled:
            return shares | {name: left * rules.get(name, ONE_SHARE).weight / weight for name in wanting}
        shares |= filled
        left -= sum(filled.values())
        wanting = {name: count for name, count in wanting.items() if name not in filled}
    return shares


def _most(rule: TenantShare, taken: int, due: int) -> int:
    usable = taken + due
    # What is taken already is not taken away, also where the settings have come to allow less.
    return usable if rule.max_concurrent is None else max(taken, min(usable, rule.max_concurrent))


@dataclass(slots=True)
class SlotSharing:
    """Decides which tenant gets the next slot.

    A tenant that is a whole slot or more below its share comes first. The part of a slot that is left over goes round:
    whoever waits for one is credited its part of each slot that another one gets, and the one with the most credit gets
    the next. So a tenant gets less than one slot above its share, and none waits for ever, however small its weight.

    Args:
        slots: How many there are, those that are taken included.
        rules: By tenant.
        taken: How many slots each has.
        due: For how many tasks more each could use one.
        credits: What each was owed after the last slot was given, in slots.
    """

    slots: int
    rules: Mapping[str, TenantShare]
    taken: dict[str, int]
    due: dict[str, int]
    credits: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Forget the credit of those that want nothing: it is for waiting."""
        self.credits = {name: credit for name, credit in self.credits.items() if self.due.get(name, 0) > 0}

    def waiting(self) -> Iterable[str]:
        """Return the tenants that have due work and may have one more slot."""
        return [name for name in sorted(self.due) if self.due[name] > 0 and not self.is_full(name)]

    def is_full(self, tenant: str) -> bool:
        """Return whether a tenant has as many slots as it may have."""
        most = self.rules.get(tenant, ONE_SHARE).max_concurrent
        return most is not None and self.taken.get(tenant, 0) >= most

    def next_tenant(self) -> str | None:
        """Return who gets the next slot; None where no slot is free, or nobody wants one."""
        waiting = self.waiting()
        if not waiting or sum(self.taken.values()) >= self.slots:
            return None
        shares = fair_shares(self.slots, self.rules, self.taken, self.due)
        below = {name: shares.get(name, 0.0) - self.taken.get(name, 0) for name in waiting}
        first = {name: missing for name, missing in below.items() if missing >= 1 - _LEAST}
        if first:
            return max(first, key=lambda name: (first[name], self._credit(name), name))
        some = [name for name, missing in below.items() if missing > _LEAST]
        return max(some or waiting, key=lambda name: (self._credit(name) + self._part(name, waiting), name))

    def give(self, tenant: str) -> None:
        """Count a slot that a tenant has got for one of its tasks."""
        waiting = {*self.waiting(), tenant}
        for name in waiting:
            self.credits[name] = self._credit(name) + self._part(name, waiting)
        # Bounded below: a tenant whose whole slots are often free again owes nobody anything for that.
        self.credits[tenant] = max(_MOST_OWED, self.credits[tenant] - 1)
        self.taken[tenant] = self.taken.get(tenant, 0) + 1
        self.due[tenant] = max(0, self.due.get(tenant, 0) - 1)

    def has_nothing(self, tenant: str) -> None:
        """Note that none of a tenant's tasks can be started now."""
        self.due[tenant] = 0
        self.credits.pop(tenant, None)

    def _credit(self, tenant: str) -> float:
        return self.credits.get(tenant, 0.0)

    def _part(self, tenant: str, waiting: Iterable[str]) -> float:
        weights = {name: self.rules.get(name, ONE_SHARE).weight for name in waiting}
        return weights[tenant] / sum(weights.values())
