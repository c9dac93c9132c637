"""Notices that a clock was set, by another one that only goes on. Pure: whoever asks has read both."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ClockLook:
    """What two clocks showed at the last look.

    Args:
        difference_s: By how much the clock that may be set was ahead of the monotonic one.
        seen_at_s: When that was, by the monotonic one.
        jumped_at_s: When it was last seen to have been set, likewise; None for never.
    """

    difference_s: float
    seen_at_s: float
    jumped_at_s: float | None = None

    def is_steady_for(self, seconds: float) -> bool:
        """Return whether nobody has set the clock for so long before the last look, as far as is known."""
        return self.jumped_at_s is None or self.seen_at_s - self.jumped_at_s >= seconds


def next_look(before: ClockLook | None, *, wall_s: float, monotonic_s: float, least_s: float) -> ClockLook:
    """Return what this look has shown.

    Args:
        before: What the last one has shown; None when there was none.
        wall_s: What the clock that may be set shows.
        monotonic_s: What the other one shows. It begins anew with the machine, and stands still while that sleeps.
        least_s: A smaller step is none: looks take time, and clocks are kept right by small steps.
    """
    difference_s = wall_s - monotonic_s
    if before is None or monotonic_s < before.seen_at_s:  # the machine has started again since
        return ClockLook(difference_s, monotonic_s)
    has_jumped = abs(difference_s - before.difference_s) >= least_s
    return ClockLook(difference_s, monotonic_s, monotonic_s if has_jumped else before.jumped_at_s)
