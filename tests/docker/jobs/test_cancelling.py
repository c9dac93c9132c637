"""Attempts whose run is cancelled, stopped or killed: real processes, a real engine, and nothing left behind."""

import io
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import docker
import pytest

from squire_pipelines.agents import engine, profile, reap
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.tasks import AttemptStatus, TaskStatus
from squire_pipelines.ledger import tasks
from squire_pipelines.ledger.attempts import Attempt
from squire_pipelines.sensors.reaper import reaper, recovery
from tests.support.pipeline import LEDGERLIB, Pipeline

pytestmark = pytest.mark.docker
GRACE_S = 3.0
ENDS_AT_ONCE = "squire-test-ends-at-once:latest"


@pytest.fixture
def client() -> Iterator[docker.DockerClient]:
    connected = engine.connect(60)
    yield connected
    connected.close()


@pytest.fixture
def attempt(pipeline: Pipeline, client: docker.DockerClient) -> Iterator[Attempt]:
    """Dispatched; its agent deafens itself to SIGTERM and would work for long."""
    made = dispatched(pipeline, "trap '' TERM; echo at work; sleep 60 & wait; sleep 60")
    yield made
    for container in client.containers.list(all=True, filters={"label": f"{profile.LABEL_TASK}={made.task_id}"}):
        container.remove(force=True)


def dispatched(pipeline: Pipeline, script: str) -> Attempt:
    pipeline.commands = {LEDGERLIB: ("sh", "-c", script)}
    pipeline.configure(f'\n[agent.limits]\ngrace_s = {GRACE_S}\ncpus = 1\n[repository."{LEDGERLIB}".policy]\n')
    text = (pipeline.home / "config.toml").read_text("utf-8").replace('runner = "local"', 'runner = "docker"')
    (pipeline.home / "config.toml").write_text(text, "utf-8")
    return pipeline.attempt()


def works(pipeline: Pipeline, attempt: Attempt) -> bool:
    log = pipeline.home / "attempts" / attempt.id / "agent.log"
    return log.exists() and "at work" in log.read_text("utf-8")


@contextmanager
def at_work(pipeline: Pipeline, attempt: Attempt) -> Iterator["subprocess.Popen[bytes]"]:
    """The attempt's run as a process, once its agent works."""
    with pipeline.agent_run_apart(attempt) as worker:
        deadline = time.monotonic() + 90
        while not works(pipeline, attempt):
            assert time.monotonic() < deadline, "the agent did not start"
            time.sleep(0.05)
        yield worker


def seconds_until_gone(client: docker.DockerClient, attempt: Attempt) -> float:
    began = time.monotonic()
    while reap.find(client, profile.container_name(attempt.id)) is not None:
        assert time.monotonic() - began < 60, "the container is there still"
        time.sleep(0.05)
    return time.monotonic() - began


def test_a_task_that_is_cancelled_loses_its_container_within_the_grace(
    pipeline: Pipeline, client: docker.DockerClient, attempt: Attempt
) -> None:
    with at_work(pipeline, attempt) as worker:
        with pipeline.ledger.write() as tx:
            assert tasks.cancel(tx, attempt.task_id, actor="ann") is TaskStatus.RUNNING
        assert seconds_until_gone(client, attempt) <= GRACE_S + 2
        worker.wait(60)
    ended = pipeline.read_attempt(attempt.id)
    assert (ended.status, ended.cause) == (AttemptStatus.ENDED, Cause.CANCELLED)
    assert pipeline.read_task(attempt.task_id).status is TaskStatus.CANCELLED


def test_a_run_that_is_told_to_stop_cancels_its_attempt_and_the_task_is_tried_again(
    pipeline: Pipeline, client: docker.DockerClient, attempt: Attempt
) -> None:
    with at_work(pipeline, attempt) as worker:
        worker.send_signal(signal.SIGTERM)
        assert seconds_until_gone(client, attempt) <= GRACE_S + 2
        assert worker.wait(60) == 1
    assert (pipeline.home / "child.log").read_text("utf-8").splitlines()[-1] == "FAILURE"
    ended = pipeline.read_attempt(attempt.id)
    assert (ended.status, ended.cause) == (AttemptStatus.ENDED, Cause.CANCELLED)
    assert ended.evidence is not None
    assert ended.evidence.facts == {"asked_for": False}
    assert pipeline.read_task(attempt.task_id).status is TaskStatus.READY


def test_what_still_runs_when_its_run_was_killed_is_adopted_and_ends_as_it_would_have(
    pipeline: Pipeline, client: docker.DockerClient
) -> None:
    attempt = dispatched(pipeline, "echo at work; sleep 6; echo >> NOTES.md; echo done")
    pipeline.kill_agent_run(attempt, lambda: works(pipeline, attempt))
    assert reap.find(client, profile.container_name(attempt.id)) is not None
    tick = pipeline.sensor(reaper)
    (request,) = tick.run_requests
    assert pipeline.sensor(reaper).run_requests[0].run_key == request.run_key  # the key launches it once
    pipeline.request(request)
    ended = pipeline.read_attempt(attempt.id)
    assert (ended.status, ended.cause) == (AttemptStatus.ENDED, Cause.COMPLETED), ended.message
    assert ended.evidence is not None
    assert ended.evidence.facts["adopted"] is True
    assert ended.number == 1
    assert seconds_until_gone(client, attempt) < 1
    assert pipeline.sensor(reaper).run_requests == []


def test_what_nobody_adopts_in_time_is_lost_and_its_container_removed(
    pipeline: Pipeline, client: docker.DockerClient, attempt: Attempt
) -> None:
    pipeline.kill_agent_run(attempt, lambda: works(pipeline, attempt), expired_s=1000)
    assert pipeline.sensor(reaper).run_requests == []
    done = pipeline.tick(recovery).metadata
    assert (done["lost_attempts"], done["containers_removed"]) == (1, 1)
    ended = pipeline.read_attempt(attempt.id)
    assert (ended.status, ended.cause) == (AttemptStatus.ENDED, Cause.LOST)
    assert seconds_until_gone(client, attempt) < 1
    assert pipeline.read_task(attempt.task_id).status is TaskStatus.READY


def test_a_task_that_asks_for_too_much_is_refused_before_it_is_claimed(
    pipeline: Pipeline, client: docker.DockerClient
) -> None:
    pipeline.configure()
    attempt = pipeline.attempt(limits={"memory": 64 * 2**30})
    pipeline.agent_run(attempt, fails=True)
    ended = pipeline.read_attempt(attempt.id)
    assert (ended.cause, ended.claimed_at) == (Cause.NOT_STARTABLE, None)
    assert ended.message is not None
    assert "limits.memory = 68719476736, and may have at most 4294967296" in ended.message
    assert "max_task_limits.memory" in ended.message
    assert reap.find(client, profile.container_name(attempt.id)) is None


def test_an_image_that_ends_before_its_agent_fails_the_run_with_the_reason_and_leaves_no_container(
    pipeline: Pipeline, client: docker.DockerClient
) -> None:
    pipeline.configure(runner="docker")
    text = f'FROM {pipeline.settings.agent.worker_image}\nENTRYPOINT ["false"]\n'
    client.images.build(fileobj=io.BytesIO(text.encode()), tag=ENDS_AT_ONCE, rm=True)
    pipeline.commands = {}
    pipeline.configure(f'[repository."{LEDGERLIB}".agent]\nimage = "{ENDS_AT_ONCE}"\n', runner="docker")
    attempt = pipeline.attempt()
    try:
        run = pipeline.agent_run(attempt, fails=True)
    finally:
        client.images.remove(ENDS_AT_ONCE, force=True)
    ended = pipeline.read_attempt(attempt.id)
    assert (ended.status, ended.cause) == (AttemptStatus.ENDED, Cause.AGENT_ERROR)
    (failure,) = [event.step_failure_data for event in run.all_events if event.is_step_failure]
    assert failure.user_failure_data is not None
    assert f"{ended.cause}: {ended.message}" in str(failure.user_failure_data.description)
    stored = run.dagster_run.run_id
    record = pipeline.instance.get_run_by_id(stored)
    assert record is not None
    assert record.is_failure
    assert reap.find(client, profile.container_name(attempt.id)) is None
