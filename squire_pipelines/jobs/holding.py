"""Holding an attempt while an op works on it: its lease, its token, and turning what goes wrong into an ending.

An op of `agent_run` does not fail by itself: it stages how the attempt ended; `settle` runs and records it. Only when
the attempt has become another's does an op fail, and with it the run.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import dagster as dg

from squire_pipelines import tags
from squire_pipelines.domain.endings import Cause, Ending, Evidence
from squire_pipelines.errors import LeaseLostError, LedgerError, StateConflictError
from squire_pipelines.execution.failures import ending_of
from squire_pipelines.ledger import adoption, attempts, tasks
from squire_pipelines.ledger.attempts import Attempt, RetryRule
from squire_pipelines.ledger.heartbeat import Heartbeat
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.ledger.tasks import Task
from squire_pipelines.settings import Settings


@dataclass(frozen=True, slots=True)
class LeasedAttempt:
    """An attempt that this run holds, with its task and the heartbeat that keeps the lease."""

    attempt: Attempt
    task: Task
    token: str
    ledger: Ledger
    settings: Settings
    heartbeat: Heartbeat

    def go_on(self) -> bool:
        """Whether the agent may go on; False asks to cancel it. Raises LeaseLostError: it is another's now."""
        if self.heartbeat.lost.is_set():
            message = f"the lease of attempt {self.attempt.id} is lost"
            raise LeaseLostError(message, hint="the reaper ended it, or another run goes on with it")
        return not (self.heartbeat.cancel_requested.is_set() or self._is_cancelled())

    def _is_cancelled(self) -> bool:
        """Asked more often than the lease is prolonged, so that a person who cancels does not wait for that."""
        try:
            with self.ledger.read() as tx:
                return tasks.get(tx, self.task.id).cancel_requested_at is not None
        except LedgerError:
            return False  # whether the ledger was away for too long is for the heartbeat to say

    def note(self, **columns: object) -> None:
        """Write facts about the attempt. Raises LeaseLostError."""
        with self.ledger.write() as tx:
            attempts.note(tx, self.attempt.id, self.token, **columns)

    def stage(self, ending: Ending) -> None:
        """Say how the attempt ended; `settle` records it. Raises LeaseLostError."""
        with self.ledger.write() as tx:
            attempts.stage_ending(tx, self.attempt.id, self.token, ending)


def attempt_of(context: dg.OpExecutionContext) -> str:
    """The attempt that this run is for. Raises Failure for a run that nobody dispatched."""
    try:
        return context.run.tags[tags.ATTEMPT]
    except KeyError as error:
        raise dg.Failure(
            "this run is for no attempt: agent_run is launched by the dispatch sensor",
            metadata={"next_step": "approve or retry the task: squire tasks approve ID, squire tasks retry ID"},
            allow_retries=False,
        ) from error


@contextlib.contextmanager
def holding(
    context: dg.OpExecutionContext, ledger: Ledger, settings: Settings, *, claim: bool = False
) -> Iterator[LeasedAttempt | None]:
    """Hold this run's attempt; None when there is nothing (more) to do for it.

    An error of the block becomes the attempt's staged ending. When the run itself is interrupted, no later op will
    run: the attempt is settled here and the interruption goes on.

    Raises:
        Failure: The lease is another's. Nothing of this run may go on, not even the next op: it would find the
            attempt's row as the new holder keeps it.
    """
    attempt_id = attempt_of(context)
    try:
        held = _take(context, ledger, settings, attempt_id, claim=claim)
    except StateConflictError as error:
        context.log.warning(f"{error}")
        held = None
    if held is None:
        yield None
        return
    try:
        with held.heartbeat:
            yield held
    except LeaseLostError as error:
        raise _not_held(attempt_id, error) from error
    except Exception as error:  # every failure must become an ending with its cause
        context.log.exception(f"attempt {attempt_id} was interrupted")
        try:
            held.stage(ending_of(error))
        except LeaseLostError as lost:
            raise _not_held(attempt_id, lost) from error
    except (dg.DagsterExecutionInterruptedError, KeyboardInterrupt, SystemExit):
        # No later op will run, so the end is recorded here. The interruption goes on to Dagster, which ends the run.
        settle_interrupted(context, held)
        raise


def _take(
    context: dg.OpExecutionContext, ledger: Ledger, settings: Settings, attempt_id: str, *, claim: bool
) -> LeasedAttempt | None:
    with ledger.write() as tx:
        attempt = attempts.get(tx, attempt_id)
        if claim:
            attempt = _claim(tx, context, attempt_id, settings.dispatch.lease_s)
        mine = attempt.run_id == context.run.run_id and attempt.lease_token is not None
        if not mine or attempt.staged_ending is not None:
            return None
        task = tasks.get(tx, attempt.task_id)
    token = attempt.lease_token or ""
    heartbeat = Heartbeat(ledger, attempt_id, token, lease_s=settings.dispatch.lease_s)
    return LeasedAttempt(attempt, task, token, ledger, settings, heartbeat)


def _claim(tx: Transaction, context: dg.OpExecutionContext, attempt_id: str, lease_s: float) -> Attempt:
    run_id = context.run.run_id
    adopts = tags.ADOPTED_FROM in context.run.tags and attempts.get(tx, attempt_id).run_id != run_id
    claim = adoption.adopt if adopts else attempts.claim
    return claim(tx, attempt_id, run_id=run_id, lease_s=lease_s)


def _not_held(attempt_id: str, error: LeaseLostError) -> dg.Failure:
    return dg.Failure(f"{error}", metadata={"attempt": attempt_id}, allow_retries=False)


def retry_rule(settings: Settings, repository: str) -> RetryRule:
    """How this repository's attempts are tried again."""
    more_memory = settings.agent_for(repository).oom_retry_memory is not None
    return RetryRule(settings.dispatch.retry_base_s, settings.dispatch.retry_cap_s, more_memory)


def settle_interrupted(context: dg.OpExecutionContext, held: LeasedAttempt) -> None:
    """Settle an attempt whose run is being stopped, as cancelled.

    When a person asked for it, so is the task. When only the process was told to stop (a host that shuts down, a
    SIGTERM to the run's process), nobody wanted the work to end: the task gets another attempt, while tries are left.
    """
    run = context.instance.get_run_by_id(context.run.run_id)
    asked = held.heartbeat.cancel_requested.is_set() or (
        run is not None and run.status in {dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED}
    )
    message = "the run was cancelled" if asked else "the run's process was told to stop; the task is tried again"
    ending = Ending(
        cause=Cause.CANCELLED, message=message, evidence=Evidence(killed_by_us=True, facts={"asked_for": asked})
    )
    try:
        with held.ledger.write() as tx:
            attempts.settle(
                tx,
                held.attempt.id,
                held.token,
                ending,
                retry=retry_rule(held.settings, held.task.repository),
                actor=f"run:{context.run.run_id}",
                again=not asked,
            )
    except (LeaseLostError, StateConflictError) as error:
        context.log.warning(f"{error}")
