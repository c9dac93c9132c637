"""Which attempts count against `max_attempts` of their task: those that ended for want of something else do not."""

from datetime import datetime

from sqlalchemy import func, select

from squire_pipelines.domain.endings import MAX_CHANGES, MAX_UNCLAIMED, Cause, Ending
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import attempts

_UNCLAIMED = (Cause.NOT_STARTED, Cause.LOST)  # earlier versions called both lost


def count_ended(tx: Transaction, task_id: str, cause: Cause) -> int:
    """Return how many of a task's attempts ended with a cause."""
    query = select(func.count()).where(attempts.c.task_id == task_id, attempts.c.cause == cause)
    return int(tx.execute(query).scalar_one())


def waits_for_user(tx: Transaction, task_id: str, ending: Ending) -> bool:
    """Return whether the task waits for a change of the user's. The attempt, whose ending is recorded, is no try then.

    So it goes at most `MAX_CHANGES` times.
    """
    return ending.waits_for_user and count_ended(tx, task_id, Cause.CONFIGURATION) <= MAX_CHANGES


def was_unclaimed(tx: Transaction, task_id: str, ending: Ending, claimed_at: datetime | None) -> bool:
    """Return whether an attempt, whose ending is recorded, ended for want of a run that claims it: nothing was tried.

    A machine that is overloaded or restarts loses such attempts one after the other, and says nothing about the task.
    So it goes at most `MAX_UNCLAIMED` times.
    """
    if ending.cause not in _UNCLAIMED or claimed_at is not None:
        return False
    query = select(func.count()).where(
        attempts.c.task_id == task_id, attempts.c.cause.in_(_UNCLAIMED), attempts.c.claimed_at.is_(None)
    )
    return int(tx.execute(query).scalar_one()) <= MAX_UNCLAIMED
