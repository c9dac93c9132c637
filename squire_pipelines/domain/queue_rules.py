"""What a ready task waits for besides its turn: caps on pull requests, and what a dependency has to be. Pure.

Standard library only, as all that `squire tasks list` needs.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from squire_pipelines.domain.breakers import Breaker

WINDOW = timedelta(hours=1)
"""New pull requests are counted over this time."""


@dataclass(frozen=True, slots=True)
class PullRequestCaps:
    """How many pull requests of Squire's a repository may have open, and how many new ones in an hour."""

    max_open: int = 10
    max_new_per_hour: int = 2


@dataclass(frozen=True, slots=True)
class QueueRules:
    """What holds for the ready tasks of one repository.

    Args:
        caps: On its pull requests; None where nothing is capped.
        wait_for_merge: Whether a dependency has to be merged, where it has a pull request, and not only done.
        breaker: After how many attempts work stops; None for never.
    """

    caps: PullRequestCaps | None = None
    wait_for_merge: bool = False
    breaker: Breaker | None = None


@dataclass(frozen=True, slots=True)
class PullRequestUse:
    """What counts towards a repository's caps.

    Args:
        open: How many pull requests of Squire's are open.
        under_way: How many attempts that have not ended may open another one.
        opened_at: When those of the last hour were opened, the oldest first.
    """

    open: int = 0
    under_way: int = 0
    opened_at: tuple[datetime, ...] = field(default=())

    def within(self, now: datetime) -> tuple[datetime, ...]:
        """Return when those were opened that count at this time.

        What lies further ahead than the window was written by a clock that was wrong, and would count until then.
        """
        return tuple(moment for moment in self.opened_at if now - WINDOW < moment < now + WINDOW)


@dataclass(frozen=True, slots=True)
class CapReached:
    """Which cap leaves no room, and when it does at the earliest; None when that depends on people or on an agent."""

    text: str
    frees_at: datetime | None = None

    def __str__(self) -> str:
        return f"{self.text}, not before {self.frees_at:%H:%M:%S} UTC" if self.frees_at is not None else self.text


def pull_request_room(caps: PullRequestCaps, use: PullRequestUse, now: datetime) -> int:
    """Return how many more attempts may start that may open a pull request."""
    of_hour = caps.max_new_per_hour - len(use.within(now))
    return max(0, min(caps.max_open - use.open, of_hour) - use.under_way)


def cap_reached(caps: PullRequestCaps, use: PullRequestUse, now: datetime) -> CapReached | None:
    """Return the cap that leaves no room for another pull request; None when there is room.

    What is under way counts as if it were open and new, since nobody knows better before it ends.
    """
    if use.open + use.under_way >= caps.max_open:
        parts = f"{use.open} open" + (f" and {use.under_way} under way" if use.under_way else "")
        return CapReached(
            f"a pull request of the repository to be merged or closed: {parts}, at most {caps.max_open} "
            "(dispatch.max_open_pull_requests)"
        )
    recent = use.within(now)
    excess = len(recent) + use.under_way - caps.max_new_per_hour
    if excess < 0:
        return None
    parts = f"{len(recent)} new in an hour" + (f" and {use.under_way} under way" if use.under_way else "")
    text = (
        f"room for a new pull request of the repository: {parts}, at most {caps.max_new_per_hour} "
        "(dispatch.max_new_pull_requests_per_hour)"
    )
    return CapReached(text, recent[excess] + WINDOW if excess < len(recent) else None)
