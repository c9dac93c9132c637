"""The run launcher of `dagster.yaml` where workers on several machines take runs: it puts a run into the queue.

Dagster's own launcher for Celery sends its instance's settings with each run, asks Celery's results whether a run
lives, and ends runs by a word to all workers. Here the message has the run's id alone, and both are the ledger's: rows
of `worker_runs`, which every process can read.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Self

from celery import Celery
from dagster import DagsterRun
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, WorkerStatus
from dagster._serdes import ConfigurableClassData
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_QUEUE_TAG, DAGSTER_CELERY_RUN_PRIORITY_TAG

from squire_pipelines.domain.worker_rules import kind_of, queue_of
from squire_pipelines.ledger import worker_runs, workers
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.worker_runs import WorkerRun
from squire_pipelines.resources.stores import followed_settings, opened_ledger
from squire_pipelines.settings.model import Settings
from squire_pipelines.work_queue.broker import BrokerError, broker_app, send_run

QUEUE_TAG = DAGSTER_CELERY_QUEUE_TAG
PRIORITY_TAG = DAGSTER_CELERY_RUN_PRIORITY_TAG
_NO_PRIORITY = 5


class RunNotQueuedError(DagsterUserCodeUnreachableError):
    """The broker did not take a run: Dagster puts it back into its own queue, and tries again."""


def queue_of_run(run: DagsterRun) -> str:
    """Return the queue of a run: that of its tag, else that of its job's kind of work."""
    return run.tags.get(QUEUE_TAG) or queue_of(kind_of(run.job_name))


class QueueRunLauncher(CeleryRunLauncher):
    """Puts runs into the queue, and knows from the ledger what became of them."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        # Without Dagster's own of CeleryRunLauncher: each run's process has a launcher, and needs no broker.
        super(CeleryRunLauncher, self).__init__()  # type: ignore[no-untyped-call] # Dagster's
        self._inst_data = inst_data

    @cached_property
    def celery(self) -> Celery:
        """The application that sends runs."""
        return broker_app(self._settings)

    @property
    def _settings(self) -> Settings:
        return followed_settings().settings

    @property
    def _ledger(self) -> Ledger:
        return opened_ledger(self._settings.resolved_ledger_url)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Put the run into its queue. Raises RunNotQueuedError when the broker does not take it."""
        run = context.dagster_run
        queue = queue_of_run(run)
        try:
            send_run(self.celery, run.run_id, queue=queue, priority=_priority(run))
        except BrokerError as error:
            raise RunNotQueuedError(str(error)) from error
        self._instance.report_engine_event(f"The run waits for a worker in the queue {queue}.", run, cls=type(self))

    def send_again(self, run: DagsterRun) -> None:
        """Put a run into its queue again that no worker has taken. Raises BrokerError."""
        queue = queue_of_run(run)
        send_run(self.celery, run.run_id, queue=queue, priority=_priority(run))
        text = f"No worker has taken the run: it is put into the queue {queue} again."
        self._instance.report_engine_event(text, run, cls=type(self))

    @property
    def supports_resume_run(self) -> bool:
        """Never: an attempt is adopted by a run of its own."""
        return False

    def terminate(self, run_id: str) -> bool:
        """Have the run's worker interrupt it. One that no worker has taken is cancelled at once, and stays so."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        with self._ledger.write() as tx:
            is_wanted = worker_runs.request_stop(tx, run_id)
            taken = worker_runs.find(tx, run_id)
        if taken is None or taken.worker is None or not is_wanted:
            self._instance.report_run_canceled(run)
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Return how the run's process is. The runs of a worker that was not seen for long are lost with it."""
        with self._ledger.write() as tx:
            workers.end_lost(tx, lost_after_s=self._settings.workers.lost_after_s)
            taken = worker_runs.find(tx, run.run_id)
        return _health(taken)

    def get_run_worker_debug_info(
        self,
        run: DagsterRun,
        include_container_logs: bool | None = True,  # noqa: ARG002, FBT001, FBT002 - Dagster's signature
    ) -> str | None:
        """Return which worker has taken the run."""
        with self._ledger.read() as tx:
            taken = worker_runs.find(tx, run.run_id)
        return why_over(taken)

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Return the keys of `dagster.yaml`: none, since the settings say it all."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> Self:  # noqa: ARG003 - Dagster's signature
        """Return the launcher."""
        return cls(inst_data)


def why_over(taken: WorkerRun | None) -> str:
    """Return what the ledger says of a run, as a sentence."""
    if taken is None:
        return "No worker has taken the run."
    if taken.worker is None:
        return "The run was stopped before a worker took it."
    if taken.ended_at is None:
        return f"The worker {taken.worker} has taken the run."
    if taken.exit_code is None:
        return f"The worker {taken.worker}, which had taken the run, was lost."
    return f"The run's process on the worker {taken.worker} ended with the code {taken.exit_code}."


def _health(taken: WorkerRun | None) -> CheckRunHealthResult:
    if taken is None:
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, why_over(taken))
    if taken.ended_at is None:
        return CheckRunHealthResult(WorkerStatus.RUNNING)
    status = WorkerStatus.FAILED if taken.exit_code != 0 else WorkerStatus.SUCCESS
    return CheckRunHealthResult(status, why_over(taken))


def _priority(run: DagsterRun) -> int:
    try:
        return int(run.tags.get(PRIORITY_TAG, _NO_PRIORITY))
    except ValueError:
        return _NO_PRIORITY
