"""`squire worker` with a real broker and Postgres: a run goes through the queue, and nothing secret does."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import dagster as dg
import pytest
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.launcher import LaunchRunContext, WorkerStatus

from squire_pipelines.definitions import build_defs
from squire_pipelines.jobs.queue_launcher import QueueRunLauncher
from squire_pipelines.ledger import worker_runs, workers
from squire_pipelines.resources.stores import opened_ledger
from squire_pipelines.runtime.dagster_home import instance_environment, open_instance
from squire_pipelines.runtime.recovery import make_storage
from squire_pipelines.settings.model import Settings, load_settings
from squire_pipelines.work_queue.broker import PREFIX, TASK, broker_app, send_run
from tests.support.brokers import PASSWORD, RedisServer
from tests.support.ledgers import PostgresServer

pytestmark = pytest.mark.slow
_WITHIN_S = 60.0


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + _WITHIN_S
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


@pytest.fixture
def settings(redis: RedisServer, postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    redis.kill()
    redis.launch()
    monkeypatch.setenv("SQUIRE_LEDGER_URL", postgres.empty_ledger())
    monkeypatch.setenv("SQUIRE_WORKERS__BROKER_URL", redis.url)
    monkeypatch.setenv("SQUIRE_FILES__URL", f"file://{tmp_path}")
    monkeypatch.setenv("SQUIRE_WORKERS__HEARTBEAT_S", "0.2")
    monkeypatch.setenv("SQUIRE_WORKERS__LOST_AFTER_S", "5")
    monkeypatch.setenv("SQUIRE_BROKER_KEY", PASSWORD)
    settings = load_settings()
    for name, value in instance_environment(settings).items():
        monkeypatch.setenv(name, value)
    make_storage(settings)
    return settings


@pytest.fixture
def worker(settings: Settings, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    assert settings.is_shared  # by variables, which the process inherits
    command = [sys.executable, "-m", "squire_pipelines.cli", "worker", "--name", "w1", "--queue", "keep"]
    with (tmp_path / "worker.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ}, start_new_session=True)
    yield process
    process.kill()
    process.wait(10)
    text = (tmp_path / "worker.log").read_text()
    assert PASSWORD not in text
    assert "Traceback" not in text, text
    assert {line["machine"] for line in map(json.loads, filter(_is_object, text.splitlines()))} == {"w1"}


def _is_object(line: str) -> bool:
    return line.startswith("{")


def test_a_run_goes_through_the_queue_once_and_a_drained_worker_ends(
    settings: Settings, worker: subprocess.Popen[bytes]
) -> None:
    repository = ReconstructableRepository.for_module("squire_pipelines.definitions", "defs", str(Path.cwd()))
    origin = repository.get_reconstructable_job("recover").get_python_origin()
    job = build_defs().resolve_job_def("recover")
    unknown = str(uuid4())
    ledger = opened_ledger(settings.resolved_ledger_url)  # the launcher's

    def read(run_id: str) -> worker_runs.WorkerRun | None:
        with ledger.read() as tx:
            return worker_runs.find(tx, run_id)

    with open_instance(settings) as instance:
        launcher = instance.run_launcher
        assert isinstance(launcher, QueueRunLauncher)
        cancelled, run = (instance.create_run_for_job(job, job_code_origin=origin) for _ in range(2))
        assert launcher.terminate(cancelled.run_id)
        for one in (cancelled, run):
            launcher.launch_run(LaunchRunContext(dagster_run=one, workspace=None))
        send_run(broker_app(settings), run.run_id, queue="keep", priority=1)  # the broker may deliver twice
        # A message of a newer version may say more.
        more: dict[str, object] = {"later": 1}
        broker_app(settings).send_task(TASK, args=[unknown, "later"], kwargs=more, queue=f"{PREFIX}keep")
        wait_until(lambda: (taken := read(run.run_id)) is not None and taken.ended_at is not None)

        def fresh(run: dg.DagsterRun) -> dg.DagsterRun:
            again = instance.get_run_by_id(run.run_id)
            assert again is not None
            return again

        assert fresh(run).status is dg.DagsterRunStatus.SUCCESS
        assert launcher.check_run_worker_health(run).status is WorkerStatus.SUCCESS
        assert fresh(cancelled).status is dg.DagsterRunStatus.CANCELED
        starts = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_START)
        assert len(starts) == 1
        wait_until(lambda: (taken := read(unknown)) is not None and taken.exit_code == 0)
        assert PASSWORD not in "".join(str(event) for event in instance.all_logs(run.run_id))
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0
    with ledger.read() as tx:
        (known,) = workers.read_all(tx, lost_after_s=60)
    assert known.ended_at is not None
    ledger.close()


def test_a_message_of_the_broker_has_the_id_of_a_run_and_nothing_else(settings: Settings) -> None:
    run_id, app = str(uuid4()), broker_app(settings)
    send_run(app, run_id, queue="keep", priority=1)
    with app.connection_for_read() as connection, connection.SimpleQueue(f"{PREFIX}keep") as queue:
        message = queue.get(timeout=10)
        message.ack()
    words, named, options = message.payload
    assert (words, named) == ([run_id], {})
    assert not any(options.values())
    for private in (PASSWORD, settings.resolved_ledger_url, str(settings.home.run)):
        assert private not in f"{message.body!r} {message.headers} {message.properties}"
