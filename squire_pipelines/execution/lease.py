"""The lease on an attempt: which run may work on it, and what becomes of an error or an interruption.

A step does not fail by itself: it stages how the attempt ended, and the last step records it. Only when the attempt
belongs to another run does a step raise.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pydantic import JsonValue

from squire_pipelines.domain.endings import Cause, Ending, Evidence
from squire_pipelines.domain.launching import handover_s
from squire_pipelines.errors import LeaseLostError, LedgerError, StateConflictError
from squire_pipelines.execution.ending import ending_of, retry_rule
from squire_pipelines.execution.repository_settings import settings_in
from squire_pipelines.ledger import adoption, attempts, tasks
from squire_pipelines.ledger.attempts import Attempt, AttemptFacts
from squire_pipelines.ledger.audit import record_audit
from squire_pipelines.ledger.heartbeat import Heartbeat
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.ledger.tasks import Task
from squire_pipelines.observability.logging import bound_context
from squire_pipelines.observability.processor_load import read_load
from squire_pipelines.observability.run_log import RunLog
from squire_pipelines.sections.agents import AgentSettings
from squire_pipelines.settings.model import Settings
from squire_pipelines.settings.providers import ModelProvider


@dataclass(frozen=True, slots=True)
class AttemptRun:
    """The run that works on an attempt.

    Args:
        attempt_id: The attempt.
        run_id: The run.
        adopts: Whether the run takes the attempt over from a run that died.
        was_cancelled: Whether somebody cancelled the run, asked when the run is interrupted.
        log: Where the run's messages go.
        worker: The worker whose process the run is; None on one machine.
    """

    attempt_id: str
    run_id: str
    adopts: bool
    was_cancelled: Callable[[], bool]
    log: RunLog
    worker: str | None = None


@dataclass(frozen=True, slots=True)
class LeasedAttempt:
    """An attempt that this run works on, with its task and the heartbeat that keeps the lease.

    `settings` are those that hold in its repository, see `execution.repository_settings`.
    """

    attempt: Attempt
    task: Task
    token: str
    ledger: Ledger
    settings: Settings
    heartbeat: Heartbeat

    @property
    def agent(self) -> AgentSettings:
        """The settings of the attempt's agent. Raises ConfigError when they have no such agent any more."""
        return self.settings.agent_for(self.task.repository, self.attempt.choice)

    @property
    def provider(self) -> ModelProvider:
        """The provider of its model. Raises ConfigError, likewise."""
        return self.settings.agent_provider(self.task.repository, self.attempt.choice)

    def go_on(self) -> bool:
        """Return whether the agent may go on; False asks to cancel it. Raises LeaseLostError."""
        if self.heartbeat.lost.is_set():
            raise LeaseLostError(
                f"the lease of attempt {self.attempt.id} is lost",
                hint="the reaper ended the attempt, or another run goes on with it",
            ) from self.heartbeat.last_error
        return not (self.heartbeat.cancel_requested.is_set() or self._is_cancelled())

    def _is_cancelled(self) -> bool:
        """Ask more often than the lease is prolonged, so that a person who cancels does not wait for that."""
        try:
            with self.ledger.read() as tx:
                return tasks.get(tx, self.task.id).cancel_requested_at is not None
        except LedgerError:
            return False  # the heartbeat decides whether the ledger was away for too long

    def note(self, facts: AttemptFacts, action: str = "", **detail: JsonValue) -> None:
        """Write facts about the attempt, and what was done as a row of the audit trail. Raises LeaseLostError."""
        with self.ledger.write() as tx:
            attempts.note(tx, self.attempt.id, self.token, facts)
            if action:
                self.audit(tx, action, **detail)

    def audit(self, tx: Transaction, action: str, **detail: JsonValue) -> None:
        """Record in the audit trail what was done for the attempt."""
        record_audit(
            tx,
            actor=f"run:{self.attempt.run_id}",
            action=action,
            subject=self.attempt.id,
            trace_id=self.attempt.trace_id,
            detail={"repository": self.task.repository, **detail},
        )

    def stage(self, ending: Ending) -> None:
        """Store how the attempt ended, for the last step to record. Raises LeaseLostError."""
        with self.ledger.write() as tx:
            attempts.stage_ending(tx, self.attempt.id, self.token, ending)


@contextlib.contextmanager
def lease(
    ledger: Ledger, settings: Settings, run: AttemptRun, *, claim: bool = False
) -> Iterator[LeasedAttempt | None]:
    """Work on the run's attempt; None when nothing is left to do for it.

    An error of the block becomes the attempt's staged ending. When the run itself is interrupted, no later step will
    run: the attempt is settled here and the interruption goes on.

    Args:
        ledger: The system of record.
        settings: Say how long a lease lasts and how attempts are tried again.
        run: The run that works on the attempt.
        claim: Whether to take a queued attempt; otherwise it must be the run's already.

    Raises:
        LeaseLostError: The lease is another run's. The next step must not run either: it would find the attempt's row
            as the new run keeps it.
    """
    try:
        leased = _acquire(ledger, settings, run, claim=claim)
    except StateConflictError as error:
        run.log.warning(str(error))
        leased = None
    if leased is None:
        yield None
        return
    try:
        with _log_context(leased), leased.heartbeat:
            yield leased
    except LeaseLostError:
        raise
    except Exception as error:  # every failure becomes an ending with its cause
        run.log.exception("attempt %s was interrupted", run.attempt_id)
        leased.stage(ending_of(error))
    except GeneratorExit:
        raise
    except BaseException:  # settled and raised again: the run is being stopped
        # By a signal, an exit, or Dagster's interruption (which derives from BaseException).
        _settle_interrupted(leased, run)
        raise


def _log_context(leased: LeasedAttempt) -> contextlib.AbstractContextManager[None]:
    return bound_context(
        trace_id=leased.attempt.trace_id,
        task_id=leased.task.id,
        attempt_id=leased.attempt.id,
        repository=leased.task.repository,
    )


def _acquire(ledger: Ledger, settings: Settings, run: AttemptRun, *, claim: bool) -> LeasedAttempt | None:
    with ledger.write() as tx:
        attempt = attempts.get(tx, run.attempt_id)
        if claim:
            attempt = _claim(tx, run, attempt, settings.dispatch.lease_s)
        token = attempt.lease_token
        if attempt.run_id != run.run_id or token is None or attempt.staged_ending is not None:
            return None
        task = tasks.get(tx, attempt.task_id)
    lease_s = settings.dispatch.lease_s
    heartbeat = Heartbeat(ledger, run.attempt_id, token, lease_s=lease_s, handover_s=handover_s(lease_s, read_load()))
    own = settings_in(ledger, settings, task.repository)
    return LeasedAttempt(attempt, task, token, ledger, own, heartbeat)


def _claim(tx: Transaction, run: AttemptRun, attempt: Attempt, lease_s: float) -> Attempt:
    take = adoption.adopt if run.adopts and attempt.run_id != run.run_id else attempts.claim
    return take(tx, run.attempt_id, run_id=run.run_id, lease_s=lease_s, worker=run.worker)


def _settle_interrupted(leased: LeasedAttempt, run: AttemptRun) -> None:
    """Settle an attempt whose run is being stopped, as cancelled.

    When a person asked for it, so is the task. When only the process was told to stop (a host that shuts down, a
    SIGTERM to the run's process), nobody wanted the work to end: the task gets another attempt, while tries are left.
    """
    asked = leased.heartbeat.cancel_requested.is_set() or run.was_cancelled()
    message = "the run was cancelled" if asked else "the run's process was told to stop; the task is tried again"
    ending = Ending(
        cause=Cause.CANCELLED, message=message, evidence=Evidence(killed_by_us=True, facts={"asked_for": asked})
    )
    try:
        with leased.ledger.write() as tx:
            attempts.settle(
                tx,
                leased.attempt.id,
                leased.token,
                ending,
                retry=retry_rule(leased.settings, leased.task.repository),
                actor=f"run:{run.run_id}",
                again=not asked,
            )
    except (LeaseLostError, StateConflictError) as error:
        run.log.warning(str(error))
