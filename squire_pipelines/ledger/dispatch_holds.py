"""Until when Squire's own rules held tasks: slots, budgets, caps on pull requests, breakers, settings to correct.

Each look of dispatch leaves behind what held tasks then, and writes only what has changed. From that follows, when an
attempt starts, since when none of them has held its task. A daemon that does not look, an engine that is down and a
machine that is busy are no rules, and hold nothing. Used in dispatch's transaction, under its lock.
"""

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update

from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import attempts, dispatch_holds, task_dependencies, tasks

ALL_SLOTS = "slots"
"""The subject of the slots of all repositories together."""

KEPT = timedelta(days=4)
"""A hold that ended so long ago is forgotten: a task that has been free for as long is late in any case."""

MAX_TASKS = 2_000
"""So many single tasks that are held are recorded at a look."""


def slots_of(repository: str) -> str:
    """Return the subject of a repository's slots."""
    return f"slots of {repository}"


def caps_of(repository: str) -> str:
    """Return the subject of a repository's caps on pull requests, which hold what would open another one."""
    return f"caps of {repository}"


def work_of(repository: str) -> str:
    """Return the subject of what holds all of a repository's tasks: its budget, or its settings."""
    return f"work of {repository}"


def task(task_id: str) -> str:
    """Return the subject of what holds one task."""
    return f"task {task_id}"


class DispatchHolds:
    """What held tasks at dispatch's last look, and until when what held them before.

    Args:
        tx: Dispatch's transaction.
    """

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        row = dispatch_holds.c
        self._rows = {line.subject: line for line in tx.execute(select(row.subject, row.since, row.until))}
        self._ends: dict[str, datetime] = {}
        self._ends_of_dependencies: dict[str, datetime | None] | None = None

    def free_since(self, row: Row[*tuple[Any, ...]], *, waits_for_merge: bool) -> datetime:
        """Return since when nothing has held a task that starts now.

        Args:
            row: The task's, with `adds_to_open`.
            waits_for_merge: Whether what it depends on has to be merged in its repository.
        """
        now = self._tx.now
        if row.cause == Cause.CONFIGURATION:
            return now  # until now it waited for a change of the settings, which this look has seen first
        dependencies = self._dependencies_end(row.id)
        if dependencies is not None and waits_for_merge:
            return now  # when Squire got to know of the merge is not recorded
        moments: list[datetime | None] = [
            row.ready_at or row.created_at,
            row.not_before,
            row.start_requested_at,
            dependencies,
        ]
        subjects = [ALL_SLOTS, slots_of(row.repository), work_of(row.repository), task(row.id)]
        if not row.adds_to_open and row.start_requested_at is None:
            subjects.append(caps_of(row.repository))
        moments += [self._end(subject) for subject in subjects]
        return min(max(moment for moment in moments if moment is not None), now)

    def record(self, subjects: Collection[str]) -> None:
        """Record what holds tasks at the end of this look."""
        now, row = self._tx.now, dispatch_holds.c
        for subject in self._holding - set(subjects):
            ended = {"until": self._end(subject), "updated_at": now}
            self._tx.execute(update(dispatch_holds).where(row.subject == subject).values(**ended))
        for subject in subjects:
            self.add(subject)
        if any(line.until is not None and line.until < now - KEPT for line in self._rows.values()):
            self._tx.execute(delete(dispatch_holds).where(row.until < now - KEPT))

    def add(self, subject: str) -> None:
        """Record one thing that holds tasks, and leave the others as they are."""
        if subject in self._holding:
            return
        values = {"since": self._tx.now, "until": None, "updated_at": self._tx.now}
        if subject in self._rows:
            row = dispatch_holds.c
            self._tx.execute(update(dispatch_holds).where(row.subject == subject).values(**values))
        else:
            self._tx.execute(insert(dispatch_holds).values(subject=subject, **values))

    @property
    def _holding(self) -> set[str]:
        return {subject for subject, line in self._rows.items() if line.until is None}

    def _end(self, subject: str) -> datetime | None:
        """Return until when something held tasks, for one that it does not hold now; None where it never did."""
        line = self._rows.get(subject)
        if line is None or line.until is not None:
            return None if line is None else line.until
        if subject not in self._ends:
            self._ends[subject] = self._slot_end(subject, line.since) or self._tx.now
        return self._ends[subject]

    def _slot_end(self, subject: str, since: datetime) -> datetime | None:
        """Return when a slot became free at the latest: an attempt had ended then, whenever dispatch looked again."""
        prefix = slots_of("")
        if subject != ALL_SLOTS and not subject.startswith(prefix):
            return None
        row = attempts.c
        newest = select(func.max(row.ended_at, type_=row.ended_at.type)).where(row.ended_at >= since)
        if subject != ALL_SLOTS:
            newest = newest.where(row.repository == subject.removeprefix(prefix))
        moment: datetime | None = self._tx.execute(newest).scalar_one()
        return moment

    def _dependencies_end(self, task_id: str) -> datetime | None:
        """Return when the last of what a task depends on was done; None where it depends on nothing."""
        if self._ends_of_dependencies is None:  # of all that is ready by one query
            before = tasks.alias("before")
            query = (
                select(task_dependencies.c.task_id, func.max(before.c.ended_at, type_=before.c.ended_at.type))
                .join(before, task_dependencies.c.depends_on == before.c.id)
                .join(tasks, task_dependencies.c.task_id == tasks.c.id)
                .where(tasks.c.status == TaskStatus.READY)
                .group_by(task_dependencies.c.task_id)
            )
            self._ends_of_dependencies = {row[0]: row[1] for row in self._tx.execute(query)}
        return self._ends_of_dependencies.get(task_id)


def subjects_of(repositories: Collection[str], *, full: Collection[str], task_ids: Collection[str]) -> Iterator[str]:
    """Yield the subjects of repositories whose work is held, of those whose caps are reached, and of held tasks."""
    yield from map(work_of, repositories)
    yield from map(caps_of, full)
    yield from map(task, sorted(task_ids)[:MAX_TASKS])
