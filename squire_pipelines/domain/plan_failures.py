"""When a repository's plans fail: they do not pass their checks, cannot be made, or are not made at all. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

LONG_WITHOUT_PLAN = timedelta(hours=1)
"""A failure that has lasted as long is reported, however few plans there were: none may come by itself."""

NOT_MADE = "planned"
"""The check that a plan without tasks has not passed which stands for a first one that could not be made."""


@dataclass(frozen=True, slots=True)
class PlanFailure:
    """Why a repository, or a group, gets no tasks from its plans.

    Args:
        repository: Its name.
        count: Plans in a row that failed, and tries to make one that did.
        since: When that began.
        reason: Of the newest.
        plan_id: The newest plan; empty where there is none.
    """

    repository: str
    count: int
    since: datetime
    reason: str
    plan_id: str = ""

    def is_told(self, threshold: int, *, now: datetime) -> bool:
        """Return whether it is to be reported: it happened so many times in a row, or has lasted for long."""
        return self.count >= threshold or now - self.since >= LONG_WITHOUT_PLAN

    @property
    def text(self) -> str:
        """What is wrong, in words."""
        tries = "" if self.count == 1 else f" ({self.count} in a row)"
        since = f"{self.since:%Y-%m-%d %H:%M} UTC"
        return f"no plan of {self.repository} has become tasks since {since}{tries}: {self.reason}"

    @property
    def hint(self) -> str:
        """What to do."""
        show = f"squire plans show {self.plan_id}" if self.plan_id else "squire logs --component pipeline --level error"
        return f"see `{show}`; `squire plans make` shows what a plan would be"
