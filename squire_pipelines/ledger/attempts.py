"""Attempts: claim, lease, and how they end. Their start is in `task_dispatch`, their change of hands in `adoption`."""

import random
from collections.abc import Collection
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Row, and_, bindparam, or_, select, update

from squire_pipelines.domain.agent_choice import AgentChoice, ChoiceRules, has_next_agent
from squire_pipelines.domain.change import VerdictRecord
from squire_pipelines.domain.container_limits import AppliedLimits
from squire_pipelines.domain.endings import AGENTS_FAILURES, Cause, Ending, Evidence, retry_delay_s, task_status_after
from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.domain.tasks import AttemptStatus, TaskStatus
from squire_pipelines.domain.timings import Timings
from squire_pipelines.domain.verification import VerificationReport
from squire_pipelines.errors import LeaseLostError, NotFoundError, StateConflictError
from squire_pipelines.ledger import attempt_doors, budgets, tries
from squire_pipelines.ledger import tasks as task_rows
from squire_pipelines.ledger.model_calls import TokenUsage, usage_of_attempt
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.stored_json import read_json
from squire_pipelines.ledger.tables import attempts, tasks
from squire_pipelines.ledger.task_traits import count_agent_failures
from squire_pipelines.ledger.transitions import change_attempt, change_task


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt's row; `staged_ending` is how it ended by a step's account, which the last step will record.

    `choice` is the agent that it got and why; None for an attempt from before schema 0012.
    """

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
    staged_ending: Ending | None
    cause: str | None
    message: str | None
    evidence: Evidence | None
    verdict: VerdictRecord | None
    pr_number: int | None
    pr_url: str | None
    queued_at: datetime
    claimed_at: datetime | None
    agent_started_at: datetime | None
    agent_ended_at: datetime | None
    ended_at: datetime | None
    limits: AppliedLimits | None = None
    timings: Timings | None = None
    not_before: datetime | None = None
    previous_id: str | None = None
    verification: VerificationReport | None = None
    choice: AgentChoice | None = None
    worker: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFacts:
    """What a step has learned about its attempt, each a column of its row; None leaves a column as it is."""

    base_sha: str | None = None
    head_sha: str | None = None
    agent: str | None = None
    agent_version: str | None = None
    model: str | None = None
    prompt_version: str | None = None
    runner: str | None = None
    sandboxed: bool | None = None
    image: str | None = None
    limits: AppliedLimits | None = None
    timings: Timings | None = None
    agent_started_at: datetime | None = None
    agent_ended_at: datetime | None = None
    evidence: Evidence | None = None
    usage: TokenUsage | None = None
    verification: VerificationReport | None = None
    verdict: VerdictRecord | None = None
    pr_number: int | None = None
    pr_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _LeaseFacts:
    """What is written about the lease itself; None leaves a column as it is."""

    lease_token: str | None = None
    lease_until: datetime | None = None
    staged_ending: Ending | None = None


@dataclass(frozen=True, slots=True)
class RetryRule:
    """How a transient ending is tried again; seconds.

    With `more_memory` one attempt follows the first that ran out of memory: the settings give it more. A failure of the
    agent's own is tried again while `choice_rules` have an agent that follows.
    """

    base_s: float
    cap_s: float
    more_memory: bool = False
    choice_rules: ChoiceRules | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """What an attempt's end made of its task."""

    task_status: TaskStatus
    not_before: datetime | None


def get(tx: Transaction, attempt_id: str) -> Attempt:
    """Return one attempt. Raises NotFoundError."""
    row = tx.execute(_SELECT, {"id": attempt_id}).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no attempt {attempt_id!r}")
    return _attempt(row)


def lock(tx: Transaction, attempt_id: str) -> Attempt:
    """Return one attempt, which nobody else changes until the transaction ends. Raises NotFoundError."""
    tx.execute(select(attempts.c.id).where(attempts.c.id == attempt_id).with_for_update())
    return get(tx, attempt_id)


def of_task(tx: Transaction, task_id: str) -> tuple[Attempt, ...]:
    """Return a task's attempts, first to last."""
    rows = tx.execute(select(attempts).where(attempts.c.task_id == task_id).order_by(attempts.c.number))
    return tuple(_attempt(row) for row in rows)


def queued(tx: Transaction) -> tuple[Attempt, ...]:
    """Return attempts whose run may not have been launched yet; a second request with the same run key is harmless."""
    rows = tx.execute(
        select(attempts)
        .where(attempts.c.status == AttemptStatus.QUEUED, attempts.c.claim_until >= tx.now)
        .order_by(attempts.c.queued_at, attempts.c.id)
    )
    return tuple(_attempt(row) for row in rows)


def claim(tx: Transaction, attempt_id: str, *, run_id: str, lease_s: float, worker: str | None = None) -> Attempt:
    """Take a queued attempt for `run_id` of a worker, or continue one that this very run held before it crashed.

    Each claim has a new fencing token, so that an earlier process of the same run can no longer write. A run that comes
    after the claim deadline takes the attempt too, as long as nobody has given it up.

    Raises:
        StateConflictError: It has ended, or another run holds it.
    """
    attempt = get(tx, attempt_id)
    lease = _LeaseFacts(lease_token=new_trace_id(), lease_until=tx.now + timedelta(seconds=lease_s))
    if attempt.status is AttemptStatus.QUEUED:
        before, after = AttemptStatus.QUEUED, AttemptStatus.RUNNING
        columns = {"run_id": run_id, "claimed_at": tx.now, "worker": worker, **_columns(lease)}
        change_attempt(tx, attempt, before, after, actor=f"run:{run_id}", reason="claimed", **columns)
        return replace(attempt, status=after, **columns)
    if attempt.run_id != run_id or not _write(tx, attempt_id, attempt.lease_token, lease):
        raise StateConflictError(
            f"attempt {attempt_id} is {attempt.status}"
            + (f" in run {attempt.run_id}" if attempt.run_id and attempt.run_id != run_id else ""),
            hint="another run took it, or it was given up before this run came; a new attempt follows",
        )
    return get(tx, attempt_id)


def heartbeat(tx: Transaction, attempt_id: str, token: str, *, lease_s: float) -> bool:
    """Prolong the lease. Returns whether somebody asked for the task to be cancelled. Raises LeaseLostError."""
    _write_leased(tx, attempt_id, token, _LeaseFacts(lease_until=tx.now + timedelta(seconds=lease_s)))
    requested = tx.execute(
        select(tasks.c.cancel_requested_at)
        .join(attempts, attempts.c.task_id == tasks.c.id)
        .where(attempts.c.id == attempt_id)
    ).scalar_one()
    return requested is not None


def note(tx: Transaction, attempt_id: str, token: str, facts: AttemptFacts) -> None:
    """Write facts about an attempt that the caller holds. Raises LeaseLostError."""
    _write_leased(tx, attempt_id, token, facts)


def _columns(facts: AttemptFacts | _LeaseFacts) -> dict[str, Any]:
    """Return the columns that facts fill, as the database keeps them."""
    columns: dict[str, Any] = {}
    for name, value in ((field.name, getattr(facts, field.name)) for field in fields(facts)):
        if isinstance(value, TokenUsage):
            columns |= asdict(value)
        elif value is not None:
            columns[name] = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    return columns


def _write_leased(tx: Transaction, attempt_id: str, token: str, facts: AttemptFacts | _LeaseFacts) -> None:
    if not _write(tx, attempt_id, token, facts):
        raise _lease_lost(attempt_id)


def _write(tx: Transaction, attempt_id: str, token: str | None, facts: AttemptFacts | _LeaseFacts) -> bool:
    """Write to an attempt under way if `token` is its fencing token; whether that was so."""
    done = tx.execute(
        update(attempts)
        .where(
            attempts.c.id == attempt_id,
            attempts.c.lease_token == token,
            attempts.c.status.in_([AttemptStatus.RUNNING, AttemptStatus.PUBLISHING]),
        )
        .values(updated_at=tx.now, **_columns(facts))
    )
    return bool(done.rowcount == 1)


def _lease_lost(attempt_id: str) -> LeaseLostError:
    return LeaseLostError(
        f"the lease of attempt {attempt_id} is lost",
        hint="the reaper ended it, or another run continues it",
    )


def stage_ending(tx: Transaction, attempt_id: str, token: str, ending: Ending) -> None:
    """Store how the attempt ended until `settle` records it. The first ending stays. Raises LeaseLostError."""
    attempt = get(tx, attempt_id)
    if attempt.lease_token != token or attempt.status is AttemptStatus.ENDED:
        raise _lease_lost(attempt_id)
    if attempt.staged_ending is None:
        _write_leased(tx, attempt_id, token, _LeaseFacts(staged_ending=ending))


def start_publishing(tx: Transaction, attempt_id: str, token: str, *, head_sha: str) -> None:
    """Record that the bundle is stored, so that the work survives the loss of the container. Raises LeaseLostError."""
    attempt = get(tx, attempt_id)
    note(tx, attempt_id, token, AttemptFacts(head_sha=head_sha))
    if attempt.status is AttemptStatus.RUNNING:
        before, after = AttemptStatus.RUNNING, AttemptStatus.PUBLISHING
        change_attempt(tx, attempt, before, after, actor=f"run:{attempt.run_id}", reason="bundle stored")


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
    """Record how an attempt ended, and what follows for its task. Raises LeaseLostError.

    With `again` the task gets another attempt whatever the cause, while tries are left: nobody wanted it to end.
    """
    _write_leased(tx, attempt_id, token, _LeaseFacts(lease_until=tx.now))
    return end(tx, get(tx, attempt_id), ending, retry=retry, actor=actor, again=again)


def expired(tx: Transaction, *, longest_lease_s: float | None = None) -> tuple[Attempt, ...]:
    """Return attempts that nobody works on any more: not claimed in time, or their lease is over: `is_lease_over`."""
    is_over = attempts.c.lease_until < tx.now
    if longest_lease_s is not None:
        is_over = or_(is_over, attempts.c.lease_until > tx.now + timedelta(seconds=longest_lease_s))
    unclaimed = and_(attempts.c.status == AttemptStatus.QUEUED, attempts.c.claim_until < tx.now)
    under_way = attempts.c.status.in_([AttemptStatus.RUNNING, AttemptStatus.PUBLISHING])
    rows = tx.execute(select(attempts).where(or_(unclaimed, and_(under_way, is_over))))
    return tuple(_attempt(row) for row in rows)


def reap(
    tx: Transaction,
    attempt_id: str,
    *,
    retry: RetryRule,
    message: str,
    run_is_over: bool = False,
    longest_lease_s: float | None = None,
) -> Settled | None:
    """End an attempt that nobody works on. Returns None when somebody does again, or it has ended meanwhile.

    With `run_is_over` one that is still queued ends before its claim deadline: nobody is left to claim it.
    An ending that a step had staged before its process died is kept; otherwise the cause is `lost`, or `not_started`
    where no run had claimed it.
    """
    # Whoever prolongs the lease or settles at this moment comes before or after us, not between.
    attempt = lock(tx, attempt_id)
    unclaimed = run_is_over and attempt.status is AttemptStatus.QUEUED
    if not unclaimed and attempt_id not in {one.id for one in expired(tx, longest_lease_s=longest_lease_s)}:
        return None
    cause = Cause.NOT_STARTED if attempt.status is AttemptStatus.QUEUED else Cause.LOST
    ending = attempt.staged_ending or Ending(cause=cause, message=message)
    if ending.cause is Cause.COMPLETED and attempt.pr_number is None:
        ending = Ending(cause=Cause.LOST, message=message)
    return end(tx, attempt, ending, retry=retry, actor="reaper")


def ended_ids(tx: Transaction, ids: Collection[str]) -> frozenset[str]:
    """Return those of `ids` that have ended, without those that this ledger does not know: they are another's."""
    rows = tx.execute(select(attempts.c.id).where(attempts.c.id.in_(ids), attempts.c.status == AttemptStatus.ENDED))
    return frozenset(rows.scalars())


def end(
    tx: Transaction, attempt: Attempt, ending: Ending, *, retry: RetryRule, actor: str, again: bool = False
) -> Settled:
    """End an attempt that the caller has locked or holds; see `settle`, `reap` and `adoption.refuse`."""
    change_attempt(
        tx,
        attempt,
        attempt.status,
        AttemptStatus.ENDED,
        actor=actor,
        reason=f"{ending.cause}: {ending.message}",
        cause=ending.cause,
        transient=ending.transient,
        message=ending.message,
        evidence=ending.evidence.model_dump(mode="json"),
        ended_at=tx.now,
        lease_token=None,
        **asdict(usage_of_attempt(tx, attempt.id)),
    )
    budgets.settle_attempt(tx, attempt.id)
    attempt_doors.remove_of_attempt(tx, attempt.id)
    task = task_rows.get(tx, attempt.task_id)
    if ending.cause is Cause.OUT_OF_MEMORY and retry.more_memory:
        again = tries.count_ended(tx, attempt.task_id, Cause.OUT_OF_MEMORY) == 1
    if ending.cause in AGENTS_FAILURES and task.spec.agent is None and retry.choice_rules is not None:
        first = of_task(tx, attempt.task_id)[0].choice
        agent = first.agent if first is not None else retry.choice_rules.default
        again = again or has_next_agent(agent, count_agent_failures(tx, attempt.task_id), retry.choice_rules)
    waits = tries.waits_for_user(tx, attempt.task_id, ending)
    allowed = task.max_attempts + (waits or tries.was_unclaimed(tx, attempt.task_id, ending, attempt.claimed_at))
    after = task_status_after(ending.cause, attempt_number=attempt.number, max_attempts=allowed, again=again or waits)
    if (ending.transient or after is TaskStatus.READY) and task.cancel_requested_at is not None:
        after = TaskStatus.CANCELLED
    not_before = None
    if after is TaskStatus.READY and not waits:
        delay = retry_delay_s(attempt.number, base_s=retry.base_s, cap_s=retry.cap_s, jitter=random.SystemRandom())
        not_before = tx.now + timedelta(seconds=delay)
    change_task(
        tx,
        task,
        TaskStatus.RUNNING,
        after,
        actor=actor,
        reason=str(ending.cause),
        cause=ending.cause,
        message=ending.message,
        not_before=not_before,
        max_attempts=allowed,
        ended_at=None if after is TaskStatus.READY else tx.now,
        **({"ready_at": tx.now} if after is TaskStatus.READY else {}),
    )
    return Settled(after, not_before)


def _attempt(row: Row[*tuple[Any, ...]]) -> Attempt:
    values = {field.name: getattr(row, field.name) for field in fields(Attempt)}
    for name, kind in _JSON_COLUMNS.items():
        values[name] = read_json(kind, values[name])
    if row.staged_ending is not None and values["staged_ending"] is None:
        # It did end, and no step may begin again.
        message = "the attempt ended, and this version of Squire cannot read how another version recorded that"
        values["staged_ending"] = Ending(cause=Cause.INTERNAL_ERROR, message=message)
    values["status"] = AttemptStatus(row.status)
    return Attempt(**values)


_SELECT = select(attempts).where(attempts.c.id == bindparam("id"))
_JSON_COLUMNS: dict[str, type[BaseModel]] = {
    "staged_ending": Ending,
    "evidence": Evidence,
    "verdict": VerdictRecord,
    "limits": AppliedLimits,
    "timings": Timings,
    "verification": VerificationReport,
    "choice": AgentChoice,
}
