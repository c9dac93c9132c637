"""Which work on remarks was shown on GitHub to have begun, by a reaction on each, and how often that was tried."""

from collections.abc import Collection

from sqlalchemy import insert, select, update

from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import heard_remarks
from squire_pipelines.ledger.telling_tries import MAX_TRIES, next_try


def without_heard(tx: Transaction, task_ids: Collection[str]) -> frozenset[str]:
    """Return those of these tasks whose remarks are still to be shown as heard, and may be by now."""
    if not task_ids:
        return frozenset()
    row = heard_remarks.c
    rows = tx.execute(select(row.task_id, row.again_at).where(row.task_id.in_(task_ids)))
    settled = {one.task_id for one in rows if one.again_at is None or one.again_at > tx.now}
    return frozenset(task_ids) - settled


def begin(tx: Transaction, task_id: str) -> int | None:
    """Record that one more try begins; return which. None where another process has begun one meanwhile."""
    tx.exclusive("heard_remarks")
    if not without_heard(tx, [task_id]):
        return None
    known = tx.execute(select(heard_remarks.c.tries).where(heard_remarks.c.task_id == task_id)).scalar_one_or_none()
    tries = (known or 0) + 1
    values = {"tries": tries, "again_at": next_try(tx.now, tries), "updated_at": tx.now}
    if known is None:
        tx.execute(insert(heard_remarks).values(task_id=task_id, **values))
    else:
        tx.execute(update(heard_remarks).where(heard_remarks.c.task_id == task_id).values(**values))
    return tries


def end(tx: Transaction, task_id: str, *, tries: int, error: str | None) -> None:
    """Record how a try ended: it is not tried again after one that succeeded, or after the last."""
    values = {"error": error, "updated_at": tx.now}
    if error is None or tries >= MAX_TRIES:
        values["again_at"] = None
    tx.execute(update(heard_remarks).where(heard_remarks.c.task_id == task_id).values(**values))
