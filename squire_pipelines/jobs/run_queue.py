"""The run coordinator of `dagster.yaml`: runs wait in Dagster's queue while the machine's processors are busy.

Dagster's own bounds how many runs are in progress. What costs processors is their start, so that this one bounds how
many are starting as well. Runs that people have launched themselves and wait for have places of their own.
"""

import time
from collections.abc import Callable, Sequence

from dagster import DagsterInstance, QueuedRunCoordinator, RunsFilter
from dagster._core.run_coordinator.queued_run_coordinator import RunQueueConfig
from dagster._core.storage.dagster_run import ACTIVE_RUN_STATUSES, DagsterRunStatus, RunRecord

from squire_pipelines.domain.launching import launches_at_once
from squire_pipelines.observability.logging import filter_library
from squire_pipelines.observability.processor_load import read_load

STALLED_S = 120.0
"""A run that has been starting for longer takes no other's place: its process may have died without a word."""

FULL_EVERY_S = 60.0
"""How often the daemon's log says that the queue is full, which Dagster's would say at each look, once a second."""

BY_HAND = {"squire/part": "by_hand"}
"""The tags of runs that people launch themselves: of `by_hand`."""

RESERVED = 2
"""How many of those may be in progress beside the bounds, so that none of them waits for an agent's end."""

_LOGGER = "dagster.daemon.QueuedRunCoordinatorDaemon"
_FULL = "won't launch more"
_MANY = 1000  # where the file sets no bound: Dagster's is then -1


class FullQueueFilter:
    """Drops what the daemon says of a full queue, unless it has not said so for `FULL_EVERY_S`; all else passes.

    Args:
        monotonic: Seconds.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._next = 0.0

    def keeps(self, text: str) -> bool:
        """Return whether a line with this text is written."""
        if _FULL not in text:
            return True
        now = self._monotonic()
        if now < self._next:
            return False
        self._next = now + FULL_EVERY_S
        return True


_filter = FullQueueFilter()


class ProcessorBoundRunCoordinator(QueuedRunCoordinator[DagsterInstance]):
    """Lets as many runs start at once as `domain.launching` says; the daemon asks for it before each dequeue."""

    def get_run_queue_config(self) -> RunQueueConfig:
        """Return the settings of the queue, with a bound on runs in progress that leaves room for those starts."""
        filter_library(_LOGGER, _filter.keeps)  # a second time it changes nothing
        queue = super().get_run_queue_config()
        most = queue.max_concurrent_runs if queue.max_concurrent_runs >= 0 else _MANY
        records = self._instance.get_run_records(RunsFilter(statuses=ACTIVE_RUN_STATUSES), limit=_MANY)

        def count_waiting(most: int) -> int:
            waiting = RunsFilter(statuses=[DagsterRunStatus.QUEUED], tags=BY_HAND)
            return len(self._instance.get_run_records(waiting, limit=most))

        bound = bound_with_reserved(records, most, now=time.time(), count_waiting=count_waiting)
        return queue._replace(max_concurrent_runs=bound)


def bound_on_runs(records: Sequence[RunRecord], most: int, *, now: float) -> int:
    """Return how many runs may be in progress: those that have started, and as many that start as the load permits.

    Args:
        records: The runs in progress.
        most: The file's own bound.
        now: In seconds since the epoch.
    """
    starting = sum(
        record.dagster_run.status is DagsterRunStatus.STARTING and now - record.update_timestamp.timestamp() < STALLED_S
        for record in records
    )
    return min(most, len(records) - starting + launches_at_once(read_load(), max(1, most)))


def bound_with_reserved(
    records: Sequence[RunRecord], most: int, *, now: float, count_waiting: Callable[[int], int]
) -> int:
    """Return how many runs may be in progress: as `bound_on_runs` says, and up to `RESERVED` that people launched.

    Args:
        records: The runs in progress.
        most: The file's own bound.
        now: In seconds since the epoch.
        count_waiting: Counts the runs in the queue that people launched, up to a number; asked when there is no place.
    """
    by_hand = [record for record in records if record.dagster_run.tags.items() >= BY_HAND.items()][:RESERVED]
    others = [record for record in records if record not in by_hand]
    bound = bound_on_runs(others, most, now=now) + len(by_hand)
    if bound > len(records) or len(by_hand) == RESERVED:
        return bound
    # They have the highest priority of the queue, so that the places are theirs.
    return len(records) + count_waiting(RESERVED - len(by_hand))
