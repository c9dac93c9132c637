"""A condition: how one thing that Squire needs is doing, since when, how old that knowledge is, and what to do. Pure.

The rules that derive a condition's state from facts are in `condition_rules`; who looks and where it is kept, in
`health/`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

ORDER = (
    "settings",
    "ledger",
    "schema",
    "disk",
    "clock",
    "daemon",
    "code_server",
    "sensors",
    "schedules",
    "engine",
    "github",
    "github_token",
    "github_quota",
    "models",
    "planner",
    "receiver",
    "ui",
    "tasks",
    "upkeep",
    "warehouse",
    "files",
    "backup",
)
"""All conditions that there are, in the order in which they are shown: what others depend on comes first."""

MAX_TEXT = 500
"""Characters of a reason or a hint; what others wrote is part of some."""

_CLOCK_TOLERANCE = timedelta(seconds=5)


class HealthLevel(StrEnum):
    """How well something is: `degraded` works in part, or may soon not work; `down` does not work."""

    OK = "ok"
    DEGRADED = "degraded"
    DOWN = "down"

    @property
    def severity(self) -> int:
        """0 for the best; more is worse."""
        return _SEVERITY[self]


_SEVERITY = {HealthLevel.OK: 0, HealthLevel.DEGRADED: 1, HealthLevel.DOWN: 2}


@dataclass(frozen=True, slots=True)
class ConditionState:
    """What one look at something has shown.

    Args:
        level: How well it is.
        reason: Why, in words; for `ok`, what was seen.
        hint: What to do; empty where nothing is to be done.
        is_doubtful: Whether the next look may well show another: a time limit that ran out, a connection that broke.
            One such look alone makes nothing `down`.
        is_starting: Whether it was started moments ago and is not expected to answer yet.
    """

    level: HealthLevel
    reason: str
    hint: str = ""
    is_doubtful: bool = False
    is_starting: bool = False

    @classmethod
    def ok(cls, reason: str) -> "ConditionState":
        """Return the state of what is well."""
        return cls(HealthLevel.OK, reason)

    @classmethod
    def starting(cls, reason: str) -> "ConditionState":
        """Return the state of what was started moments ago: nothing is wrong with it yet."""
        return cls(HealthLevel.OK, reason, is_starting=True)

    @classmethod
    def degraded(cls, reason: str, hint: str) -> "ConditionState":
        """Return the state of what works in part."""
        return cls(HealthLevel.DEGRADED, reason, hint)

    @classmethod
    def down(cls, reason: str, hint: str, *, is_doubtful: bool = False) -> "ConditionState":
        """Return the state of what does not work."""
        return cls(HealthLevel.DOWN, reason, hint, is_doubtful)


@dataclass(frozen=True, slots=True)
class Condition:
    """How one thing is, as it was seen last.

    Args:
        name: Of the thing, such as `engine`: one of a fixed set.
        level: How well it is.
        reason: Why, in words.
        hint: What to do; empty where nothing is to be done.
        since: Since when it has had this level.
        checked_at: When it was looked at.
        fresh_for_s: After so many seconds without another look nobody looks any more.
        is_starting: Whether it was started moments ago, as it was seen last.
    """

    name: str
    level: HealthLevel
    reason: str
    hint: str
    since: datetime
    checked_at: datetime
    fresh_for_s: float
    is_starting: bool = False

    @property
    def is_ok(self) -> bool:
        """Whether nothing is wrong with it."""
        return self.level is HealthLevel.OK

    def age_s(self, now: datetime) -> float:
        """Return how old what is known is, in seconds; 0 where the clock was set back since."""
        return max(0.0, (now - self.checked_at).total_seconds())

    def is_stale(self, now: datetime) -> bool:
        """Return whether it should have been looked at again: nobody looks any more, or the clock was set back."""
        age = now - self.checked_at
        return age > timedelta(seconds=self.fresh_for_s) or age < -_CLOCK_TOLERANCE


def next_condition(
    previous: Condition | None, name: str, state: ConditionState, *, now: datetime, fresh_for_s: float
) -> Condition:
    """Return the condition after a look.

    Args:
        previous: As it was before; None when nobody has looked yet.
        name: Of the condition.
        state: What the look has shown.
        now: When.
        fresh_for_s: See `Condition`.
    """
    level = state.level
    if level is HealthLevel.DOWN and state.is_doubtful and (previous is None or previous.is_ok):
        level = HealthLevel.DEGRADED
    # A clock that was set back must not make it begin in the future.
    since = min(previous.since, now) if previous is not None and previous.level is level else now
    reason, hint = state.reason[:MAX_TEXT], state.hint[:MAX_TEXT]
    return Condition(name, level, reason, hint, since, now, fresh_for_s, is_starting=state.is_starting)


def worst_level(conditions: Iterable[Condition], *, now: datetime) -> HealthLevel:
    """Return how well all of them together are. What nobody looks at any more is no better than degraded."""
    levels = (
        HealthLevel.DEGRADED if condition.is_ok and condition.is_stale(now) else condition.level
        for condition in conditions
    )
    return max(levels, key=lambda level: level.severity, default=HealthLevel.OK)


def worst_state(states: Iterable[ConditionState]) -> ConditionState | None:
    """Return the worst of several states, of equal ones the first; None of none."""
    return max(states, key=lambda state: state.level.severity, default=None)
