"""Dispatching attempts, and reaping those that nobody holds any more."""

import os
import re
import socket
import tempfile
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from squire_pipelines import tags
from squire_pipelines.domain.endings import SETTINGS_MARK, Cause, Ending, Evidence
from squire_pipelines.domain.launching import LaunchStage, ProcessorLoad
from squire_pipelines.domain.looks import KnownRepository, RepositoryState
from squire_pipelines.domain.tasks import AttemptStatus, TaskStatus
from squire_pipelines.execution.recovery import find_abandoned
from squire_pipelines.execution.settings_mark import settings_mark
from squire_pipelines.jobs.recovery import launch_states
from squire_pipelines.ledger import attempts, repositories, tasks
from squire_pipelines.ledger.attempts import Attempt
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.observability.processor_load import usable_processors
from squire_pipelines.sensors import intervals
from squire_pipelines.sensors.dispatch import dispatch
from squire_pipelines.sensors.reaper import reaper, recovery, text_of_loss
from squire_pipelines.settings.model import load_settings
from tests.support.ledgers import TRACE, Clock, add_task, claim, start_attempt
from tests.support.ledgers import dispatch as start
from tests.support.pipeline import ALL, HANDBOOK, LEDGERLIB, QUIET, WEBSHOP, Pipeline


def test_each_ready_task_becomes_one_run_of_its_attempt(quiet_pipeline: Pipeline) -> None:
    task_id = add_task(quiet_pipeline.ledger, repository=LEDGERLIB)
    (request,) = quiet_pipeline.sensor(dispatch).run_requests
    attempt = quiet_pipeline.read_attempt(f"{task_id}-1")
    assert (request.run_key, request.job_name) == (attempt.id, "agent_run")
    assert {name: value for name, value in request.tags.items() if name.startswith("squire/")} == {
        tags.ATTEMPT: attempt.id,
        tags.TASK: task_id,
        tags.REPOSITORY: LEDGERLIB,
        tags.TRACE: attempt.trace_id,
    }


def test_a_request_that_was_lost_is_repeated_with_the_same_key_until_it_is_claimed(quiet_pipeline: Pipeline) -> None:
    add_task(quiet_pipeline.ledger, repository=LEDGERLIB)
    (first,) = quiet_pipeline.sensor(dispatch).run_requests
    (again,) = quiet_pipeline.sensor(dispatch).run_requests
    assert (again.run_key, again.tags) == (first.run_key, first.tags)
    claim(quiet_pipeline.ledger, str(first.run_key))
    tick = quiet_pipeline.sensor(dispatch)
    assert tick.run_requests == []
    assert tick.skip_message == "no task is due, or all slots are taken"


def test_a_full_disk_stops_dispatch_until_there_is_room_again(
    quiet_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id = add_task(quiet_pipeline.ledger, repository=LEDGERLIB)

    def full(path: Path) -> os.statvfs_result:
        status = list(statvfs(path))
        status[4] = 0  # f_bavail
        return os.statvfs_result(status)

    statvfs = os.statvfs
    with monkeypatch.context() as patch:
        patch.setattr(os, "statvfs", full)
        tick = quiet_pipeline.sensor(dispatch)
    assert tick.run_requests == []
    assert "nothing is dispatched: the disk of" in (tick.skip_message or "")
    assert [request.run_key for request in quiet_pipeline.sensor(dispatch).run_requests] == [f"{task_id}-1"]


def test_a_task_that_becomes_ready_during_a_tick_is_dispatched_by_it(
    quiet_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUIRE_DISPATCH__WAIT_S", "30")
    with ThreadPoolExecutor(1) as other:
        tick = other.submit(quiet_pipeline.sensor, dispatch)
        task_id = add_task(quiet_pipeline.ledger, repository=LEDGERLIB)
        assert [request.run_key for request in tick.result(timeout=60).run_requests] == [f"{task_id}-1"]


def test_a_tick_without_news_ends(quiet_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUIRE_DISPATCH__WAIT_S", "0.3")
    assert quiet_pipeline.sensor(dispatch).skip_message == "no task is due, or all slots are taken"


def test_the_limits_hold_over_several_ticks(quiet_pipeline: Pipeline) -> None:
    quiet_pipeline.configure("[dispatch]\nmax_concurrent = 2\nmax_per_repository = 1\n")
    for repository in (LEDGERLIB, LEDGERLIB, HANDBOOK, QUIET):
        add_task(quiet_pipeline.ledger, repository=repository)
    seen = [request.tags[tags.REPOSITORY] for request in quiet_pipeline.sensor(dispatch).run_requests]
    assert seen == [LEDGERLIB, HANDBOOK]
    assert len(quiet_pipeline.sensor(dispatch).run_requests) == 2


def test_a_cap_on_pull_requests_holds_over_ticks_which_say_so(quiet_pipeline: Pipeline) -> None:
    quiet_pipeline.configure("[dispatch]\nmax_per_repository = 5\n")
    for _ in range(3):
        add_task(quiet_pipeline.ledger, repository=LEDGERLIB)
    requests = quiet_pipeline.sensor(dispatch).run_requests
    assert len(requests) == 2
    for request in requests:
        claim(quiet_pipeline.ledger, str(request.run_key))
    message = quiet_pipeline.sensor(dispatch).skip_message or ""
    assert f"{LEDGERLIB}: tasks wait for room for a new pull request of the repository: 0 new in an hour" in message
    assert "2 under way, at most 2 (dispatch.max_new_pull_requests_per_hour)" in message


def test_a_repository_whose_agent_cannot_start_waits_and_the_others_do_not(quiet_pipeline: Pipeline) -> None:
    quiet_pipeline.configure(f'[repository."{HANDBOOK}".agent]\nkind = "opencode"\n')
    waiting = add_task(quiet_pipeline.ledger, repository=HANDBOOK)
    add_task(quiet_pipeline.ledger, repository=QUIET)
    assert [request.tags[tags.REPOSITORY] for request in quiet_pipeline.sensor(dispatch).run_requests] == [QUIET]
    with quiet_pipeline.ledger.read() as tx:
        assert tasks.get(tx, waiting).status is TaskStatus.READY
    claim(quiet_pipeline.ledger, f"{_only_attempt(quiet_pipeline)}")
    message = quiet_pipeline.sensor(dispatch).skip_message
    assert message is not None
    assert HANDBOOK in message
    assert "agent.model is not set" in message


def test_nothing_is_started_in_a_repository_whose_name_another_one_has_now(quiet_pipeline: Pipeline) -> None:
    other = KnownRepository(HANDBOOK, 1, HANDBOOK, RepositoryState.REPLACED, f"{HANDBOOK} is another repository")
    with quiet_pipeline.ledger.write() as tx:
        repositories.record(tx, [other])
    waiting = add_task(quiet_pipeline.ledger, repository=HANDBOOK)
    assert f"{HANDBOOK} is another repository" in (quiet_pipeline.sensor(dispatch).skip_message or "")
    assert quiet_pipeline.read_task(waiting).status is TaskStatus.READY
    with quiet_pipeline.ledger.write() as tx:
        repositories.accept_replaced(tx, [HANDBOOK], actor="cli:ann", trace_id=TRACE)
    assert len(quiet_pipeline.sensor(dispatch).run_requests) == 1


@pytest.mark.slow
def test_a_task_that_waits_for_the_users_change_gets_one_attempt_for_each(
    quiet_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUIRE_MODEL_KEY", "first-" + "k" * 20)
    task_id = add_task(quiet_pipeline.ledger, repository=LEDGERLIB)

    def run_and_end() -> None:
        (request,) = quiet_pipeline.sensor(dispatch).run_requests
        attempt = claim(quiet_pipeline.ledger, str(request.run_key))
        mark = settings_mark(load_settings(), LEDGERLIB)
        evidence = Evidence(facts={SETTINGS_MARK: mark})
        ending = Ending(cause=Cause.CONFIGURATION, message="Set the key.", evidence=evidence)
        with quiet_pipeline.ledger.write() as tx:
            rule = attempts.RetryRule(60, 600)
            attempts.settle(tx, attempt.id, attempt.lease_token or "", ending, retry=rule, actor="run:1")

    run_and_end()
    for _ in range(3):
        tick = quiet_pipeline.sensor(dispatch)
        assert tick.run_requests == []
        assert f"{task_id}: Set the key." in (tick.skip_message or "")
    monkeypatch.setenv("SQUIRE_MODEL_KEY", "second-" + "k" * 20)
    run_and_end()
    assert quiet_pipeline.sensor(dispatch).run_requests == []
    quiet_pipeline.configure("[gateway]\nmodels = ['another']\n")
    assert len(quiet_pipeline.sensor(dispatch).run_requests) == 1
    assert quiet_pipeline.read_task(task_id).attempts == 3


@pytest.mark.slow
@pytest.mark.timeout(20)  # three repositories, each of which would wait for the engine for 10 s
def test_an_engine_that_hangs_holds_up_those_alone_that_need_it(
    quiet_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intervals, "ENGINE_S", 0.5)
    overrides = [
        f'[repository."{name}".agent]\nrunner = "docker"\nlimits.pids = {pids}\n'
        for name, pids in ((HANDBOOK, 301), (QUIET, 302), (WEBSHOP, 303))
    ]
    quiet_pipeline.configure("".join(overrides))
    for name in ALL:
        add_task(quiet_pipeline.ledger, repository=name)
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as silent:
        silent.bind(f"{folder}/engine.sock")
        silent.listen(64)
        monkeypatch.setenv("DOCKER_HOST", f"unix://{folder}/engine.sock")
        (request,) = quiet_pipeline.sensor(dispatch).run_requests
        assert request.tags[tags.REPOSITORY] == LEDGERLIB
        claim(quiet_pipeline.ledger, str(request.run_key))
        for sensor in (reaper, recovery):
            assert quiet_pipeline.sensor(sensor).run_requests == []
        message = quiet_pipeline.sensor(dispatch).skip_message or ""
    assert all(name in message for name in (HANDBOOK, QUIET, WEBSHOP))
    assert "timed out" in message


def _only_attempt(pipeline: Pipeline) -> str:
    with pipeline.ledger.read() as tx:
        (attempt,) = attempts.queued(tx)
    return attempt.id


def an_hour_ago(pipeline: Pipeline) -> Ledger:
    return Ledger(str(pipeline.settings.resolved_ledger_url), clock=Clock(datetime.now(UTC) - timedelta(hours=1)))


def lost_attempt(pipeline: Pipeline, *, run_id: str = "run-1") -> Attempt:
    """An attempt whose lease ran out an hour ago."""
    past = an_hour_ago(pipeline)
    try:
        return start_attempt(past, repository=QUIET, run_id=run_id)
    finally:
        past.close()


@pytest.mark.slow
def test_an_attempt_whose_lease_ran_out_is_lost_and_its_run_fails(quiet_pipeline: Pipeline) -> None:
    attempt = lost_attempt(quiet_pipeline)
    marks = {tags.ATTEMPT: attempt.id}
    run_id = quiet_pipeline.past_run("agent_run", dg.DagsterRunStatus.STARTED, **marks)
    other = quiet_pipeline.past_run("agent_run", dg.DagsterRunStatus.STARTED, **{tags.ATTEMPT: "t0-1"})
    assert quiet_pipeline.sensor(reaper).run_requests == []  # nothing of it is left to go on with
    quiet_pipeline.sensor(recovery)
    assert quiet_pipeline.read_attempt(attempt.id).status is AttemptStatus.RUNNING  # it decides, and settles nothing
    assert quiet_pipeline.tick(recovery).metadata["lost_attempts"] == 1
    row, task = quiet_pipeline.read_attempt(attempt.id), quiet_pipeline.read_task(attempt.task_id)
    assert (row.status, row.cause) == (AttemptStatus.ENDED, Cause.LOST)
    assert row.message == "its run stopped without a word"
    assert task.status is TaskStatus.READY
    assert task.not_before is not None
    assert task.not_before > datetime.now(UTC)
    run = quiet_pipeline.instance.get_run_by_id(run_id)
    assert run is not None
    assert run.status is dg.DagsterRunStatus.FAILURE
    untouched = quiet_pipeline.instance.get_run_by_id(other)
    assert untouched is not None
    assert untouched.status is dg.DagsterRunStatus.STARTED
    assert quiet_pipeline.sensor(recovery).run_requests == []


def test_an_attempt_that_no_run_claimed_in_time_has_not_started_and_is_no_try(quiet_pipeline: Pipeline) -> None:
    past = an_hour_ago(quiet_pipeline)
    task_id = add_task(past, repository=QUIET)
    start(past)
    past.close()
    quiet_pipeline.tick(recovery)
    row = quiet_pipeline.read_attempt(f"{task_id}-1")
    assert row.cause == Cause.NOT_STARTED
    assert re.fullmatch(
        r"its run did not start in time: after 36\d\d s Dagster has no run of it \(\d+\.\d processes for each .*\)",
        row.message or "",
    )
    task = quiet_pipeline.read_task(task_id)
    assert (task.status, task.max_attempts - task.attempts) == (TaskStatus.READY, 3)


def test_an_attempt_whose_run_ended_before_it_claimed_it_waits_for_no_deadline(quiet_pipeline: Pipeline) -> None:
    cut_off = quiet_pipeline.attempt(QUIET)
    quiet_pipeline.past_run("agent_run", dg.DagsterRunStatus.FAILURE, **{tags.ATTEMPT: cut_off.id})
    starting = quiet_pipeline.attempt(QUIET)
    quiet_pipeline.past_run("agent_run", dg.DagsterRunStatus.STARTING, **{tags.ATTEMPT: starting.id})
    requested = quiet_pipeline.attempt(QUIET)
    quiet_pipeline.tick(recovery)
    row = quiet_pipeline.read_attempt(cut_off.id)
    assert (row.status, row.cause) == (AttemptStatus.ENDED, Cause.NOT_STARTED)
    assert (row.message or "").startswith("its run ended before it claimed the attempt")
    assert quiet_pipeline.read_task(cut_off.task_id).status is TaskStatus.READY
    for attempt in (starting, requested):
        assert quiet_pipeline.read_attempt(attempt.id).status is AttemptStatus.QUEUED


def test_a_run_that_waits_in_dagsters_queue_is_waited_for(quiet_pipeline: Pipeline) -> None:
    past = Ledger(
        str(quiet_pipeline.settings.resolved_ledger_url), clock=Clock(datetime.now(UTC) - timedelta(minutes=25))
    )
    task_ids = [add_task(past, repository=QUIET) for _ in range(2)]
    start(past)
    past.close()
    ids = [f"{task_id}-1" for task_id in task_ids]
    for attempt_id, status in zip(ids, (dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING), strict=True):
        quiet_pipeline.past_run("agent_run", status, **{tags.ATTEMPT: attempt_id})
    state = launch_states(quiet_pipeline.instance)
    assert [state(attempt_id).stage for attempt_id in ids] == [LaunchStage.WAITING, LaunchStage.STARTING]
    quiet = ProcessorLoad(2, 0.1)
    abandoned = find_abandoned(quiet_pipeline.ledger, quiet_pipeline.settings, {}, state, load=quiet)
    assert [item.attempt.id for item in abandoned] == ids[1:]
    assert "its run's process is still starting (0.1 processes for each processor" in abandoned[0].reason
    # A machine on which ten processes want each processor is given ten times as long.
    busy = ProcessorLoad(2, 20.0)
    assert find_abandoned(quiet_pipeline.ledger, quiet_pipeline.settings, {}, state, load=busy) == ()


def test_no_more_attempts_are_dispatched_than_the_processors_can_start(
    quiet_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUIRE_DISPATCH__BY_LOAD", "true")
    quiet_pipeline.configure(
        "[dispatch]\nmax_concurrent = 500\nmax_per_repository = 100\nmax_new_pull_requests_per_hour = 1000\n"
        "max_open_pull_requests = 1000\n"
    )
    most = 2 * (usable_processors() + 1)
    for _ in range(most + 5):
        add_task(quiet_pipeline.ledger, repository=LEDGERLIB)
    first = quiet_pipeline.sensor(dispatch).run_requests
    assert 2 <= len(first) <= most
    assert len(quiet_pipeline.sensor(dispatch).run_requests) <= most
    for request in first:
        claim(quiet_pipeline.ledger, str(request.run_key))
    assert 2 <= len(quiet_pipeline.sensor(dispatch).run_requests) <= most


def test_an_attempt_that_is_held_is_left_alone(quiet_pipeline: Pipeline) -> None:
    attempt = start_attempt(quiet_pipeline.ledger, repository=QUIET)
    quiet_pipeline.tick(recovery)
    assert quiet_pipeline.read_attempt(attempt.id).status is AttemptStatus.RUNNING


def test_a_run_that_has_ended_already_stays_as_it_ended(quiet_pipeline: Pipeline) -> None:
    attempt = lost_attempt(quiet_pipeline)
    run_id = quiet_pipeline.past_run("agent_run", dg.DagsterRunStatus.STARTED, **{tags.ATTEMPT: attempt.id})
    run = quiet_pipeline.instance.get_run_by_id(run_id)
    assert run is not None
    quiet_pipeline.instance.report_run_canceled(run)
    quiet_pipeline.tick(recovery)
    after = quiet_pipeline.instance.get_run_by_id(run_id)
    assert after is not None
    assert after.status is dg.DagsterRunStatus.CANCELED


@pytest.mark.parametrize(
    ("lost", "leftovers", "text"),
    [
        ((), 0, ""),
        (("a1", "a2"), 0, "lost attempts: 2 (a1, a2)"),
        ((), 3, "containers that are left over: 3"),
        (("a1",), 1, "lost attempts: 1 (a1), containers that are left over: 1"),
    ],
)
def test_recovery_warns_of_what_is_lost_and_of_nothing_else(lost: tuple[str, ...], leftovers: int, text: str) -> None:
    assert text_of_loss(lost, leftovers) == text
