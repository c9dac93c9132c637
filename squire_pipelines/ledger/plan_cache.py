"""Answers of models to questions about plans, shared by all processes: one asks, the others wait for its answer.

A row is claimed before the model is asked and settled after it. A claim ends by itself, so that a process that was
killed keeps nobody waiting for longer than its lease.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, insert, select, update

from squire_pipelines.domain.plan_making import CacheState
from squire_pipelines.domain.tasks import Plan
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.stored_json import read_json
from squire_pipelines.ledger.tables import plan_cache

_CLOCK_STEP = timedelta(minutes=1)
"""A row that is as much younger than now was written before the clock was set back, and would hold for as long."""

_COLUMNS = ("model", "provider", "prompt_version")


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """What is known of one question's answer.

    `until` is when a claim, an answer or the word of a failure ends. `plan` is there when it was answered, `error_code`
    with its text and hint when it failed.
    """

    state: CacheState
    holder: str
    until: datetime
    plan: Plan | None = None
    error_code: str = ""
    error: str = ""
    hint: str = ""


def look_up(tx: Transaction, key: str) -> CacheEntry | None:
    """Return what is known of a question's answer; None when it is nothing, or over."""
    row = tx.execute(
        select(plan_cache).where(
            plan_cache.c.key == key, plan_cache.c.until > tx.now, plan_cache.c.updated_at <= tx.now + _CLOCK_STEP
        )
    ).one_or_none()
    if row is None:
        return None
    state = CacheState(row.state)
    plan = None
    if state is CacheState.ANSWERED:
        if (plan := read_json(Plan, row.plan)) is None:
            return None
        plan = plan.model_copy(update={name: getattr(row, name) for name in _COLUMNS})
    return CacheEntry(state, row.holder, row.until, plan, row.error_code or "", row.error or "", row.hint or "")


def claim(tx: Transaction, key: str, holder: str, lease: timedelta, *, fresh: bool = False) -> CacheEntry:
    """Claim a question for `holder`, unless somebody asks it now, or it was answered.

    Args:
        tx: Reads and writes.
        key: Of the question.
        holder: Who asks, a name that nobody else has.
        lease: After which others may claim it.
        fresh: Whether an answer that is there does not count.

    Returns:
        The claim, which has this holder, or what is there.
    """
    tx.exclusive("plan cache")
    entry = look_up(tx, key)
    if entry is not None and (entry.state is CacheState.ASKING or (entry.state is CacheState.ANSWERED and not fresh)):
        return entry
    tx.execute(delete(plan_cache).where(plan_cache.c.key == key))
    until = tx.now + lease
    row = {"key": key, "state": CacheState.ASKING, "holder": holder, "until": until, "updated_at": tx.now}
    tx.execute(insert(plan_cache).values(**row))
    return CacheEntry(CacheState.ASKING, holder, until)


def settle(tx: Transaction, key: str, holder: str, plan: Plan, *, ttl: timedelta, max_entries: int) -> None:
    """Store the answer for as long as `ttl`; of all answers the newest `max_entries` stay."""
    values: dict[str, Any] = {name: getattr(plan, name) for name in _COLUMNS}
    _end(tx, key, holder, state=CacheState.ANSWERED, until=tx.now + ttl, plan=plan.model_dump(mode="json"), **values)
    row = plan_cache.c
    tx.execute(delete(plan_cache).where(row.until <= tx.now))
    answered = select(row.key).where(row.state == CacheState.ANSWERED).order_by(row.updated_at.desc(), row.key)
    surplus = tuple(tx.execute(answered.offset(max_entries)).scalars())
    if surplus:
        tx.execute(delete(plan_cache).where(row.key.in_(surplus)))


def fail(tx: Transaction, key: str, holder: str, *, code: str, error: str, hint: str, told_for: timedelta) -> None:
    """Tell those who wait that nobody could answer; who asks later asks anew."""
    _end(tx, key, holder, state=CacheState.FAILED, until=tx.now + told_for, error_code=code, error=error, hint=hint)


def release(tx: Transaction, key: str, holder: str) -> None:
    """Give up a claim without any word, so that somebody else asks."""
    tx.execute(delete(plan_cache).where(*_claimed(key, holder)))


def _end(tx: Transaction, key: str, holder: str, **values: Any) -> None:
    tx.execute(update(plan_cache).where(*_claimed(key, holder)).values(**values, updated_at=tx.now))


def _claimed(key: str, holder: str) -> tuple[Any, ...]:
    return plan_cache.c.key == key, plan_cache.c.holder == holder, plan_cache.c.state == CacheState.ASKING
