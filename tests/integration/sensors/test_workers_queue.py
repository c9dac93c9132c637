"""Dispatch and adoption where workers on several machines take runs: queues, labels, and whose engine has what."""

import pytest

from squire_pipelines.ledger import attempts, workers
from squire_pipelines.ledger.workers import WorkerRecord
from squire_pipelines.sensors import queue_tags
from squire_pipelines.sensors.dispatch import dispatch
from squire_pipelines.sensors.reaper import reaper
from tests.support.brokers import PASSWORD, RedisServer
from tests.support.ledgers import add_task
from tests.support.pipeline import HANDBOOK, QUIET, Pipeline

QUEUE, PRIORITY = "dagster-celery/queue", "dagster-celery/run_priority"


@pytest.fixture
def shared(quiet_pipeline: Pipeline, redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    if redis.process is None:
        redis.launch()
    monkeypatch.setenv("SQUIRE_WORKERS__BROKER_URL", redis.url)
    monkeypatch.setenv("SQUIRE_BROKER_KEY", PASSWORD)
    monkeypatch.setattr(queue_tags, "watches", {})
    return quiet_pipeline


def start_worker(pipeline: Pipeline, name: str, *queues: str, can_adopt: tuple[str, ...] = (), slots: int = 2) -> None:
    record = WorkerRecord(
        name=name,
        session=name,
        host=name,
        pid=1,
        version="1",
        schema_revision="1",
        queues=queues,
        labels=(),
        slots=slots,
    )
    with pipeline.ledger.write() as tx:
        workers.register(tx, record, lost_after_s=30)
        workers.beat(tx, name, name, can_adopt=can_adopt)


def tags_of_dispatched(pipeline: Pipeline) -> dict[str, tuple[str, str]]:
    requests = pipeline.sensor(dispatch).run_requests
    return {request.run_key.rpartition("-")[0]: (request.tags[QUEUE], request.tags[PRIORITY]) for request in requests}


def test_a_task_waits_with_its_reason_until_a_worker_has_the_label_and_a_place(shared: Pipeline) -> None:
    shared.configure(f'[repository."{HANDBOOK}".agent]\nworker_labels = ["gpu"]\n')
    plain, labelled = add_task(shared.ledger, repository=QUIET), add_task(shared.ledger, repository=HANDBOOK)
    tick = shared.sensor(dispatch)
    assert tick.run_requests == []
    assert f"{QUIET}: no live worker serves the queue agent" in (tick.skip_message or "")
    start_worker(shared, "w1", "agent")
    priority = str(shared.read_task(plain).priority)
    assert tags_of_dispatched(shared) == {plain: ("agent", priority)}
    start_worker(shared, "w2", "agent", "agent+gpu", slots=0)
    assert labelled not in tags_of_dispatched(shared), "all places there are taken"
    start_worker(shared, "w2", "agent", "agent+gpu")
    assert tags_of_dispatched(shared)[labelled] == ("agent+gpu", priority)


def test_nothing_is_dispatched_while_the_broker_takes_nothing(
    shared: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_worker(shared, "w1", "agent")
    task_id = add_task(shared.ledger, repository=QUIET)
    monkeypatch.setenv("SQUIRE_BROKER_KEY", "another")
    message = shared.sensor(dispatch).skip_message or ""
    assert message.startswith("nothing is dispatched: the broker redis://127.0.0.1")
    assert "another" not in message
    monkeypatch.setenv("SQUIRE_BROKER_KEY", PASSWORD)
    monkeypatch.setattr(queue_tags, "watches", {})
    assert list(tags_of_dispatched(shared)) == [task_id]


def test_an_attempt_is_adopted_by_the_worker_whose_engine_has_its_container(shared: Pipeline) -> None:
    attempt = shared.attempt(QUIET)
    with shared.ledger.write() as tx:
        claimed = attempts.claim(tx, attempt.id, run_id="run-1", lease_s=60, worker="w1")
    assert claimed.worker == "w1"
    shared.expire_lease(attempt)
    assert shared.sensor(reaper).run_requests == [], "nobody has it"
    start_worker(shared, "w1", "agent", can_adopt=(attempt.id,))
    (request,) = shared.sensor(reaper).run_requests
    assert request.tags[QUEUE] == "worker.w1"
    with shared.ledger.write() as tx:
        workers.end(tx, "w1", "w1")
    assert shared.sensor(reaper).run_requests == [], "its machine is gone"
