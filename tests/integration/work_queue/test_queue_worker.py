"""A worker's life, with processes that a test ends: what it tells the ledger, and what the ledger tells it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import text

from squire_pipelines.domain.worker_rules import WorkerState
from squire_pipelines.ledger import worker_runs, workers
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.workers import WorkerRecord
from squire_pipelines.sections.workers import WorkerSettings
from squire_pipelines.work_queue.worker import STOP_GRACE_S, QueueWorker
from tests.support.ledgers import Clock


class EndedByTest:
    """A process that runs until somebody ends it."""

    def __init__(self) -> None:
        self.exitcode: int | None = None
        self.signals: list[str] = []
        self.over = threading.Event()

    def end(self, code: int) -> None:
        self.exitcode = code
        self.over.set()

    def join(self, timeout: float | None = None) -> None:
        assert self.over.wait(timeout or 10)

    def terminate(self) -> None:
        self.signals.append("terminate")

    def kill(self) -> None:
        self.signals.append("kill")
        self.end(-9)


class Bench:
    """A worker whose time and processes are the test's."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger, self.now, self.processes = ledger, 0.0, dict[str, EndedByTest]()
        record = WorkerRecord(
            name="w1",
            session="",
            host="h",
            pid=1,
            version="1",
            schema_revision="1",
            queues=("agent",),
            labels=(),
            slots=2,
        )
        self.started = threading.Semaphore(0)
        self.worker = QueueWorker(ledger, record, WorkerSettings(), start_run=self.start, monotonic=lambda: self.now)

    def start(self, run_id: str) -> EndedByTest:
        self.processes[run_id] = EndedByTest()
        self.started.release()
        return self.processes[run_id]

    @contextmanager
    def taken(self, run_id: str) -> Iterator[EndedByTest]:
        """Have the worker do a run in a thread, as the consumer does."""
        thread = threading.Thread(target=self.worker.take, args=(run_id, "agent"))
        thread.start()
        assert self.started.acquire(timeout=10)
        while run_id not in self.worker.running:
            pass
        yield self.processes[run_id]
        thread.join(10)
        assert not thread.is_alive()

    def state(self) -> tuple[WorkerState, int]:
        with self.ledger.read() as tx:
            (worker,) = workers.read_all(tx, lost_after_s=30)
        return worker.state, worker.running

    def run(self, run_id: str) -> worker_runs.WorkerRun:
        with self.ledger.read() as tx:
            run = worker_runs.find(tx, run_id)
        assert run is not None
        return run


@pytest.fixture
def bench(ledger: Ledger) -> Bench:
    bench = Bench(ledger)
    bench.worker.register()
    return bench


def test_a_run_is_done_once_and_its_end_is_recorded(bench: Bench) -> None:
    with bench.taken("run") as process:
        assert bench.state() == (WorkerState.LIVE, 1)
        assert bench.worker.take("run", "agent"), "a message that comes again is dropped"
        process.end(3)
    assert bench.run("run").exit_code == 3
    assert (bench.state()[1], bench.worker.running, len(bench.processes)) == (0, (), 1)


def test_a_run_that_somebody_stops_is_interrupted_once_and_ended_after_a_grace(bench: Bench) -> None:
    with bench.taken("run") as process:
        with bench.ledger.write() as tx:
            worker_runs.request_stop(tx, "run")
        bench.worker.beat()
        bench.worker.beat()
        assert process.signals == ["terminate"]
        bench.now += STOP_GRACE_S
        bench.worker.beat()
    assert process.signals == ["terminate", "kill"]
    assert bench.run("run").exit_code == -9


def test_a_worker_that_was_given_up_ends_its_runs_before_it_goes_on(bench: Bench, clock: Clock) -> None:
    before = bench.worker.session
    with bench.taken("run") as process:
        clock.forward(31)  # the whole worker was paused
        with bench.ledger.write() as tx:
            assert workers.end_lost(tx, lost_after_s=30) == ("w1",)
        bench.worker.beat()
    assert process.signals == ["kill"]
    assert bench.worker.session != before
    assert bench.state() == (WorkerState.LIVE, 0)
    assert bench.run("run").exit_code is None, "it was lost: what came later is not its end"


def test_a_worker_that_cannot_say_that_it_lives_takes_nothing(bench: Bench) -> None:
    bench.now += 31
    assert not bench.worker.take("run", "agent")
    bench.worker.beat()
    with bench.taken("run") as process:
        process.end(0)


def test_a_worker_drains_when_the_ledger_or_a_signal_says_so(bench: Bench) -> None:
    with bench.taken("run") as process:
        with bench.ledger.write() as tx:
            workers.ask_to_drain(tx, "w1")
        bench.worker.beat()
        assert bench.worker.is_draining
        assert not bench.worker.take("another", "agent")
        bench.worker.drain()
        assert bench.state() == (WorkerState.DRAINING, 1)
        bench.worker.interrupt_all()
        process.end(1)
    assert process.signals == ["terminate"]
    bench.worker.end()
    assert bench.state() == (WorkerState.ENDED, 0)


def test_a_worker_of_another_version_refuses_work_and_says_why(bench: Bench) -> None:
    def set_revision(revision: str) -> None:
        with bench.ledger.write() as tx:
            tx.execute(text("UPDATE alembic_version SET version_num = :to"), {"to": revision})

    revision = bench.ledger.revision() or ""
    set_revision("9999")
    try:
        bench.worker.beat()
        assert not bench.worker.take("run", "agent")
        assert bench.state()[0] is WorkerState.REFUSED
        assert bench.worker.refusal == (
            f"the ledger's schema is 9999, and Squire 1 knows {revision}: install the newer Squire here"
        )
    finally:
        set_revision(revision)
    bench.worker.beat()
    assert bench.state()[0] is WorkerState.LIVE
