"""Attempts: claim, lease, and how they end. Every rule of the state machine's attempt half but their start is here."""

import random
from collections.abc import Collection
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, and_, func, or_, select, update

from squire_pipelines.domain.endings import Cause, Ending, retry_delay_s, task_status_after
from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.domain.tasks import AttemptStatus, TaskStatus
from squire_pipelines.errors import LeaseLostError, NotFoundError, StateConflictError
from squire_pipelines.ledger import budgets
from squire_pipelines.ledger import tasks as task_rows
from squire_pipelines.ledger.changes import change_attempt, change_task
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import attempts, model_calls, tasks


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt's row."""

    id: str
    task_id: str
    number: int
    repository: str
    status: AttemptStatus
    trace_id: str
    run_id: str | None
    lease_token: str | None
    lease_until: datetime | None
    claim_until: datetime
    base_sha: str | None
    head_sha: str | None
    agent: str | None
    runner: str | None
    sandboxed: bool | None
    image: str | None
    staged_ending: dict[str, Any] | None
    cause: str | None
    message: str | None
    evidence: dict[str, Any] | None
    verdict: dict[str, Any] | None
    pr_number: int | None
    pr_url: str | None
    queued_at: datetime
    claimed_at: datetime | None
    agent_started_at: datetime | None
    agent_ended_at: datetime | None
    ended_at: datetime | None
    limits: dict[str, Any] | None = None
    timings: dict[str, float] | None = None
    not_before: datetime | None = None
    previous_id: str | None = None
    verification: dict[str, Any] | None = None

    @property
    def ending(self) -> Ending | None:
        """The ending that a step has found and that `settle` will record."""
        return None if self.staged_ending is None else Ending.model_validate(self.staged_ending)


@dataclass(frozen=True, slots=True)
class RetryRule:
    """How a transient ending is tried again; seconds.

    With `more_memory` one attempt follows the first that ran out of memory: the settings give it more.
    """

    base_s: float
    cap_s: float
    more_memory: bool = False


@dataclass(frozen=True, slots=True)
class Settled:
    """What an attempt's end made of its task."""

    task_status: TaskStatus
    not_before: datetime | None


def get(tx: Transaction, attempt_id: str) -> Attempt:
    """One attempt. Raises NotFoundError."""
    row = tx.execute(select(attempts).where(attempts.c.id == attempt_id)).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no attempt {attempt_id!r}")
    return _attempt(row)


def of_task(tx: Transaction, task_id: str) -> tuple[Attempt, ...]:
    """A task's attempts, first to last."""
    rows = tx.execute(select(attempts).where(attempts.c.task_id == task_id).order_by(attempts.c.number))
    return tuple(_attempt(row) for row in rows)


def queued(tx: Transaction) -> tuple[Attempt, ...]:
    """Attempts whose run may not have been launched yet; a repeated run request with the same key is harmless."""
    rows = tx.execute(
        select(attempts)
        .where(attempts.c.status == AttemptStatus.QUEUED, attempts.c.claim_until >= tx.now)
        .order_by(attempts.c.queued_at, attempts.c.id)
    )
    return tuple(_attempt(row) for row in rows)


def claim(tx: Transaction, attempt_id: str, *, run_id: str, lease_s: float) -> Attempt:
    """Take a queued attempt for `run_id`, or go on with one that this very run held before it crashed.

    Each claim has a new fencing token, so that an earlier process of the same run can no longer write.

    Raises:
        StateConflictError: It has ended, its claim deadline has passed, or another run holds it.
    """
    attempt = get(tx, attempt_id)
    lease = {"lease_token": new_trace_id(), "lease_until": tx.now + timedelta(seconds=lease_s)}
    if attempt.status is AttemptStatus.QUEUED and attempt.claim_until >= tx.now:
        change_attempt(
            tx,
            attempt_id,
            attempt.task_id,
            AttemptStatus.QUEUED,
            AttemptStatus.RUNNING,
            actor=f"run:{run_id}",
            reason="claimed",
            trace_id=attempt.trace_id,
            run_id=run_id,
            claimed_at=tx.now,
            **lease,
        )
    elif attempt.run_id != run_id or not _write(tx, attempt_id, attempt.lease_token, **lease):
        raise StateConflictError(
            f"attempt {attempt_id} is {attempt.status}"
            + (f" in run {attempt.run_id}" if attempt.run_id and attempt.run_id != run_id else ""),
            hint="another run took it, or its time was up; a new attempt follows",
        )
    return get(tx, attempt_id)


def heartbeat(tx: Transaction, attempt_id: str, token: str, *, lease_s: float) -> bool:
    """Prolong the lease. Returns whether somebody asked for the task to be cancelled. Raises LeaseLostError."""
    note(tx, attempt_id, token, lease_until=tx.now + timedelta(seconds=lease_s))
    requested = tx.execute(
        select(tasks.c.cancel_requested_at)
        .join(attempts, attempts.c.task_id == tasks.c.id)
        .where(attempts.c.id == attempt_id)
    ).scalar_one()
    return requested is not None


def note(tx: Transaction, attempt_id: str, token: str, **columns: Any) -> None:
    """Write facts about an attempt that the caller holds. Raises LeaseLostError."""
    if not _write(tx, attempt_id, token, **columns):
        raise _lease_lost(attempt_id)


def _write(tx: Transaction, attempt_id: str, token: str | None, **columns: Any) -> bool:
    """Write to an attempt under way if `token` is its fencing token; whether that was so."""
    done = tx.execute(
        update(attempts)
        .where(
            attempts.c.id == attempt_id,
            attempts.c.lease_token == token,
            attempts.c.status.in_([AttemptStatus.RUNNING, AttemptStatus.PUBLISHING]),
        )
        .values(updated_at=tx.now, **columns)
    )
    return bool(done.rowcount == 1)


def _lease_lost(attempt_id: str) -> LeaseLostError:
    message = f"the lease of attempt {attempt_id} is lost"
    return LeaseLostError(message, hint="the reaper ended it, or the run was entered again elsewhere")


def tokens_used(tx: Transaction, attempt_id: str) -> dict[str, float | None]:
    """The columns `input_tokens`, `output_tokens` and `cost_usd` as the attempt's model calls add up."""
    sums = [func.sum(model_calls.c[name]).label(name) for name in ("input_tokens", "output_tokens", "cost_usd")]
    row = tx.execute(select(*sums).where(model_calls.c.attempt_id == attempt_id)).one()
    return dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it


def stage_ending(tx: Transaction, attempt_id: str, token: str, ending: Ending) -> None:
    """Keep how the attempt ended until `settle` records it. The first ending stays. Raises LeaseLostError."""
    attempt = get(tx, attempt_id)
    if attempt.lease_token != token or attempt.status is AttemptStatus.ENDED:
        raise _lease_lost(attempt_id)
    if attempt.staged_ending is None:
        note(tx, attempt_id, token, staged_ending=ending.model_dump(mode="json"))


def start_publishing(tx: Transaction, attempt_id: str, token: str, *, head_sha: str) -> None:
    """The bundle is stored: from here on the work survives the loss of the container. Raises LeaseLostError."""
    attempt = get(tx, attempt_id)
    note(tx, attempt_id, token, head_sha=head_sha)
    if attempt.status is AttemptStatus.RUNNING:
        change_attempt(
            tx,
            attempt_id,
            attempt.task_id,
            AttemptStatus.RUNNING,
            AttemptStatus.PUBLISHING,
            actor=f"run:{attempt.run_id}",
            reason="bundle stored",
            trace_id=attempt.trace_id,
        )


def settle(
    tx: Transaction,
    attempt_id: str,
    token: str,
    ending: Ending,
    *,
    retry: RetryRule,
    actor: str,
    again: bool = False,
) -> Settled:
    """Record how an attempt ended and take its task where that leads. Raises LeaseLostError.

    With `again` the task gets another attempt whatever the cause, while tries are left: nobody wanted it to end.
    """
    note(tx, attempt_id, token, lease_until=tx.now)
    return end(tx, get(tx, attempt_id), ending, retry=retry, actor=actor, again=again)


def expired(tx: Transaction) -> tuple[Attempt, ...]:
    """Attempts that nobody holds any more: not claimed in time, or their lease ran out."""
    rows = tx.execute(
        select(attempts).where(
            or_(
                and_(attempts.c.status == AttemptStatus.QUEUED, attempts.c.claim_until < tx.now),
                and_(
                    attempts.c.status.in_([AttemptStatus.RUNNING, AttemptStatus.PUBLISHING]),
                    attempts.c.lease_until < tx.now,
                ),
            )
        )
    )
    return tuple(_attempt(row) for row in rows)


def reap(
    tx: Transaction, attempt_id: str, *, retry: RetryRule, message: str, run_is_over: bool = False
) -> Settled | None:
    """End an attempt that nobody holds. Returns None when it is held again or has ended meanwhile.

    With `run_is_over` one that is still queued ends before its claim deadline: nobody is left to claim it.
    An ending that a step had staged before its process died is kept; otherwise the cause is `lost`.
    """
    # Whoever prolongs the lease or settles at this moment comes before or after us, not between.
    tx.execute(select(attempts.c.id).where(attempts.c.id == attempt_id).with_for_update())
    attempt = get(tx, attempt_id)
    unclaimed = run_is_over and attempt.status is AttemptStatus.QUEUED
    if not unclaimed and attempt_id not in {each.id for each in expired(tx)}:
        return None
    ending = attempt.ending or Ending(cause=Cause.LOST, message=message)
    if ending.cause is Cause.COMPLETED and attempt.pr_number is None:
        ending = Ending(cause=Cause.LOST, message=message)
    return end(tx, attempt, ending, retry=retry, actor="reaper")


def ended_ids(tx: Transaction, ids: Collection[str]) -> frozenset[str]:
    """Those of `ids` that have ended. An attempt that this ledger does not know is another's, and not among them."""
    rows = tx.execute(select(attempts.c.id).where(attempts.c.id.in_(ids), attempts.c.status == AttemptStatus.ENDED))
    return frozenset(rows.scalars())


def end(
    tx: Transaction, attempt: Attempt, ending: Ending, *, retry: RetryRule, actor: str, again: bool = False
) -> Settled:
    """End an attempt that the caller has made sure of; see `settle`, `reap` and `adoption.refuse`."""
    change_attempt(
        tx,
        attempt.id,
        attempt.task_id,
        attempt.status,
        AttemptStatus.ENDED,
        actor=actor,
        reason=f"{ending.cause}: {ending.message}",
        trace_id=attempt.trace_id,
        cause=ending.cause,
        transient=ending.transient,
        message=ending.message,
        evidence=ending.evidence.model_dump(mode="json"),
        ended_at=tx.now,
        lease_token=None,
        **tokens_used(tx, attempt.id),
    )
    budgets.settle_attempt(tx, attempt.id)
    task = task_rows.get(tx, attempt.task_id)
    if ending.cause is Cause.OUT_OF_MEMORY and retry.more_memory:
        again = _ended_so(tx, attempt.task_id, Cause.OUT_OF_MEMORY) == 1
    after = task_status_after(ending.cause, attempt_number=attempt.number, max_attempts=task.max_attempts, again=again)
    if (ending.transient or after is TaskStatus.READY) and task.cancel_requested_at is not None:
        after = TaskStatus.CANCELLED
    not_before = None
    if after is TaskStatus.READY:
        delay = retry_delay_s(attempt.number, base_s=retry.base_s, cap_s=retry.cap_s, jitter=random.SystemRandom())
        not_before = tx.now + timedelta(seconds=delay)
    change_task(
        tx,
        task.id,
        TaskStatus.RUNNING,
        after,
        actor=actor,
        reason=str(ending.cause),
        trace_id=task.trace_id,
        cause=ending.cause,
        message=ending.message,
        not_before=not_before,
        ended_at=None if after is TaskStatus.READY else tx.now,
        **({"ready_at": tx.now} if after is TaskStatus.READY else {}),
    )
    return Settled(after, not_before)


def _ended_so(tx: Transaction, task_id: str, cause: Cause) -> int:
    query = select(func.count()).where(attempts.c.task_id == task_id, attempts.c.cause == cause)
    return int(tx.execute(query).scalar_one())


def _attempt(row: Row[*tuple[Any, ...]]) -> Attempt:
    values = {field.name: getattr(row, field.name) for field in fields(Attempt)}
    values["status"] = AttemptStatus(row.status)
    return Attempt(**values)
