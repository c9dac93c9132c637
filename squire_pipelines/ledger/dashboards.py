"""The dashboard of each repository: its issue, what it says, when it was looked at, and which ticks were acted upon."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import delete, exists, insert, or_, select, update

from squire_pipelines.domain.dashboards import Box, BoxAction, Tick
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import dashboard_ticks, dashboards, outcomes, tasks
from squire_pipelines.ledger.telling_tries import MAX_TRIES, next_try

_MIN_DISTANCE = timedelta(seconds=10)
"""Looks since something has changed keep this distance, so that many changes together are one rewriting."""

_OVERLAP = timedelta(seconds=2)

_LEASE = timedelta(minutes=5)
"""So long a look may take before another process begins one."""


class DashboardState(StrEnum):
    """Whether there is a dashboard. A person closes and reopens it; `OFF`: we closed it, since the settings say so."""

    NEW = "new"
    OPEN = "open"
    CLOSED = "closed"
    OFF = "off"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A repository's row. `written_digest` is of the text as we wrote it, `stored_digest` of what GitHub had then."""

    repository: str
    epoch: str
    number: int | None
    state: DashboardState
    written_digest: str | None
    stored_digest: str | None
    woken: bool
    looked_at: datetime | None
    tries: int
    again_at: datetime | None
    error: str | None


def get(tx: Transaction, repository: str) -> Dashboard | None:
    """Return a repository's dashboard; None where there never was one."""
    row = tx.execute(select(dashboards).where(dashboards.c.repository == repository)).one_or_none()
    if row is None:
        return None
    values = {name: getattr(row, name) for name in Dashboard.__slots__}
    return Dashboard(**values | {"state": DashboardState(row.state)})


def is_due(tx: Transaction, repository: str, *, enabled: bool, poll_s: float) -> bool:
    """Return whether a dashboard is to be looked at now."""
    board = get(tx, repository)
    if board is None:
        return enabled
    if board.again_at is not None and board.again_at > tx.now:
        return False
    if not enabled:
        return board.state in {DashboardState.OPEN, DashboardState.GONE}
    if board.looked_at is None or board.woken or board.state is DashboardState.OFF:
        return True
    since = tx.now - board.looked_at
    is_changed = (
        board.state is DashboardState.OPEN and since >= _MIN_DISTANCE and _has_changed(tx, repository, board.looked_at)
    )
    return board.state is not DashboardState.GONE and (is_changed or since >= timedelta(seconds=poll_s))


def _has_changed(tx: Transaction, repository: str, since: datetime) -> bool:
    """Return whether a task or a pull request of the repository has changed since, or a moment before.

    A transaction that began before the last look may have been committed after it.
    """
    newer = [
        exists().where(table.c.repository == repository, table.c.updated_at > since - _OVERLAP)
        for table in (tasks, outcomes)
    ]
    return bool(tx.execute(select(or_(*newer))).scalar_one())


def begin(tx: Transaction, repository: str, epoch: str, *, enabled: bool, poll_s: float) -> Dashboard | None:
    """Record that a look begins; return the dashboard, None where another process is at it or has just looked."""
    tx.exclusive("dashboards")
    if not is_due(tx, repository, enabled=enabled, poll_s=poll_s):
        return None
    if get(tx, repository) is None:
        new = {"repository": repository, "epoch": epoch, "state": DashboardState.NEW, "woken": False, "tries": 0}
        tx.execute(insert(dashboards).values(**new, updated_at=tx.now))
    # Until the look is over, and where it is killed. What comes meanwhile wakes it again.
    _set(tx, repository, {"again_at": tx.now + _LEASE, "looked_at": tx.now, "woken": False})
    return get(tx, repository)


def record(tx: Transaction, repository: str, **columns: Any) -> None:
    """Record what a look found out or wrote: `number`, `state`, `written_digest`, `stored_digest`."""
    _set(tx, repository, columns)


def end(tx: Transaction, repository: str, error: str | None) -> None:
    """Record how a look ended: one that failed is repeated with growing waits."""
    board = get(tx, repository)
    if board is None:
        return
    tries = 0 if error is None else min(board.tries + 1, MAX_TRIES)
    again_at = None if error is None else next_try(tx.now, tries)
    _set(tx, repository, {"tries": tries, "again_at": again_at, "error": error})


def remove(tx: Transaction, repository: str) -> None:
    """Forget a dashboard whose issue is gone, so that another may be opened."""
    tx.execute(delete(dashboards).where(dashboards.c.repository == repository))


def wake(tx: Transaction, repository: str) -> None:
    """Record that something has happened to a dashboard's issue, so that it is looked at."""
    _set(tx, repository, {"woken": True})


def uses(tx: Transaction, repository: str) -> Mapping[tuple[BoxAction, str], int]:
    """Return how many ticks of each box were acted upon, by what it does and its task."""
    row = dashboard_ticks.c
    rows = tx.execute(select(row.action, row.task_id).where(row.repository == repository))
    return Counter((BoxAction(tick.action), str(tick.task_id)) for tick in rows)


def done(tx: Transaction, repository: str) -> frozenset[Box]:
    """Return the boxes whose tick was acted upon."""
    row = dashboard_ticks.c
    rows = tx.execute(select(row.action, row.task_id, row.use).where(row.repository == repository))
    return frozenset(Box(BoxAction(tick.action), tick.task_id, tick.use) for tick in rows)


def record_tick(tx: Transaction, repository: str, tick: Tick) -> bool:
    """Record that a tick is acted upon in this transaction; False where it was before."""
    tx.exclusive("dashboards")
    if tick.box in done(tx, repository):
        return False
    box = {"task_id": tick.box.task_id, "action": tick.box.action, "use": tick.box.use}
    tx.execute(insert(dashboard_ticks).values(repository=repository, **box, updated_at=tx.now))
    return True


def _set(tx: Transaction, repository: str, columns: Mapping[str, Any]) -> None:
    row = update(dashboards).where(dashboards.c.repository == repository)
    tx.execute(row.values(**columns, updated_at=tx.now))
