"""A moment of the monotonic clock by which something is over, handed down to all that waits within it."""

import time
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment of this machine's monotonic clock, `at`."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Self:
        """Return the deadline that is so many seconds from now."""
        return cls(time.monotonic() + seconds)

    def within(self, seconds: float) -> "Deadline":
        """Return the earlier of this deadline and the one that is so many seconds from now."""
        return Deadline(min(self.at, time.monotonic() + seconds))

    @property
    def remaining_s(self) -> float:
        """How many seconds are left; 0 when it is past."""
        return max(0.0, self.at - time.monotonic())

    @property
    def is_past(self) -> bool:
        """Whether no time is left."""
        return self.remaining_s == 0
