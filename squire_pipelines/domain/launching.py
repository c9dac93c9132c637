"""Launching at the pace of the machine's processors: how many runs start at once, and how long a start may take.

Pure rules. The load is measured in `observability.processor_load`, past launches are read in `ledger.launches`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

FULL = 1.0
"""The crowding from which on every further process slows the others down."""

CROWDED = 4.0
"""The crowding from which on fewer runs start at once than there are processors."""

SLACK = 4.0
"""How many times the slowest recent launch the next one may take: a machine grows busy faster than launches show it."""

MAX_HANDOVER = 10.0


@dataclass(frozen=True, slots=True)
class ProcessorLoad:
    """How busy the machine is.

    `processors` are those that this process may use, at least 1. `crowding` is how many processes of the machine want
    to compute, for each of its processors: from 1 on they wait for each other.
    """

    processors: int
    crowding: float

    def __str__(self) -> str:
        """Say it for people."""
        plural = "" if self.processors == 1 else "s"
        return f"{self.crowding:.1f} processes for each processor, {self.processors} processor{plural} for Squire"


def launches_at_once(load: ProcessorLoad, most: int) -> int:
    """Return how many runs may be starting at once, from 1 to `most`.

    A start is seconds of computing (the process imports Dagster and Squire), so that more of them at once than there
    are processors only slow each other down. One more is begun while processors are idle. On a crowded machine fewer
    start, so that each is done in bearable time; one always does.
    """
    if load.crowding < FULL:
        launches = load.processors + 1
    elif load.crowding <= CROWDED:
        launches = load.processors
    else:
        launches = int(load.processors * CROWDED / load.crowding)
    return max(1, min(launches, most))


def claim_deadline_s(recent_s: Sequence[float], load: ProcessorLoad, *, least_s: float, most_s: float) -> float:
    """Return how many seconds after its dispatch an attempt may be given up for want of a run that claims it.

    Args:
        recent_s: From dispatch to claim, of the launches of late.
        load: On a crowded machine everything takes as many times longer as it is crowded, before a launch shows it.
        least_s: The shortest deadline, that of a quiet machine.
        most_s: The longest; a smaller one than `least_s` is not taken.
    """
    expected_s = max(least_s * max(load.crowding, 1.0), SLACK * max(recent_s, default=0.0))
    return min(expected_s, max(least_s, most_s))


class LaunchStage(StrEnum):
    """How far the run of an attempt has come."""

    REQUESTED = "requested"
    WAITING = "waiting"
    STARTING = "starting"
    STARTED = "started"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class LaunchState:
    """How far an attempt's run has come, and what Dagster says about its end."""

    stage: LaunchStage
    message: str = ""


def may_give_up(stage: LaunchStage, waited_s: float, *, deadline_s: float, most_s: float) -> bool:
    """Return whether an attempt that no run has claimed is given up.

    At once when its run is over, for nobody else will claim it. A run that waits in Dagster's queue will come, so that
    only the longest deadline counts for it.
    """
    if stage is LaunchStage.OVER:
        return True
    return waited_s > (max(deadline_s, most_s) if stage is LaunchStage.WAITING else deadline_s)


def why_not_started(state: LaunchState, waited_s: float, load: ProcessorLoad) -> str:
    """Return why no run claimed an attempt, as a sentence for people that says what was seen."""
    if state.stage is LaunchStage.OVER:
        cause = f": {state.message}" if state.message else ""
        return f"its run ended before it claimed the attempt{cause}"
    return f"its run did not start in time: after {waited_s:.0f} s {_SEEN[state.stage]} ({load})"


_SEEN = {
    LaunchStage.REQUESTED: "Dagster has no run of it",
    LaunchStage.WAITING: "its run waits in Dagster's queue",
    LaunchStage.STARTING: "its run's process is still starting",
    LaunchStage.STARTED: "its run has started and has not come to the claim",
}


def handover_s(lease_s: float, load: ProcessorLoad) -> float:
    """Return for how many seconds a step that ends leaves the lease to the next one, which may be a process to start.

    A multiple of the lease on a crowded machine, `MAX_HANDOVER` times at most.
    """
    return lease_s * min(max(load.crowding, 1.0), MAX_HANDOVER)


def longest_lease_s(lease_s: float) -> float:
    """Return for how many seconds at most an attempt's lease is taken; one that ends later is from before a set clock.

    Twice what `handover_s` returns, since settings change and clocks are kept right.
    """
    return 2 * MAX_HANDOVER * lease_s


def is_lease_over(lease_until: datetime, now: datetime, longest_s: float) -> bool:
    """Return whether nobody prolongs a lease: it ran out, or it ends so late that the clock was set back since."""
    return not now <= lease_until <= now + timedelta(seconds=longest_s)
