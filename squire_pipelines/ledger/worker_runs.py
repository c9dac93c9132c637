"""Which runs workers have taken. The run's id is the key, so that a message that comes twice starts one process."""

from collections.abc import Collection
from dataclasses import dataclass, fields
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import worker_runs, workers


@dataclass(frozen=True, slots=True)
class WorkerRun:
    """A run that a worker has taken; no worker for one that was stopped before any took it."""

    run_id: str
    worker: str | None
    session: str | None
    queue: str | None
    taken_at: datetime
    ended_at: datetime | None
    exit_code: int | None
    stop_requested_at: datetime | None


def take(tx: Transaction, run_id: str, *, worker: str, session: str, queue: str) -> bool:
    """Record that a worker takes a run. Returns False when it, or another, has taken it before.

    A worker that was given up takes nothing: whoever gave it up counts on that.
    """
    # The row is locked, so that nobody gives the worker up between this look and the run's own row.
    is_ours = tx.execute(
        select(workers.c.name)
        .where(workers.c.name == worker, workers.c.session == session, workers.c.ended_at.is_(None))
        .with_for_update()
    ).first()
    if is_ours is None:
        return False
    values = {"run_id": run_id, "worker": worker, "session": session, "queue": queue, "taken_at": tx.now}
    return _insert(tx, values)


def request_stop(tx: Transaction, run_id: str) -> bool:
    """Have the worker of a run interrupt it at its next beat. Returns False when the run is over.

    One that nobody has taken will not be taken any more.
    """
    row = {"run_id": run_id, "taken_at": tx.now, "ended_at": tx.now, "stop_requested_at": tx.now}
    if _insert(tx, row):
        return True
    done = tx.execute(
        update(worker_runs)
        .where(worker_runs.c.run_id == run_id, worker_runs.c.ended_at.is_(None))
        .values(stop_requested_at=func.coalesce(worker_runs.c.stop_requested_at, tx.now))
    )
    return bool(done.rowcount)


def end(tx: Transaction, run_id: str, *, session: str, exit_code: int | None) -> None:
    """Record that the process of a run is over. Nothing for one that was another's by then."""
    tx.execute(
        update(worker_runs)
        .where(worker_runs.c.run_id == run_id, worker_runs.c.session == session, worker_runs.c.ended_at.is_(None))
        .values(ended_at=tx.now, exit_code=exit_code)
    )


def to_stop(tx: Transaction, session: str) -> tuple[str, ...]:
    """Return the runs of a worker's start that somebody wants to be interrupted."""
    rows = tx.execute(
        select(worker_runs.c.run_id).where(
            worker_runs.c.session == session,
            worker_runs.c.ended_at.is_(None),
            worker_runs.c.stop_requested_at.is_not(None),
        )
    )
    return tuple(rows.scalars())


def find(tx: Transaction, run_id: str) -> WorkerRun | None:
    """Return what is known of a run; None for one that nobody has taken."""
    row = tx.execute(select(worker_runs).where(worker_runs.c.run_id == run_id)).one_or_none()
    return None if row is None else WorkerRun(*(getattr(row, field.name) for field in fields(WorkerRun)))


def untaken(tx: Transaction, run_ids: Collection[str]) -> frozenset[str]:
    """Return those of these runs that no worker has taken."""
    known = tx.execute(select(worker_runs.c.run_id).where(worker_runs.c.run_id.in_(list(run_ids)))).scalars()
    return frozenset(run_ids) - frozenset(known)


def _insert(tx: Transaction, values: dict[str, object]) -> bool:
    insert = sqlite.insert if tx.connection.dialect.name == "sqlite" else postgresql.insert
    new = insert(worker_runs).values(**values).on_conflict_do_nothing().returning(worker_runs.c.run_id)
    return tx.execute(new).first() is not None
