"""Breakers: after how many attempts work stops of itself, at one task, at one issue, and in one day. Pure.

A budget bounds what work may cost; a breaker ends what goes round in circles, also where no price is known. Standard
library only, as all that `squire tasks list` needs.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class BreakerScope(StrEnum):
    """What a breaker counts: the attempts at a task, at all tasks of an issue or pull request, or of a day in UTC."""

    TASK = "task"
    ISSUE = "issue"
    DAY = "day"


_SETTINGS = {
    BreakerScope.TASK: "dispatch.max_attempts_of_task",
    BreakerScope.ISSUE: "dispatch.max_attempts_of_issue",
    BreakerScope.DAY: "dispatch.max_attempts_per_day",
}
_WORDS = {
    BreakerScope.TASK: "at this task",
    BreakerScope.ISSUE: "at the tasks of its issue or pull request",
    BreakerScope.DAY: "today, in UTC",
}


@dataclass(frozen=True, slots=True)
class Breaker:
    """After how many attempts each scope ends."""

    task: int = 10
    issue: int = 30
    day: int = 500

    def of(self, scope: BreakerScope) -> int:
        """Return the number of one scope."""
        return {BreakerScope.TASK: self.task, BreakerScope.ISSUE: self.issue, BreakerScope.DAY: self.day}[scope]


@dataclass(frozen=True, slots=True)
class AttemptCounts:
    """How many attempts there were: at a task, at all of its issue, and today at all tasks."""

    task: int = 0
    issue: int = 0
    day: int = 0


@dataclass(frozen=True, slots=True)
class TrippedBreaker:
    """A breaker that lets no further attempt start; `until` is None where only the settings can change that."""

    scope: BreakerScope
    attempts: int
    limit: int
    until: datetime | None = None

    def __str__(self) -> str:
        return (
            f"a breaker: {self.attempts} attempts {_WORDS[self.scope]}, at most {self.limit}; look at why, then raise "
            f"{_SETTINGS[self.scope]}"
        )


def tripped(breaker: Breaker, counts: AttemptCounts, tomorrow: datetime) -> TrippedBreaker | None:
    """Return the narrowest breaker that lets no further attempt start; None when all do.

    Args:
        breaker: The limits.
        counts: What there was.
        tomorrow: When the day ends.
    """
    for scope, count in zip(BreakerScope, (counts.task, counts.issue, counts.day), strict=True):
        if count >= breaker.of(scope):
            return TrippedBreaker(scope, count, breaker.of(scope), tomorrow if scope is BreakerScope.DAY else None)
    return None
