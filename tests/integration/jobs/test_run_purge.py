"""Dagster's runs are deleted after their time, with all that they left, and none that is needed."""

import shutil
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from squire_pipelines import tags
from squire_pipelines.domain.run_retention import RunRetention
from squire_pipelines.jobs.run_purge import delete_run, missing_runs, purge_runs, runs_of_newest_assets
from squire_pipelines.upkeep import dagster_files
from squire_pipelines.upkeep.dagster_files import DagsterFiles
from tests.support.sqlite_files import count_rows

PLACES = dg.StaticPartitionsDefinition(["north", "south"])
DAY = timedelta(days=1)
RETENTION = RunRetention(attempts=7 * DAY, routine=DAY, failed=30 * DAY, most=100)


@dg.asset(partitions_def=PLACES, check_specs=[dg.AssetCheckSpec("sound", asset="reading")])
def reading(context: dg.AssetExecutionContext) -> Iterator[object]:
    print("read")  # noqa: T201 - the output that is kept with the run
    yield dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=True)])
    if context.run.tags.get("fails"):
        raise dg.Failure("it does")


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A DAGSTER_HOME with some runs, and their ids by what they are."""
    home = tmp_path_factory.mktemp("used")
    shutil.copyfile(Path(__file__).parents[3] / "dagster.yaml", home / "dagster.yaml")
    runs = {}
    with dg.DagsterInstance.from_config(str(home)) as instance:
        for name, place, options in (
            ("north, first", "north", {}),
            ("north, again", "north", {}),
            ("south", "south", {}),
            ("failed", "north", {"fails": "yes"}),
            ("north, newest", "north", {}),
        ):
            done = dg.materialize([reading], instance=instance, partition_key=place, tags=options, raise_on_error=False)
            runs[name] = done.run_id
            assert done.success is (name != "failed")
        for name, status, attempt in (
            ("under way", dg.DagsterRunStatus.STARTED, "a-1"),
            ("attempt that has ended", dg.DagsterRunStatus.SUCCESS, "a-2"),
            ("attempt under way", dg.DagsterRunStatus.FAILURE, "a-3"),
        ):
            run = create_run_for_test(instance, job_name="agent_run", status=status, tags={tags.ATTEMPT: attempt})
            runs[name] = run.run_id
    return home, runs


@pytest.fixture
def home(used: tuple[Path, dict[str, str]], tmp_path: Path) -> Path:
    return shutil.copytree(used[0], tmp_path / "dagster")


@pytest.fixture
def runs(used: tuple[Path, dict[str, str]]) -> dict[str, str]:
    return used[1]


@pytest.fixture
def instance(home: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(str(home)) as opened:
        yield opened


def purge(
    instance: dg.DagsterInstance, *, days: float, most: int = 100, kept: int = 100, seconds: float = 60
) -> tuple[int, int, bool]:
    """Purge as it would be done after some days; return how many were deleted, kept for assets, and if more is due."""
    purged = purge_runs(
        instance,
        RunRetention(RETENTION.attempts, RETENTION.routine, RETENTION.failed, most=kept),
        now=datetime.now(UTC) + days * DAY,
        in_use={"a-3"},
        most=most,
        seconds=seconds,
        monotonic=iter(float(number) for number in range(1000)).__next__,
    )
    assert not {run.run_id for run in instance.get_runs()}.intersection(purged.deleted)
    return len(purged.deleted), purged.kept_for_assets, purged.more


def left(instance: dg.DagsterInstance, runs: dict[str, str]) -> set[str]:
    known = {run.run_id for run in instance.get_runs()}
    return {name for name, run_id in runs.items() if run_id in known}


def test_each_run_goes_when_its_time_is_over(instance: dg.DagsterInstance, runs: dict[str, str]) -> None:
    assert purge(instance, days=0.5) == (0, 0, False)
    assert purge(instance, days=2) == (2, 2, False)
    young = {"south", "north, newest", "failed", "under way", "attempt that has ended", "attempt under way"}
    assert left(instance, runs) == young
    assert purge(instance, days=8)[0] == 1
    assert left(instance, runs) == young - {"attempt that has ended"}
    assert purge(instance, days=40)[0] == 1
    assert left(instance, runs) == {"south", "north, newest", "under way", "attempt under way"}
    assert purge(instance, days=4000)[0] == 0


def test_what_is_newest_of_each_partition_stays_materialized(
    instance: dg.DagsterInstance, runs: dict[str, str]
) -> None:
    assert runs_of_newest_assets(instance) == {runs["south"], runs["north, newest"]}
    purge(instance, days=4000)
    assert instance.get_materialized_partitions(reading.key) == {"north", "south"}


def test_the_oldest_go_first_where_there_are_more_than_may_be(
    instance: dg.DagsterInstance, runs: dict[str, str]
) -> None:
    assert purge(instance, days=0, kept=5) == (2, 0, False)
    assert left(instance, runs) == runs.keys() - {"north, first", "north, again"}


def test_its_bounds_end_a_purge_and_the_next_one_goes_on(instance: dg.DagsterInstance) -> None:
    assert purge(instance, days=40, most=1) == (1, 0, True)
    assert purge(instance, days=40, seconds=2) == (1, 2, True)
    assert purge(instance, days=40, seconds=0) == (0, 2, True)
    assert purge(instance, days=40) == (2, 2, False)


def test_nothing_of_a_deleted_run_is_left(instance: dg.DagsterInstance, home: Path, runs: dict[str, str]) -> None:
    files, gone = DagsterFiles(home), runs["north, first"]
    assert any((files.output / gone).rglob("*.out"))
    delete_run(instance, gone)
    later = datetime.now(UTC) + DAY
    leftovers = dagster_files.leftover_runs(files, before=later)
    assert leftovers >= set(runs.values()) - {runs["under way"]} - {
        run_id for name, run_id in runs.items() if name.startswith("attempt")
    }
    assert missing_runs(instance, leftovers) == [gone]
    assert dagster_files.leftover_runs(files, before=datetime.now(UTC) - DAY) == set()
    assert dagster_files.remove_files_of_runs(files, [gone]) == 1
    assert not list(files.events.glob(f"{gone}*"))
    assert not (files.output / gone).exists()
    deleted = dagster_files.delete_rows_of_nobody(files, before=later)
    assert deleted == {"asset_check_executions": 1, "event_logs": 0}
    for database in (files.runs, files.index):
        with sqlite3.connect(database) as connection:
            assert gone not in "\n".join(connection.iterdump())


def test_the_purge_of_a_run_that_was_killed_midway_is_completed(
    instance: dg.DagsterInstance, home: Path, runs: dict[str, str]
) -> None:
    files, half = DagsterFiles(home), runs["north, first"]
    with sqlite3.connect(files.runs) as connection:  # the run has gone, and nothing else yet
        connection.execute("DELETE FROM runs WHERE run_id = ?", [half])
    leftovers = dagster_files.leftover_runs(files, before=datetime.now(UTC) + DAY)
    assert missing_runs(instance, leftovers) == [half]
    delete_run(instance, half)
    dagster_files.remove_files_of_runs(files, [half])
    assert count_rows(files.index, "event_logs", f"run_id = '{half}'") == 0
    assert not list(files.events.glob(f"{half}*"))
