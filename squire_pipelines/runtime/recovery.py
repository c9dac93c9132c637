"""Runs that a killed predecessor left in Dagster's storage: they are said to go on, but their process is gone.

With the default run launcher every run's process belongs to the services of one home. Whoever holds the home's lock and
has ended the leftovers knows that none of them lives.
"""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from sqlalchemy import Engine, event

from squire_pipelines.files import put_in_place

_MAX_RUNS = 1000
_WITH_PROCESS = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def runs_under_way(dagster_home: Path) -> int:
    """Return how many runs have a process now, at most a thousand."""
    os.environ["DAGSTER_HOME"] = str(dagster_home)
    with dg.DagsterInstance.get() as instance:
        return len(instance.get_run_records(dg.RunsFilter(statuses=_WITH_PROCESS), limit=_MAX_RUNS))


def make_storage(dagster_home: Path) -> None:
    """Make the databases of Dagster's storage where there are none, in a folder beside, and move them in whole.

    Dagster makes them in a hundred transactions. Nobody waits for each of these to reach the disk: the files do so
    once, before they are where others look. Another storage that `dagster.yaml` names is opened, and nothing else.
    """
    if any(dagster_home.rglob("*.db")):
        return
    with tempfile.TemporaryDirectory(dir=dagster_home, prefix="new-storage-") as folder, _without_commits_to_disk():
        new = Path(folder)
        shutil.copyfile(dagster_home / "dagster.yaml", new / "dagster.yaml")
        with dg.DagsterInstance.from_config(folder) as instance:
            instance.get_runs(limit=1)
            instance.all_instigator_state()
            instance.get_dynamic_partitions("repositories")
        made = [file for file in new.rglob("*.db") if file.is_file()]
        for file in sorted(made, key=lambda file: len(file.parts), reverse=True):
            place = dagster_home / file.relative_to(new)
            place.parent.mkdir(parents=True, exist_ok=True)
            put_in_place(file, place)


@contextmanager
def _without_commits_to_disk() -> Iterator[None]:
    def no_wait(connection: object, _record: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA synchronous=OFF").close()

    event.listen(Engine, "connect", no_wait)
    try:
        yield
    finally:
        event.remove(Engine, "connect", no_wait)


def fail_dead_runs(dagster_home: Path) -> tuple[str, ...]:
    """Report the runs as failed. Returns their ids. Sensors take up again what they were doing."""
    os.environ["DAGSTER_HOME"] = str(dagster_home)
    failed = []
    with dg.DagsterInstance.get() as instance:
        for run in instance.get_runs(dg.RunsFilter(statuses=_WITH_PROCESS), limit=_MAX_RUNS):
            instance.report_run_failed(run, "the process of this run was stopped from outside")
            failed.append(run.run_id)
    return tuple(failed)
