"""Tells which runs are active and which have failed, as far as sensors need to know. Bounded queries only."""

import time
from collections.abc import Sequence

import dagster as dg

# Not those that nobody has queued yet: a daemon that was killed in this very moment leaves such a run for ever.
_ACTIVE = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def active_runs(instance: dg.DagsterInstance, *jobs: str) -> list[dg.DagsterRun]:
    """Return runs of these jobs that are not over, at most one of each job."""
    runs: list[dg.DagsterRun] = []
    for job in jobs:
        runs += instance.get_runs(dg.RunsFilter(job_name=job, statuses=_ACTIVE), limit=1)
    return runs


def reason_to_wait(
    instance: dg.DagsterInstance, job: str, *, retry_after_s: float, exclusive: Sequence[str] = ()
) -> str | None:
    """Return why a sensor requests no run of a job now, or None when it may.

    A sensor that requests a run whenever something is left to do asks this first, or it would fail in a hot loop.

    Args:
        instance: Keeps the runs.
        job: The job whose run would be requested.
        retry_after_s: How long to wait after a run of it that failed, `pipeline.redelivery_s`.
        exclusive: Other jobs that must not be active at the same time.
    """
    active = active_runs(instance, job, *exclusive)
    if active:
        return f"a run of {active[0].job_name} is under way"
    since = seconds_since_failure(instance, dg.RunsFilter(job_name=job))
    if since is not None and since < retry_after_s:
        return f"the last run of {job} failed and is tried again in a while"
    return None


def seconds_since_failure(instance: dg.DagsterInstance, runs: dg.RunsFilter) -> float | None:
    """Return how many seconds ago the newest of these runs failed or was cancelled; None when it did not."""
    newest = instance.get_run_records(runs, limit=1)
    if not newest or not newest[0].dagster_run.is_failure_or_canceled:
        return None
    return time.time() - (newest[0].end_time or newest[0].update_timestamp.timestamp())
