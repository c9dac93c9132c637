"""Debugging that is switched on for a time: of one repository, or of all. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

MAX_FOR = timedelta(days=7)
MAX_WINDOWS = 50
COMMAND_FOR = timedelta(days=1)
"""For so long at most is debugged what one command does that was started with `--debug`."""

MAX_KEPT_CONTAINERS = 10
"""Containers that are kept for inspection at once; the oldest go first."""

_CLOCK_SLACK = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class DebugWindow:
    """A time of debugging.

    Args:
        repository: Of which one; empty for all.
        since: When it was switched on.
        until: When it ends by itself.
        actor: Who switched it on.
    """

    repository: str
    since: datetime
    until: datetime
    actor: str = ""

    def is_open(self, now: datetime) -> bool:
        """Return whether it lasts. Where the clock was set back behind its beginning, it is over."""
        return self.since - _CLOCK_SLACK <= now < min(self.until, self.since + MAX_FOR)

    def covers(self, repository: str, now: datetime) -> bool:
        """Return whether what concerns a repository is debugged; an empty name is for what concerns none."""
        return self.is_open(now) and (not self.repository or self.repository.casefold() == repository.casefold())


def end_of_debugging(windows: Iterable[DebugWindow], repository: str, now: datetime) -> datetime | None:
    """Return until when a repository is debugged; None where it is not."""
    return max((window.until for window in windows if window.covers(repository, now)), default=None)


def with_window(windows: Iterable[DebugWindow], new: DebugWindow) -> tuple[DebugWindow, ...]:
    """Return the windows with a new one, in the place of that of the same repository; ended ones are left out."""
    others = (
        window
        for window in windows
        if window.is_open(new.since) and window.repository.casefold() != new.repository.casefold()
    )
    return (*others, new)
