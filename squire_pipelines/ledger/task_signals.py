"""Which tasks were made for which signals: how often a fact has been worked on, whatever became of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, case, delete, func, insert, select

from squire_pipelines.domain.signals import Signal
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import signals, task_signals, tasks

_UNDER_WAY = [status for status in TaskStatus if not status.is_final]


def record(tx: Transaction, repository: str, task_id: str, versions: Mapping[str, str]) -> None:
    """Record that a task was made for these signals: their refs, each with its version."""
    rows = []
    for ref, version in versions.items():
        kind, _, key = ref.partition(":")
        row = {"repository": repository, "kind": kind, "key": key, "version": version}
        rows.append({**row, "task_id": task_id, "at": tx.now})
    if rows:
        tx.execute(insert(task_signals), rows)


def worked_on(
    tx: Transaction, repository: str, present: Sequence[Signal], *, times: int, without: Sequence[str] = ()
) -> frozenset[str]:
    """Return the refs of those signals for which, as they are now, so many tasks were made already.

    The tasks of `without` do not count.
    """
    made = tx.execute(_counts(repository).where(task_signals.c.task_id.not_in(without)))
    counts = {(row.kind, row.key, row.version): row.tasks for row in made}
    return frozenset(
        signal.ref for signal in present if counts.get((signal.kind.value, signal.key, signal.version), 0) >= times
    )


def rounds(tx: Transaction, repository: str, versions: Mapping[str, str], *, times: int) -> dict[str, int]:
    """Return for each ref how many tasks that have ended were made for its version, but less than `times`."""
    if times == 1:
        return {}
    ended = {f"{row.kind}:{row.key}": row.ended for row in tx.execute(_counts(repository)) if _is_in(row, versions)}
    return {ref: min(count, times - 1) for ref, count in ended.items() if count}


@dataclass(frozen=True, slots=True)
class TaskOfSignal:
    """A task that was made of a signal; `of_present` says whether of the signal as it is now."""

    task_id: str
    status: str
    at: datetime
    of_present: bool

    @property
    def is_open(self) -> bool:
        """Whether the task has not ended."""
        return self.status in _UNDER_WAY


def tasks_of(tx: Transaction, signal: Signal, *, limit: int = 20) -> tuple[TaskOfSignal, ...]:
    """Return the newest tasks that were made of a signal, in whatever version, without archived ones."""
    made = task_signals.c
    rows = tx.execute(
        select(made.task_id, tasks.c.status, made.at, made.version)
        .join(tasks, tasks.c.id == made.task_id)
        .where(made.repository == signal.repository, made.kind == signal.kind, made.key == signal.key)
        .order_by(made.at.desc(), made.task_id)
        .limit(limit)
    )
    return tuple(TaskOfSignal(row.task_id, row.status, row.at, row.version == signal.version) for row in rows)


def newest_task_of(tx: Transaction, repository: str, kind: str, key: str) -> str | None:
    """Return the newest task that was made of a signal and is not archived; None where there is none."""
    made = task_signals.c
    newest = (
        select(made.task_id)
        .join(tasks, tasks.c.id == made.task_id)
        .where(made.repository == repository, made.kind == kind, made.key == key)
        .order_by(made.at.desc(), made.task_id.desc())
        .limit(1)
    )
    task_id: str | None = tx.execute(newest).scalar_one_or_none()
    return task_id


def _is_in(row: Any, versions: Mapping[str, str]) -> bool:
    return bool(versions.get(f"{row.kind}:{row.key}") == row.version)


def _counts(repository: str) -> Select[*tuple[Any, ...]]:
    """Select how many tasks, and how many that have ended, were made for each version of a repository's signals."""
    by = task_signals.c["kind", "key", "version"]
    has_ended = case((tasks.c.status.in_(_UNDER_WAY), 0), else_=1)  # what was archived has ended too
    return (
        select(*by, func.count().label("tasks"), func.sum(has_ended).label("ended"))
        .select_from(task_signals.outerjoin(tasks, tasks.c.id == task_signals.c.task_id))
        .where(task_signals.c.repository == repository)
        .group_by(*by)
    )


def forget(tx: Transaction, keys: Iterable[int], is_due: ColumnElement[bool]) -> None:
    """Delete what is recorded for these rows of `signals`, which are about to be deleted."""
    is_of_signal = (
        signals.c.repository == task_signals.c.repository,
        signals.c.kind == task_signals.c.kind,
        signals.c.key == task_signals.c.key,
    )
    going = select(signals.c.id).where(*is_of_signal, signals.c.id.in_(keys), is_due).exists()
    tx.execute(delete(task_signals).where(going))
