"""What Dagster is doing just now, as far as sensors need to know. Bounded queries only."""

import dagster as dg

_ACTIVE = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def active_runs(instance: dg.DagsterInstance, *jobs: str) -> list[dg.DagsterRun]:
    """Runs of these jobs that are not over, at most one a job."""
    found: list[dg.DagsterRun] = []
    for job in jobs:
        found += instance.get_runs(dg.RunsFilter(job_name=job, statuses=_ACTIVE), limit=1)
    return found


def is_over(instance: dg.DagsterInstance, run_id: str | None) -> bool:
    """Whether a run has ended or is unknown."""
    run = instance.get_run_by_id(run_id) if run_id else None
    return run is None or run.is_finished
