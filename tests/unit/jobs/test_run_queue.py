"""Dagster's queue lets as many runs start at once as the processors do, whatever has started already."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import dagster as dg
import pytest
from dagster._core.storage.dagster_run import RunRecord

from squire_pipelines.jobs.run_queue import (
    STALLED_S,
    FullQueueFilter,
    ProcessorBoundRunCoordinator,
    bound_on_runs,
    bound_with_reserved,
)
from squire_pipelines.observability.processor_load import usable_processors

NOW = datetime(2026, 3, 1, tzinfo=UTC)
STARTING, STARTED = dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED


def record(status: dg.DagsterRunStatus, *, since_s: float = 1, by_hand: bool = False) -> RunRecord:
    updated = NOW - timedelta(seconds=since_s)
    marks = {"squire/part": "by_hand" if by_hand else "agent_run"}
    run = dg.DagsterRun(job_name="agent_run", run_id=str(uuid4()), status=status, tags=marks)
    return RunRecord(storage_id=1, dagster_run=run, create_timestamp=updated, update_timestamp=updated)


def room(*records: RunRecord, most: int = 1000) -> int:
    """How many more runs may be launched."""
    return bound_on_runs(records, most, now=NOW.timestamp()) - len(records)


def test_one_run_at_least_may_start_and_no_more_than_the_processors_do() -> None:
    assert 1 <= room() <= usable_processors() + 1


def test_runs_that_have_started_take_no_place_of_those_that_start() -> None:
    assert room(*(record(STARTED) for _ in range(50))) >= 1


def test_nothing_is_launched_while_enough_are_starting() -> None:
    assert room(*(record(STARTING) for _ in range(usable_processors() + 1))) <= 0


def test_a_run_whose_process_died_while_it_started_holds_up_none_for_long() -> None:
    dead = [record(STARTING, since_s=STALLED_S) for _ in range(usable_processors() + 1)]
    assert room(*dead) >= 1


def test_the_files_own_bound_holds() -> None:
    assert room(*(record(STARTED) for _ in range(12)), most=12) == 0


@pytest.mark.parametrize(
    ("in_progress", "waiting", "room_left"),
    [
        pytest.param(0, 0, 0, id="agents alone find the file's bound"),
        pytest.param(0, 1, 1, id="what a person launched has a place"),
        pytest.param(0, 9, 2, id="two at once"),
        pytest.param(1, 9, 1, id="one beside another that runs"),
        pytest.param(2, 9, 0, id="a third waits like all others"),
    ],
)
def test_runs_that_people_launch_have_places_that_agents_do_not_take(
    in_progress: int, waiting: int, room_left: int
) -> None:
    records = [*(record(STARTED) for _ in range(12)), *(record(STARTED, by_hand=True) for _ in range(in_progress))]
    bound = bound_with_reserved(records, 12, now=NOW.timestamp(), count_waiting=lambda most: min(most, waiting))
    assert bound - len(records) == room_left


def test_a_run_that_a_person_launched_takes_no_place_of_an_agent() -> None:
    def count(_most: int) -> int:
        raise AssertionError("there is a place: nobody has to be counted")

    records = [*(record(STARTED) for _ in range(11)), *(record(STARTED, by_hand=True) for _ in range(2))]
    assert bound_with_reserved(records, 12, now=NOW.timestamp(), count_waiting=count) - len(records) == 1


def test_a_full_queue_is_said_once_a_minute_and_all_else_always() -> None:
    moments = iter([0.0, 1.0, 59.0, 60.5, 61.0])
    seldom = FullQueueFilter(lambda: next(moments))
    full = "12 runs are currently in progress. Maximum is 12, won't launch more."
    assert [seldom.keeps(full) for _ in range(5)] == [True, False, False, True, False]
    assert seldom.keeps("Launched 3 runs.")


def test_the_shipped_instance_has_it(tmp_path: Path) -> None:
    shutil.copyfile(Path(__file__).parents[3] / "dagster.yaml", tmp_path / "dagster.yaml")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert isinstance(instance.run_coordinator, ProcessorBoundRunCoordinator)
        queue = instance.get_concurrency_config().run_queue_config
        assert queue is not None
        assert 1 <= queue.max_concurrent_runs <= usable_processors() + 1
        assert queue.max_user_code_failure_retries == 5
