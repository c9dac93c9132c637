"""A Dagster job of one op that does nothing, as a floor for ours: what Dagster itself takes to launch a run.

The sensor requests a run for each file `NAME.request` in the folder that the environment names, and writes beside it
when it did; the op writes when it began.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg

FOLDER_VARIABLE = "BARE_JOB_FOLDER"


def folder() -> Path:
    """Return the folder with the requests."""
    return Path(os.environ[FOLDER_VARIABLE])


@dg.op
def note_start(context: dg.OpExecutionContext) -> None:
    """Write when the op began."""
    (folder() / f"{context.run.tags['request']}.started").write_text(repr(time.time()))


@dg.job(executor_def=dg.in_process_executor)
def bare() -> None:
    """Run one op."""
    note_start()


@dg.sensor(job=bare, minimum_interval_seconds=4, default_status=dg.DefaultSensorStatus.RUNNING)
def requests(_context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest]:
    """Request a run for each new file."""
    for file in folder().glob("*.request"):
        requested = file.with_suffix(".requested")
        if not requested.exists():
            requested.write_text(repr(time.time()))
            yield dg.RunRequest(run_key=file.stem, tags={"request": file.stem})


defs = dg.Definitions(jobs=[bare], sensors=[requests])
