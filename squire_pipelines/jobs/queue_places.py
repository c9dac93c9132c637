"""How many runs are put into the queue: no more than workers have places for, so that all others keep their order.

What a broker has, nobody orders again. In Dagster's queue a person's run goes first, and a task's turn is the ledger's.
"""

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

from dagster import DagsterInstance, DagsterRun, QueuedRunCoordinator, RunsFilter
from dagster._core.run_coordinator import SubmitRunContext
from dagster._core.run_coordinator.queued_run_coordinator import RunQueueConfig
from dagster._core.storage.dagster_run import ACTIVE_RUN_STATUSES, DagsterRunStatus, RunRecord

from squire_pipelines.domain.worker_rules import MAX_SENDS, free_places
from squire_pipelines.errors import LedgerError
from squire_pipelines.jobs.queue_launcher import QUEUE_TAG, QueueRunLauncher, queue_of_run, why_over
from squire_pipelines.ledger import worker_runs, workers
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.resources.stores import followed_settings, opened_ledger
from squire_pipelines.sections.workers import WorkerSettings
from squire_pipelines.work_queue.broker import BrokerError, BrokerWatch, check_broker

_SETTLES_S = 10.0
"""How long a process that has ended may leave its run in Dagster's state of starting."""

_EVERY_S = 5.0
_MANY = 1000


class PlaceBoundRunCoordinator(QueuedRunCoordinator[DagsterInstance]):
    """Puts as many runs into the workers' queue as these have places; the daemon asks for it before each dequeue."""

    _keeper: "QueueKeeper | None" = None

    def get_run_queue_config(self) -> RunQueueConfig:
        """Return the settings of Dagster's queue as they are now."""
        if self._keeper is None:
            settings = followed_settings().settings
            ledger = opened_ledger(settings.resolved_ledger_url)
            self._keeper = QueueKeeper(self._instance, ledger, settings.workers)
        records = self._instance.get_run_records(RunsFilter(statuses=ACTIVE_RUN_STATUSES), limit=_MANY)
        return self._keeper.config(super().get_run_queue_config(), records)

    def submit_run(self, context: SubmitRunContext) -> DagsterRun:
        """Put a run into Dagster's queue, with the tag that names its queue of workers."""
        run = context.dagster_run
        if QUEUE_TAG not in run.tags:
            self._instance.add_run_tags(run.run_id, {QUEUE_TAG: queue_of_run(run)})
        return super().submit_run(context)


def bound_by_places(
    queue: RunQueueConfig, active: Sequence[DagsterRun], places: Mapping[str, int], waiting: Collection[str]
) -> RunQueueConfig:
    """Return the settings of Dagster's queue with a bound for each queue of workers: its runs now, and its free places.

    Args:
        queue: The file's.
        active: The runs in progress, of which some may still wait for a worker.
        places: The free places by queue.
        waiting: The queues of the runs that wait, of which nobody may serve some.
    """
    running = Counter(queue_of_run(run) for run in active)
    names = sorted({*running, *places, *waiting})
    limits = [{"key": QUEUE_TAG, "value": name, "limit": running[name] + places.get(name, 0)} for name in names]
    most = len(active) + sum(places.values())
    return queue._replace(max_concurrent_runs=most, tag_concurrency_limits=[*queue.tag_concurrency_limits, *limits])


class QueueKeeper:
    """Bounds what is put into the queue by what workers can take, and looks after what was put there.

    Args:
        instance: Keeps the runs.
        ledger: Knows the workers.
        settings: Of workers.
        monotonic: Seconds.
    """

    def __init__(
        self,
        instance: DagsterInstance,
        ledger: Ledger,
        settings: WorkerSettings,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._instance = instance
        self._ledger = ledger
        self._settings = settings
        self._monotonic = monotonic
        self._broker = BrokerWatch(self._check_broker, monotonic)
        self._sends: dict[str, int] = {}
        self._next = float("-inf")
        self._log = get_logger(Component.PIPELINE)

    @property
    def _launcher(self) -> QueueRunLauncher:
        launcher = self._instance.run_launcher
        if not isinstance(launcher, QueueRunLauncher):
            raise TypeError("dagster.yaml has another run launcher than workers.broker_url needs")
        return launcher

    def _check_broker(self) -> None:
        check_broker(self._launcher.celery)

    def config(self, queue: RunQueueConfig, records: Sequence[RunRecord]) -> RunQueueConfig:
        """Return the settings of Dagster's queue as they are now; nothing leaves it while the broker takes nothing."""
        nothing = queue._replace(max_concurrent_runs=0)
        if (problem := self._broker.look()) is not None:
            self._log.warning("runs stay in Dagster's queue", reason=problem)
            return nothing
        active = [record.dagster_run for record in records]
        try:
            with self._ledger.read() as tx:
                known = workers.read_all(tx, lost_after_s=self._settings.lost_after_s)
                waiting = [run for run in active if run.status is DagsterRunStatus.STARTING]
                untaken = worker_runs.untaken(tx, [run.run_id for run in waiting])
        except LedgerError as error:
            self._log.warning("runs stay in Dagster's queue", reason=str(error))
            return nothing
        places = free_places(worker.places for worker in workers.open_workers(known))
        for run in waiting:
            if run.run_id in untaken:  # it is on its way to one of those places
                places[queue_of_run(run)] = places.get(queue_of_run(run), 0) - 1
        if self._monotonic() >= self._next:
            self._next = self._monotonic() + _EVERY_S
            self._look_after(records, untaken)
        in_queue = self._instance.get_run_records(RunsFilter(statuses=[DagsterRunStatus.QUEUED]), limit=_MANY)
        names = {queue_of_run(record.dagster_run) for record in in_queue}
        return bound_by_places(queue, active, {name: max(0, count) for name, count in places.items()}, names)

    def _look_after(self, records: Sequence[RunRecord], untaken: Collection[str]) -> None:
        """Send again what no worker took, and fail what ended before Dagster heard of its start."""
        now = time.time()
        starting = [record for record in records if record.dagster_run.status is DagsterRunStatus.STARTING]
        self._sends = {run_id: count for run_id, count in self._sends.items() if run_id in untaken}
        for record in starting:
            run, waited_s = record.dagster_run, now - record.update_timestamp.timestamp()
            if run.run_id in untaken:
                sends = self._sends.get(run.run_id, 0)
                if sends < MAX_SENDS and waited_s >= self._settings.resend_after_s * (sends + 1):
                    self._sends[run.run_id] = sends + 1
                    self._send_again(run)
            elif waited_s >= _SETTLES_S:
                self._fail_if_over(run)

    def _send_again(self, run: DagsterRun) -> None:
        try:
            self._launcher.send_again(run)
        except BrokerError as error:
            self._broker.note(error)

    def _fail_if_over(self, run: DagsterRun) -> None:
        with self._ledger.write() as tx:
            workers.end_lost(tx, lost_after_s=self._settings.lost_after_s)
            taken = worker_runs.find(tx, run.run_id)
        if taken is None or taken.ended_at is None or (tx.now - taken.ended_at).total_seconds() < _SETTLES_S:
            return
        fresh = self._instance.get_run_by_id(run.run_id)
        if fresh is not None and fresh.status is DagsterRunStatus.STARTING:
            self._instance.report_run_failed(fresh, why_over(taken))
