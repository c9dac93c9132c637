"""The life of a worker: it says in the ledger that it lives, takes runs, interrupts those that are to stop, and drains.

The runs are processes of their own. They end with the worker, and a worker that was given up by others ends them: what
it still did would be done twice.
"""

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Protocol

from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.errors import LedgerError, StateConflictError
from squire_pipelines.ledger import HEAD_REVISION, worker_runs, workers
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.workers import WorkerRecord
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.sections.workers import WorkerSettings

STOP_GRACE_S = 90.0
"""How long a run that is interrupted has to end by itself: its agent's grace, its words in the ledger."""


class RunProcess(Protocol):
    """The process of a run, as `multiprocessing` has it."""

    @property
    def exitcode(self) -> int | None:
        """The code that it ended with; negative for a signal."""

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end."""

    def terminate(self) -> None:
        """Interrupt it."""

    def kill(self) -> None:
        """End it at once."""


@dataclass(slots=True)
class _TakenRun:
    process: RunProcess
    session: str
    kill_at: float | None = None


class QueueWorker:
    """One worker.

    Args:
        ledger: The system of record.
        record: What it says of itself; each registration has a session of its own.
        settings: How often it beats, and when it counts as lost.
        start_run: Starts the process of a run.
        can_adopt: Returns the attempts whose work this machine still has, as the last look at its engine saw it.
        monotonic: Seconds.
    """

    def __init__(
        self,
        ledger: Ledger,
        record: WorkerRecord,
        settings: WorkerSettings,
        *,
        start_run: Callable[[str], RunProcess],
        can_adopt: Callable[[], Collection[str]] = tuple,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._record = record
        self._settings = settings
        self._start_run = start_run
        self._can_adopt = can_adopt
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._running: dict[str, _TakenRun] = {}
        self._unrecorded: list[tuple[str, str, int | None]] = []
        self._seen = float("-inf")
        self._refusal: str | None = None
        self._log = get_logger(Component.WORKER)
        self.is_draining = False

    @property
    def session(self) -> str:
        """Of the registration that holds."""
        return self._record.session

    @property
    def running(self) -> tuple[str, ...]:
        """The runs that are under way here."""
        with self._lock:
            return tuple(self._running)

    @property
    def refusal(self) -> str | None:
        """Why it takes no work, beside draining."""
        return self._refusal

    def register(self) -> None:
        """Write the worker's row. Raises StateConflictError when its name is taken, LedgerError."""
        self._record = replace(self._record, session=new_trace_id())
        self._refusal = self._find_refusal()
        with self._ledger.write() as tx:
            workers.register(tx, self._record, lost_after_s=self._settings.lost_after_s)
        self._seen = self._monotonic()
        self._log.info("worker registered", worker=self._record.name, queues=list(self._record.queues))

    # ── Runs: a thread waits for the end of one ──────────────────────────────────────────────────────────────────────

    def take(self, run_id: str, queue: str) -> bool:
        """Do a run, and return when it is over. Returns False where another worker may take it in our place."""
        if not self._is_open():
            return False
        session = self.session
        try:
            with self._ledger.write() as tx:
                is_ours = worker_runs.take(tx, run_id, worker=self._record.name, session=session, queue=queue)
        except LedgerError as error:
            self._log.warning("run not taken", run_id=run_id, reason=str(error))
            return False
        if not is_ours:
            self._log.info("message dropped: its run was taken, or stopped, before", run_id=run_id)
            return True
        code: int | None = None
        try:
            process = self._start_run(run_id)
            with self._lock:
                self._running[run_id] = _TakenRun(process, session)
            process.join()
            code = process.exitcode
        except OSError as error:
            self._log.error("run not started", run_id=run_id, reason=str(error))
        finally:
            with self._lock:
                self._running.pop(run_id, None)
            self._record_end(run_id, session, code)
        return True

    def _is_open(self) -> bool:
        """Return whether a run may be taken now. Who has not beaten for long may have been given up."""
        is_late = self._monotonic() - self._seen > self._settings.lost_after_s
        return not (self.is_draining or self._refusal is not None or is_late)

    def _record_end(self, run_id: str, session: str, code: int | None) -> None:
        try:
            with self._ledger.write() as tx:
                worker_runs.end(tx, run_id, session=session, exit_code=code)
        except LedgerError as error:
            self._log.warning("the end of a run is recorded later", run_id=run_id, reason=str(error))
            with self._lock:
                self._unrecorded.append((run_id, session, code))

    # ── The beat, in one thread ──────────────────────────────────────────────────────────────────────────────────────

    def beat(self) -> None:
        """Say that the worker lives, and do what the ledger wants. One that is away is asked again the next time."""
        self._kill_overdue()
        try:
            self._refusal = self._find_refusal()
            with self._ledger.write() as tx:
                asked = workers.beat(
                    tx, self._record.name, self.session, can_adopt=self._can_adopt(), refusal=self._refusal
                )
                to_stop = worker_runs.to_stop(tx, self.session)
                with self._lock:
                    unrecorded = list(self._unrecorded)
                for run_id, session, code in unrecorded:
                    worker_runs.end(tx, run_id, session=session, exit_code=code)
        except StateConflictError as error:
            self._start_anew(str(error))
            return
        except LedgerError as error:
            self._log.warning("the ledger does not answer the worker", reason=str(error))
            return
        self._seen = self._monotonic()
        with self._lock:
            self._unrecorded = [entry for entry in self._unrecorded if entry not in unrecorded]
        for run_id in to_stop:
            self._interrupt(run_id)
        if asked and not self.is_draining:
            self._log.info("worker drains: the ledger says so", worker=self._record.name)
            self.is_draining = True

    def _find_refusal(self) -> str | None:
        return self._ledger.schema().why_unfit(HEAD_REVISION, self._record.version)

    def _start_anew(self, reason: str) -> None:
        """End all runs and register again: others count on it that nothing of the lost session goes on."""
        self._log.error("worker was given up, and ends its runs", worker=self._record.name, reason=reason)
        self.kill_all()
        try:
            self.register()
        except (LedgerError, StateConflictError) as error:
            self._log.error("worker cannot register again", reason=str(error))

    # ── Ends ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def drain(self) -> None:
        """Take no more runs, and have the ledger say so."""
        self.is_draining = True
        try:
            with self._ledger.write() as tx:
                workers.ask_to_drain(tx, self._record.name)
        except LedgerError as error:
            self._log.warning("the ledger does not know that the worker drains", reason=str(error))

    def interrupt_all(self) -> None:
        """Interrupt the runs that are under way, as a person's cancelling does."""
        for run_id in self.running:
            self._interrupt(run_id)

    def kill_all(self) -> None:
        """End the runs that are under way at once."""
        with self._lock:
            taken = list(self._running.values())
        for one in taken:
            one.process.kill()

    def end(self) -> None:
        """Record that the worker has ended."""
        try:
            with self._ledger.write() as tx:
                workers.end(tx, self._record.name, self.session)
        except LedgerError as error:
            self._log.warning("the ledger does not know that the worker has ended", reason=str(error))

    def _interrupt(self, run_id: str) -> None:
        with self._lock:
            one = self._running.get(run_id)
            if one is None or one.kill_at is not None:
                return
            one.kill_at = self._monotonic() + STOP_GRACE_S
        self._log.info("run is interrupted", run_id=run_id)
        one.process.terminate()

    def _kill_overdue(self) -> None:
        with self._lock:
            overdue = [one for one in self._running.values() if one.kill_at and one.kill_at <= self._monotonic()]
        for one in overdue:
            one.process.kill()
