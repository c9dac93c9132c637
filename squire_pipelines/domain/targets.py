"""Targets, and how fast their error budget burns: in several windows at once, so that one bad task rings no bell. Pure.

The windows and rates are those of https://sre.google/workbook/alerting-on-slos/: a long window says that it matters, a
short one that it goes on.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

MIN_BAD = 3
"""So many bad ones have to be in the long window: of two tasks, one that fails is half of all."""


class TargetName(StrEnum):
    """What is measured."""

    TASK_FAILURE = "task_failure"
    CONTAINER_CRASH = "container_crash"
    READY_TO_AGENT = "ready_to_agent"
    READY_TO_PULL_REQUEST = "ready_to_pull_request"


@dataclass(frozen=True, slots=True)
class Targets:
    """The targets of one repository.

    Args:
        task_failure: The share of tasks that may fail, 0 to 1.
        container_crash: The share of agents' containers that may crash.
        ready_to_agent_s: Within how many seconds an agent is to start once nothing holds its task.
        ready_share: The share of tasks that are to keep this time and the next.
        ready_to_pull_request_s: Within how many seconds from then a pull request is to be open, where one is opened.
    """

    task_failure: float = 0.05
    container_crash: float = 0.01
    ready_to_agent_s: float = 30.0
    ready_share: float = 0.95
    ready_to_pull_request_s: float = 3600.0

    def allowed(self, target: TargetName) -> float:
        """Return the share of bad ones that a target allows."""
        return {
            TargetName.TASK_FAILURE: self.task_failure,
            TargetName.CONTAINER_CRASH: self.container_crash,
            TargetName.READY_TO_AGENT: 1 - self.ready_share,
            TargetName.READY_TO_PULL_REQUEST: 1 - self.ready_share,
        }[target]

    def seconds(self, target: TargetName) -> float | None:
        """Return how many seconds a target allows; None for one that is no time."""
        return {
            TargetName.READY_TO_AGENT: self.ready_to_agent_s,
            TargetName.READY_TO_PULL_REQUEST: self.ready_to_pull_request_s,
        }.get(target)


@dataclass(frozen=True, slots=True)
class TargetEvent:
    """One task or container that counts for a target: when, whether it was bad, and how many seconds a time took."""

    repository: str
    target: TargetName
    at: datetime
    is_bad: bool
    task_id: str = ""
    taken_s: float | None = None


@dataclass(frozen=True, slots=True)
class BurnWindow:
    """When a target is missed: both windows burn at least so many times as fast as the target allows."""

    name: str
    long: timedelta
    short: timedelta
    rate: float
    is_critical: bool


WINDOWS = (
    BurnWindow("1 h", timedelta(hours=1), timedelta(minutes=5), 14.4, is_critical=True),
    BurnWindow("6 h", timedelta(hours=6), timedelta(minutes=30), 6.0, is_critical=False),
    BurnWindow("3 d", timedelta(days=3), timedelta(hours=6), 1.0, is_critical=False),
)
LONGEST = max(window.long for window in WINDOWS)


@dataclass(frozen=True, slots=True)
class MissedTarget:
    """A target that is missed: by which window, how many of how many were bad there, and the worst of these.

    Args:
        repository: Whose.
        target: Which.
        window: That shows it.
        bad: How many were bad.
        events: Of how many.
        allowed: The share that may be bad, 0 to 1.
        seconds: The target, where it is a time.
        worst: The bad one that took longest, or the newest one.
    """

    repository: str
    target: TargetName
    window: BurnWindow
    bad: int
    events: int
    allowed: float
    seconds: float | None = None
    worst: TargetEvent | None = None

    @property
    def text(self) -> str:
        """What was missed, with the target and what was measured."""
        rate = f"{self.burn_rate:.1f} times as many as the {self.allowed:.0%} that the target allows"
        text = f"{self.bad} of {self.events} in {self.window.name} missed {self.target} of {self.repository}: {rate}"
        if self.seconds is not None and self.worst is not None and self.worst.taken_s is not None:
            text += f"; within {self.seconds:.0f} s is the target, and the worst took {self.worst.taken_s:.0f} s"
        return text

    @property
    def hint(self) -> str:
        """What to look at: a task that missed it, or all of them."""
        if self.worst is not None and self.worst.task_id:
            return f"`squire tasks show {self.worst.task_id}` says what it waited for, or why it failed"
        return "`squire tasks list --status failed` names what failed; `[targets]` in the settings has the targets"

    @property
    def burn_rate(self) -> float:
        """How many times as many were bad as the target allows."""
        return burn_rate(self.bad, self.events, self.allowed)


def burn_rate(bad: int, events: int, allowed: float) -> float:
    """Return how many times as many were bad as a target allows; 0 where nothing happened."""
    if not events:
        return 0.0
    return bad / events / allowed if allowed > 0 else (float("inf") if bad else 0.0)


def missed_targets(
    events: Iterable[TargetEvent], targets: Mapping[str, Targets], *, now: datetime
) -> tuple[MissedTarget, ...]:
    """Return the targets that are missed now, each by the worst window that shows it.

    Args:
        events: Of the last `LONGEST`.
        targets: Of each repository; others have none.
        now: When.
    """
    by_target: dict[tuple[str, TargetName], list[TargetEvent]] = {}
    for event in events:
        if event.repository in targets:
            by_target.setdefault((event.repository, event.target), []).append(event)
    missed = (_missed(name, target, listed, targets[name], now) for (name, target), listed in by_target.items())
    return tuple(one for one in missed if one is not None)


def _missed(
    repository: str, target: TargetName, events: Collection[TargetEvent], targets: Targets, now: datetime
) -> MissedTarget | None:
    allowed = targets.allowed(target)
    for window in WINDOWS:
        bad, count = _count(events, now - window.long)
        recent_bad, recent = _count(events, now - window.short)
        is_fast = burn_rate(bad, count, allowed) >= window.rate
        if is_fast and bad >= MIN_BAD and burn_rate(recent_bad, recent, allowed) >= window.rate:
            missed = [event for event in events if event.is_bad and event.at > now - window.long]
            worst = max(missed, key=lambda event: (event.taken_s or 0.0, event.at))
            return MissedTarget(repository, target, window, bad, count, allowed, targets.seconds(target), worst)
    return None


def _count(events: Iterable[TargetEvent], since: datetime) -> tuple[int, int]:
    within = [event.is_bad for event in events if event.at > since]
    return sum(within), len(within)
