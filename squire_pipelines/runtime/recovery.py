"""Runs that a killed predecessor left in Dagster's storage: they are said to go on, but their process is gone.

With the default run launcher every run's process belongs to the services of one home. Whoever holds the home's lock and
has ended the leftovers knows that none of them lives.
"""

import os
from pathlib import Path

import dagster as dg

_MAX_RUNS = 1000
_WITH_PROCESS = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def runs_under_way(dagster_home: Path) -> int:
    """Return how many runs have a process now, at most a thousand."""
    os.environ["DAGSTER_HOME"] = str(dagster_home)
    with dg.DagsterInstance.get() as instance:
        return len(instance.get_run_records(dg.RunsFilter(statuses=_WITH_PROCESS), limit=_MAX_RUNS))


def fail_dead_runs(dagster_home: Path) -> tuple[str, ...]:
    """Report the runs as failed. Returns their ids. Sensors take up again what they were doing."""
    os.environ["DAGSTER_HOME"] = str(dagster_home)
    failed = []
    with dg.DagsterInstance.get() as instance:
        for run in instance.get_runs(dg.RunsFilter(statuses=_WITH_PROCESS), limit=_MAX_RUNS):
            instance.report_run_failed(run, "the process of this run was stopped from outside")
            failed.append(run.run_id)
    return tuple(failed)
