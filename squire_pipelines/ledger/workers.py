"""Workers, as they say in the ledger that they live. Times are the ledger's, whatever the clocks of their machines."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update

from squire_pipelines.domain.worker_rules import WorkerPlaces, WorkerState, is_lost
from squire_pipelines.errors import StateConflictError
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import worker_runs, workers

MAX_CAN_ADOPT = 200
KEPT = timedelta(days=7)
"""How long a worker that is gone, and a run that has ended, is remembered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRecord:
    """What a worker says of itself at its start.

    Args:
        name: By which people and the queue know it, on whatever machine it is.
        session: This start's own.
        host: The machine and the home there, in which no two workers have one name.
        pid: Of its process.
        version: Of Squire.
        schema_revision: Of the ledger, as its code knows it.
        queues: That it serves.
        labels: Of its machine.
        slots: How many runs it takes at once.
    """

    name: str
    session: str
    host: str
    pid: int
    version: str
    schema_revision: str
    queues: tuple[str, ...]
    labels: tuple[str, ...]
    slots: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker(WorkerRecord):
    """A worker's row, what it is doing, and how many runs it has taken that have not ended."""

    state: WorkerState
    running: int
    can_adopt: frozenset[str]
    refusal: str | None
    started_at: datetime
    seen_at: datetime
    draining_at: datetime | None
    ended_at: datetime | None

    @property
    def places(self) -> WorkerPlaces:
        """What it offers to runs that wait."""
        is_open = self.state is WorkerState.LIVE
        return WorkerPlaces(frozenset(self.queues), max(0, self.slots - self.running) if is_open else 0)


def register(tx: Transaction, record: WorkerRecord, *, lost_after_s: float) -> None:
    """Write a worker's row at its start. Runs of an earlier start of this name are over, and are ended.

    Raises:
        StateConflictError: A worker of this name lives.
    """
    tx.exclusive(f"worker {record.name}")
    row = tx.execute(select(workers).where(workers.c.name == record.name)).one_or_none()
    values = {
        "session": record.session,
        "host": record.host,
        "pid": record.pid,
        "version": record.version,
        "schema_revision": record.schema_revision,
        "queues": list(record.queues),
        "labels": list(record.labels),
        "slots": record.slots,
        "can_adopt": [],
        "refusal": None,
        "started_at": tx.now,
        "seen_at": tx.now,
        "draining_at": None,
        "ended_at": None,
    }
    if row is None:
        tx.execute(insert(workers).values(name=record.name, **values))
        return
    is_gone = row.ended_at is not None or is_lost(row.seen_at, tx.now, lost_after_s)
    if not is_gone and row.host != record.host:
        raise StateConflictError(
            f"a worker named {record.name} lives on {row.host}, seen at {row.seen_at:%H:%M:%S} UTC",
            hint="give this one another --name, or stop the other",
        )
    end_runs(tx, record.name)
    tx.execute(update(workers).where(workers.c.name == record.name).values(**values))


def beat(
    tx: Transaction, name: str, session: str, *, can_adopt: Collection[str] = (), refusal: str | None = None
) -> bool:
    """Say that a worker lives. Returns whether somebody wants it to drain.

    Args:
        tx: The transaction.
        name: The worker's.
        session: Of its start.
        can_adopt: Attempts whose container or bundle it still has.
        refusal: Why it takes no work; None when it does.

    Raises:
        StateConflictError: Another worker took the name, or this one was lost and its runs were given to others.
    """
    values = {"seen_at": tx.now, "can_adopt": sorted(can_adopt)[:MAX_CAN_ADOPT], "refusal": refusal}
    done = tx.execute(
        update(workers)
        .where(workers.c.name == name, workers.c.session == session, workers.c.ended_at.is_(None))
        .values(**values)
    )
    if done.rowcount != 1:
        raise StateConflictError(
            f"the worker {name} is another's, or was given up", hint="it ends its runs and registers anew"
        )
    draining = tx.execute(select(workers.c.draining_at).where(workers.c.name == name)).scalar_one()
    return draining is not None


def ask_to_drain(tx: Transaction, name: str) -> bool:
    """Have a worker take no more runs and end when its own are over. Returns whether there is such a worker."""
    done = tx.execute(
        update(workers)
        .where(workers.c.name == name, workers.c.ended_at.is_(None))
        .values(draining_at=func.coalesce(workers.c.draining_at, tx.now))
    )
    return bool(done.rowcount)


def end(tx: Transaction, name: str, session: str) -> None:
    """Record that a worker has ended by itself, and that none of its runs goes on."""
    end_runs(tx, name)
    tx.execute(
        update(workers)
        .where(workers.c.name == name, workers.c.session == session)
        .values(ended_at=tx.now, can_adopt=[])
    )


def end_lost(tx: Transaction, *, lost_after_s: float) -> tuple[str, ...]:
    """End the workers that were not seen for so long, and their runs; return their names.

    One that lives after all learns it at its next beat, ends its runs and registers anew.
    """
    before = tx.now - timedelta(seconds=lost_after_s)
    rows = tx.execute(select(workers.c.name).where(workers.c.ended_at.is_(None), workers.c.seen_at < before))
    names = tuple(rows.scalars())
    for name in names:
        end_runs(tx, name)
        # Only when it was not seen meanwhile: `seen_at` is part of the condition.
        tx.execute(
            update(workers)
            .where(workers.c.name == name, workers.c.seen_at < before)
            .values(ended_at=tx.now, can_adopt=[])
        )
    return names


def end_runs(tx: Transaction, name: str) -> None:
    """Record that no run of a worker goes on."""
    tx.execute(
        update(worker_runs)
        .where(worker_runs.c.worker == name, worker_runs.c.ended_at.is_(None))
        .values(ended_at=tx.now)
    )


def read_all(tx: Transaction, *, lost_after_s: float) -> tuple[Worker, ...]:
    """Return the workers that are remembered, by their names."""
    taken = (
        select(worker_runs.c.worker, func.count())
        .where(worker_runs.c.ended_at.is_(None), worker_runs.c.worker.is_not(None))
        .group_by(worker_runs.c.worker)
    )
    running = {row[0]: row[1] for row in tx.execute(taken)}
    rows = tx.execute(select(workers).order_by(workers.c.name)).all()
    return tuple(
        Worker(
            name=row.name,
            session=row.session,
            host=row.host,
            pid=row.pid,
            version=row.version,
            schema_revision=row.schema_revision,
            queues=tuple(row.queues),
            labels=tuple(row.labels),
            slots=row.slots,
            state=_state(row, tx.now, lost_after_s),
            running=running.get(row.name, 0),
            can_adopt=frozenset(row.can_adopt),
            refusal=row.refusal,
            started_at=row.started_at,
            seen_at=row.seen_at,
            draining_at=row.draining_at,
            ended_at=row.ended_at,
        )
        for row in rows
    )


def _state(row: Row[*tuple[Any, ...]], now: datetime, lost_after_s: float) -> WorkerState:
    if row.ended_at is not None:
        return WorkerState.LOST if is_lost(row.seen_at, row.ended_at, lost_after_s) else WorkerState.ENDED
    if is_lost(row.seen_at, now, lost_after_s):
        return WorkerState.LOST
    if row.refusal is not None:
        return WorkerState.REFUSED
    return WorkerState.LIVE if row.draining_at is None else WorkerState.DRAINING


def open_workers(workers_read: Iterable[Worker]) -> tuple[Worker, ...]:
    """Return those that take runs."""
    return tuple(worker for worker in workers_read if worker.state is WorkerState.LIVE)


def forget(tx: Transaction) -> int:
    """Delete the runs that ended, and the workers that were seen last, longer than `KEPT` ago; return how many."""
    before = tx.now - KEPT
    count = tx.execute(delete(worker_runs).where(worker_runs.c.ended_at < before)).rowcount
    used = select(worker_runs.c.worker).where(worker_runs.c.worker.is_not(None))
    return count + tx.execute(delete(workers).where(workers.c.seen_at < before, workers.c.name.not_in(used))).rowcount
