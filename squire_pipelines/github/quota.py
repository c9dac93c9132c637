"""What one reading uses of GitHub's quota, as GitHub itself says: requests, points, and the points that are left.

https://docs.github.com/graphql/overview/rate-limits-and-query-limits-for-the-graphql-api
"""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Used:
    """What was used so far; None where GitHub did not say."""

    requests: int = 0
    cost: int | None = None
    remaining: int | None = None

    def values(self) -> dict[str, int | None]:
        """The fields of a `Collection`."""
        return {"requests": self.requests, "quota_cost": self.cost, "quota_remaining": self.remaining}


# A reading that several sources share runs in a task which inherits this from the source that asked for it first.
_used: ContextVar[Used] = ContextVar("_used")


def begin() -> Used:
    """Count from here on for this task, and for those that it starts."""
    used = Used()
    _used.set(used)
    return used


def count_request() -> None:
    """One more request."""
    _used.get().requests += 1


def count_answer(data: Mapping[str, Any]) -> None:
    """Take in an answer's `rateLimit`, where it has one."""
    used, said = _used.get(), data.get("rateLimit")
    cost, remaining = (said.get(name) if isinstance(said, dict) else None for name in ("cost", "remaining"))
    if isinstance(cost, int):
        used.cost = (used.cost or 0) + cost
    if isinstance(remaining, int):
        used.remaining = remaining
