"""Runs that a killed predecessor left in Dagster's storage: they are said to go on, but their process is gone.

With the default run launcher every run's process belongs to the services of one home. Whoever holds the home's lock and
has ended the leftovers knows that none of them lives.
"""

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from dagster._core.storage.tags import GRPC_INFO_TAG
from sqlalchemy import Engine, event

from squire_pipelines.files import put_in_place
from squire_pipelines.runtime.dagster_home import open_instance
from squire_pipelines.runtime.storage_moves import copy_states, open_files, schema_to_make
from squire_pipelines.settings.model import Settings

_MAX_RUNS = 1000
_WITH_PROCESS = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def runs_under_way(settings: Settings) -> int:
    """Return how many runs have a process now, at most a thousand."""
    with open_instance(settings) as instance:
        return len(instance.get_run_records(dg.RunsFilter(statuses=_WITH_PROCESS), limit=_MAX_RUNS))


def make_storage(settings: Settings) -> None:
    """Make Dagster's storage where there is none, one process of all homes at a time. Another one is only opened.

    Raises:
        NotReachableError: It is on Postgres, which does not answer.
    """
    if (url := settings.dagster_url_in_use) is not None:
        _make_schema(settings, url)
    else:
        _make_files(settings.home.dagster)


def _make_schema(settings: Settings, url: str) -> None:
    """Make the schema and its tables; what goes on from tick to tick comes from the home's files, if there are any."""
    with schema_to_make(url), open_instance(settings) as instance:
        is_new = not instance.all_instigator_state()
        if is_new and (settings.home.dagster / "storage-made").exists():
            with open_files(settings.home.dagster) as files:
                copy_states(files, instance)


def _make_files(dagster_home: Path) -> None:
    """Make the databases in a folder beside, and move them in whole.

    Dagster makes them in a hundred transactions. Nobody waits for each of these to reach the disk: the files do so
    once, before they are where others look.
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


def fail_dead_runs(settings: Settings, *, socket: str = "") -> tuple[str, ...]:
    """Report the runs as failed. Returns their ids. Sensors take up again what they were doing.

    Args:
        settings: Of the home.
        socket: The name of the home's own socket, which its runs bear. Where homes share the storage, those of
            others may well go on.
    """
    if settings.is_shared:
        return ()  # their processes are those of workers, by whose rows in the ledger Dagster knows what became of them
    failed, is_shared = [], settings.dagster_url_in_use is not None
    with open_instance(settings) as instance:
        for run in instance.get_runs(dg.RunsFilter(statuses=_WITH_PROCESS), limit=_MAX_RUNS):
            if is_shared and f"/{socket}" not in run.tags.get(GRPC_INFO_TAG, ""):
                continue
            instance.report_run_failed(run, "the process of this run was stopped from outside")
            failed.append(run.run_id)
    return tuple(failed)
