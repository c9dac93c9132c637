"""The attempt's lease as an op of `agent_run` needs it: the run's tags say which attempt, and Dagster which error."""

import contextlib
import os
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

import dagster as dg
from dagster._core.storage.dagster_run import DagsterRunStatsSnapshot

from squire_pipelines import tags
from squire_pipelines.domain.timings import Timings
from squire_pipelines.domain.worker_rules import WORKER_VARIABLE
from squire_pipelines.errors import LeaseLostError
from squire_pipelines.settings.model import Settings
from squire_pipelines.traces import log_start

if TYPE_CHECKING:
    from squire_pipelines.execution.lease import LeasedAttempt
    from squire_pipelines.ledger.attempts import Attempt
    from squire_pipelines.ledger.store import Ledger


def attempt_id_of(context: dg.OpExecutionContext) -> str:
    """Return the attempt that this run is for. Raises Failure for a run that nobody dispatched."""
    try:
        return context.run.tags[tags.ATTEMPT]
    except KeyError as error:
        raise dg.Failure(
            "this run is for no attempt: agent_run is launched by the dispatch sensor",
            metadata={"next_step": "approve or retry the task: squire tasks approve ID, squire tasks retry ID"},
            allow_retries=False,
        ) from error


@contextlib.contextmanager
def leased_attempt(
    context: dg.OpExecutionContext, ledger: "Ledger", settings: Settings, *, claim: bool = False
) -> Iterator["LeasedAttempt | None"]:
    """Work on this run's attempt as `execution.lease` does. Raises Failure when the lease is another run's."""
    from squire_pipelines.execution.lease import AttemptRun, lease

    def was_cancelled() -> bool:
        run = context.instance.get_run_by_id(context.run.run_id)
        return run is not None and run.status in {dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED}

    run = AttemptRun(
        attempt_id=attempt_id_of(context),
        run_id=context.run.run_id,
        adopts=tags.ADOPTED_FROM in context.run.tags,
        was_cancelled=was_cancelled,
        worker=os.environ.get(WORKER_VARIABLE),
        log=context.log,
    )
    try:
        with lease(ledger, settings, run, claim=claim) as leased:
            if leased is not None:
                log_start(context)
            yield leased
    except LeaseLostError as error:
        raise dg.Failure(f"{error}", metadata={"attempt": run.attempt_id}, allow_retries=False) from error


def launch_timings(context: dg.OpExecutionContext, attempt: "Attempt") -> Timings:
    """Return how long the attempt waited for this run, by part; nothing for a run that Dagster did not launch."""
    stats = context.instance.get_run_stats(context.run.run_id)
    if not isinstance(stats, DagsterRunStatsSnapshot) or stats.launch_time is None or stats.start_time is None:
        return Timings()
    moments = [attempt.queued_at.timestamp(), stats.launch_time, stats.start_time]
    moments.append(attempt.claimed_at.timestamp() if attempt.claimed_at is not None else stats.start_time)
    queue_s, launch_s, claim_s = (round(max(0.0, after - before), 3) for before, after in pairwise(moments))
    return Timings(queue_s=queue_s, launch_s=launch_s, claim_s=claim_s)


def report_adopted_run(context: dg.OpExecutionContext) -> None:
    """Report the dead run as failed whose attempt this run has adopted; nothing for a run that adopted none."""
    adopted = context.run.tags.get(tags.ADOPTED_FROM)
    run = context.instance.get_run_by_id(adopted) if adopted else None
    if run is not None and not run.is_finished:
        context.instance.report_run_failed(run, f"its attempt was adopted by run {context.run.run_id}")
