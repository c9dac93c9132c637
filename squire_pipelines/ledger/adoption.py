"""Attempts that another run adopts or that are refused before any run has claimed them, and which have not ended."""

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import func, select, update

from squire_pipelines.domain.endings import Cause, Ending
from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.domain.launching import is_lease_over, longest_lease_s
from squire_pipelines.domain.states import ADOPTED
from squire_pipelines.domain.tasks import AttemptStatus
from squire_pipelines.errors import StateConflictError
from squire_pipelines.ledger.attempts import Attempt, RetryRule, Settled, end, get, lock
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import attempts, task_events
from squire_pipelines.ledger.transitions import record_attempt_event

MAX_ADOPTIONS = 3
_UNDER_WAY = (AttemptStatus.RUNNING, AttemptStatus.PUBLISHING)


def adoptions(tx: Transaction, attempt_id: str) -> int:
    """Return how often the attempt was adopted."""
    query = select(func.count()).where(task_events.c.attempt_id == attempt_id, task_events.c.reason == ADOPTED)
    return int(tx.execute(query).scalar_one())


def adopt(tx: Transaction, attempt_id: str, *, run_id: str, lease_s: float, worker: str | None = None) -> Attempt:
    """Take an attempt whose lease ran out, for `run_id`, which continues the work of the run that died.

    The token is a new one, so that the earlier run can no longer write, should it live after all.

    Raises:
        StateConflictError: Another run works on it, it has ended, or it was adopted too often.
    """
    attempt = lock(tx, attempt_id)
    free = attempt.status in _UNDER_WAY and attempt.lease_until is not None
    free = free and is_lease_over(attempt.lease_until or tx.now, tx.now, longest_lease_s(lease_s))
    if not free or adoptions(tx, attempt_id) >= MAX_ADOPTIONS:
        raise StateConflictError(
            f"attempt {attempt_id} cannot be adopted: it is {attempt.status}"
            + (f" in run {attempt.run_id}" if attempt.run_id else ""),
            hint="its run gave a sign of life, or it was ended; see its history",
        )
    tx.execute(
        update(attempts)
        .where(attempts.c.id == attempt_id)
        .values(
            run_id=run_id,
            worker=worker,
            lease_token=new_trace_id(),
            lease_until=tx.now + timedelta(seconds=lease_s),
            updated_at=tx.now,
        )
    )
    record_attempt_event(tx, attempt, attempt.status, attempt.status, actor=f"run:{run_id}", reason=ADOPTED)
    return get(tx, attempt_id)


def refuse(tx: Transaction, attempt_id: str, ending: Ending, *, retry: RetryRule, actor: str) -> Settled | None:
    """End an attempt that no run has claimed yet; None when one has, or it has ended."""
    attempt = lock(tx, attempt_id)
    if attempt.status is not AttemptStatus.QUEUED:
        return None
    return end(tx, attempt, ending, retry=retry, actor=actor)


def ended_at(tx: Transaction, ids: Collection[str]) -> dict[str, datetime | None]:
    """Return when those of `ids` ended that this ledger knows; None for one that has not."""
    rows = tx.execute(select(attempts.c.id, attempts.c.ended_at).where(attempts.c.id.in_(ids)))
    return {row.id: row.ended_at for row in rows}


def open_ids(tx: Transaction, *, worker: str | None = None) -> frozenset[str]:
    """Return the attempts that have not ended, of one worker if one is named."""
    is_open = attempts.c.status.in_([status for status in AttemptStatus if status is not AttemptStatus.ENDED])
    of_whom = () if worker is None else (attempts.c.worker == worker,)
    return frozenset(tx.execute(select(attempts.c.id).where(is_open, *of_whom)).scalars())


def lost_on(tx: Transaction, worker: str, since: timedelta) -> tuple[Attempt, ...]:
    """Return the attempts of a worker that were lost within this time: its machine may know more of their calls."""
    of_worker = (attempts.c.worker == worker, attempts.c.cause == Cause.LOST)
    rows = tx.execute(select(attempts.c.id).where(*of_worker, attempts.c.ended_at >= tx.now - since))
    return tuple(get(tx, attempt_id) for attempt_id in rows.scalars())
