"""Which runs are active and which have failed, as far as sensors need to know. Bounded queries only."""

import time

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


def seconds_since_failure(instance: dg.DagsterInstance, job: str) -> float | None:
    """Return how many seconds ago the newest run of a job failed or was cancelled; None when it did not.

    A sensor that requests a run whenever something is left to do waits then, or it would fail in a hot loop.
    """
    newest = instance.get_run_records(dg.RunsFilter(job_name=job), limit=1)
    if not newest or not newest[0].dagster_run.is_failure_or_canceled:
        return None
    return time.time() - (newest[0].end_time or newest[0].update_timestamp.timestamp())
