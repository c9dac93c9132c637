"""What one reading uses of GitHub's quota, as GitHub itself reports it: requests, points, and the points that are left.

https://docs.github.com/graphql/overview/rate-limits-and-query-limits-for-the-graphql-api
"""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class QuotaUsage:
    """What was used so far; None where GitHub did not report it."""

    requests: int = 0
    cost: int | None = None
    remaining: int | None = None

    def values(self) -> dict[str, int | None]:
        """Return the fields of a `Collection`."""
        return {"requests": self.requests, "quota_cost": self.cost, "quota_remaining": self.remaining}


# A reading that several sources share runs in a task which inherits this from the source that asked for it first.
_usage: ContextVar[QuotaUsage] = ContextVar("_usage")


def begin() -> QuotaUsage:
    """Count from here on for this task, and for those that it starts."""
    usage = QuotaUsage()
    _usage.set(usage)
    return usage


def count_request() -> None:
    """Count one more request."""
    _usage.get().requests += 1


def count_answer(data: Mapping[str, Any]) -> None:
    """Add an answer's `rateLimit`, where it has one."""
    usage, limit = _usage.get(), data.get("rateLimit")
    cost, remaining = (limit.get(name) if isinstance(limit, dict) else None for name in ("cost", "remaining"))
    if isinstance(cost, int):
        usage.cost = (usage.cost or 0) + cost
    if isinstance(remaining, int):
        usage.remaining = remaining
