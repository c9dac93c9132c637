"""Workers and their runs in the ledger: whoever looks sees the same, whatever the broker delivers."""

from datetime import timedelta

import pytest

from squire_pipelines.domain.worker_rules import WorkerState
from squire_pipelines.errors import StateConflictError
from squire_pipelines.ledger import worker_runs, workers
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.workers import Worker, WorkerRecord
from tests.support.ledgers import Clock

LOST_S = 30.0


def record(name: str = "w1", session: str = "s1", host: str = "host-1", slots: int = 2) -> WorkerRecord:
    return WorkerRecord(
        name=name,
        session=session,
        host=host,
        pid=1,
        version="1",
        schema_revision="0042",
        queues=("agent",),
        labels=(),
        slots=slots,
    )


def register(ledger: Ledger, *records: WorkerRecord) -> None:
    with ledger.write() as tx:
        for one in records:
            workers.register(tx, one, lost_after_s=LOST_S)


def take(ledger: Ledger, run_id: str, worker: str = "w1", session: str = "s1") -> bool:
    with ledger.write() as tx:
        return worker_runs.take(tx, run_id, worker=worker, session=session, queue="agent")


def read(ledger: Ledger) -> dict[str, Worker]:
    with ledger.read() as tx:
        return {worker.name: worker for worker in workers.read_all(tx, lost_after_s=LOST_S)}


def test_a_run_that_is_delivered_twice_is_taken_once(ledger: Ledger) -> None:
    register(ledger, record(), record("w2", "s2"))
    assert take(ledger, "run")
    assert not take(ledger, "run")
    assert not take(ledger, "run", "w2", "s2")
    assert (read(ledger)["w1"].running, read(ledger)["w1"].places.free) == (1, 1)
    with ledger.write() as tx:
        worker_runs.end(tx, "run", session="s1", exit_code=0)
        assert worker_runs.untaken(tx, ["run", "other"]) == {"other"}
    assert not take(ledger, "run"), "a run that is over is not taken again"
    assert read(ledger)["w1"].places.free == 2


def test_a_worker_that_was_not_seen_is_lost_with_its_runs_and_takes_no_more(ledger: Ledger, clock: Clock) -> None:
    register(ledger, record())
    assert take(ledger, "run")
    clock.forward(LOST_S + 1)
    assert read(ledger)["w1"].state is WorkerState.LOST
    assert read(ledger)["w1"].places.free == 0
    with ledger.write() as tx:
        assert workers.end_lost(tx, lost_after_s=LOST_S) == ("w1",)
        run = worker_runs.find(tx, "run")
        assert workers.end_lost(tx, lost_after_s=LOST_S) == ()
    assert run is not None
    assert (run.ended_at, run.exit_code) == (clock.now, None)
    assert read(ledger)["w1"].state is WorkerState.LOST
    # It was only paused, and goes on.
    assert not take(ledger, "another")
    with ledger.write() as tx, pytest.raises(StateConflictError, match="given up"):
        workers.beat(tx, "w1", "s1")
    register(ledger, record(session="s2"))
    assert read(ledger)["w1"].state is WorkerState.LIVE
    assert take(ledger, "another", session="s2")


def test_the_runs_of_an_earlier_start_are_over_when_a_worker_starts_again(ledger: Ledger) -> None:
    register(ledger, record())
    take(ledger, "run")
    register(ledger, record(session="s2"))
    with ledger.read() as tx:
        run = worker_runs.find(tx, "run")
    assert run is not None
    assert run.ended_at is not None


def test_two_machines_do_not_share_a_name(ledger: Ledger, clock: Clock) -> None:
    register(ledger, record())
    with pytest.raises(StateConflictError, match="host-1"):
        register(ledger, record(session="s2", host="host-2"))
    clock.forward(LOST_S + 1)
    register(ledger, record(session="s2", host="host-2"))


def test_a_beat_says_what_is_there_and_hears_that_it_is_to_drain(ledger: Ledger, clock: Clock) -> None:
    register(ledger, record())
    clock.forward(20)
    with ledger.write() as tx:
        assert not workers.beat(tx, "w1", "s1", can_adopt={"a2", "a1"}, refusal="the ledger's schema is newer")
    worker = read(ledger)["w1"]
    assert (set(worker.can_adopt), worker.state, worker.places.free) == ({"a1", "a2"}, WorkerState.REFUSED, 0)
    with ledger.write() as tx:
        assert workers.ask_to_drain(tx, "w1")
        assert not workers.ask_to_drain(tx, "nobody")
        assert workers.beat(tx, "w1", "s1")
    assert read(ledger)["w1"].state is WorkerState.DRAINING
    with ledger.write() as tx:
        workers.end(tx, "w1", "s1")
        assert not workers.ask_to_drain(tx, "w1")
    assert read(ledger)["w1"].state is WorkerState.ENDED


def test_a_stop_is_a_row_that_the_worker_reads_or_that_keeps_others_from_taking_the_run(ledger: Ledger) -> None:
    register(ledger, record())
    take(ledger, "run")
    with ledger.write() as tx:
        assert worker_runs.to_stop(tx, "s1") == ()
        assert worker_runs.request_stop(tx, "run")
        assert worker_runs.to_stop(tx, "s1") == ("run",)
        assert worker_runs.request_stop(tx, "waiting")
        worker_runs.end(tx, "run", session="s1", exit_code=1)
        assert worker_runs.to_stop(tx, "s1") == ()
        assert not worker_runs.request_stop(tx, "run")
    assert not take(ledger, "waiting")


def test_what_is_long_over_is_forgotten(ledger: Ledger, clock: Clock) -> None:
    register(ledger, record(), record("w2", "s2"))
    take(ledger, "run")
    with ledger.write() as tx:
        workers.end(tx, "w1", "s1")
    clock.forward(timedelta(days=8).total_seconds())
    with ledger.write() as tx:
        workers.beat(tx, "w2", "s2")
        assert workers.forget(tx) == 2
    assert list(read(ledger)) == ["w2"]
