"""Which proposed tasks are to be announced on the issue that they answer, and which were."""

from dataclasses import dataclass

from sqlalchemy import and_, insert, or_, select, update

from squire_pipelines.domain.signals import SignalKind
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import announcements, task_signals, tasks
from squire_pipelines.ledger.telling_tries import MAX_TRIES, next_try

_PER_LOOK = 20


@dataclass(frozen=True, slots=True)
class Announcement:
    """A proposed task, and the issue on which it is to be announced: the first that it answers."""

    task_id: str
    repository: str
    number: int


def due(tx: Transaction, repository: str) -> tuple[Announcement, ...]:
    """Return the tasks of a repository that are to be announced now, the oldest first."""
    row = announcements.c
    is_due = or_(row.task_id.is_(None), and_(row.comment_id.is_(None), row.again_at <= tx.now))
    query = (
        select(tasks.c.id, task_signals.c.key)
        .join(task_signals, task_signals.c.task_id == tasks.c.id)
        .outerjoin(announcements, row.task_id == tasks.c.id)
        .where(
            tasks.c.repository == repository,
            tasks.c.status == TaskStatus.PROPOSED,
            task_signals.c.kind == SignalKind.OPEN_ISSUE,
            is_due,
        )
        .order_by(tasks.c.id, task_signals.c.at, task_signals.c.key)
        .limit(_PER_LOOK)
    )
    first: dict[str, Announcement] = {}
    for row_of_task in tx.execute(query):
        if row_of_task.key.isdecimal():
            first.setdefault(row_of_task.id, Announcement(row_of_task.id, repository, int(row_of_task.key)))
    return tuple(first.values())


def begin(tx: Transaction, announcement: Announcement) -> bool:
    """Record that a try begins; False where another process has begun one meanwhile, or the task was decided about."""
    tx.exclusive("announcements")
    if announcement.task_id not in {one.task_id for one in due(tx, announcement.repository)}:
        return False
    row = announcements.c
    before = tx.execute(select(row.tries).where(row.task_id == announcement.task_id)).scalar_one_or_none()
    tries = (before or 0) + 1
    # Until the try is over, and where it is killed: the comment that it may have written is found then.
    again_at = next_try(tx.now, tries) if tries < MAX_TRIES else None
    values = {"tries": tries, "again_at": again_at, "updated_at": tx.now}
    if before is None:
        place = {"repository": announcement.repository, "number": announcement.number}
        tx.execute(insert(announcements).values(task_id=announcement.task_id, **place, **values))
    else:
        tx.execute(update(announcements).where(row.task_id == announcement.task_id).values(**values))
    return True


def record_comment(tx: Transaction, task_id: str, comment_id: int) -> None:
    """Record that a task was announced, by which comment."""
    values = {"comment_id": comment_id, "again_at": None, "error": None, "updated_at": tx.now}
    tx.execute(update(announcements).where(announcements.c.task_id == task_id).values(**values))


def record_error(tx: Transaction, task_id: str, error: str) -> None:
    """Record why a task could not be announced."""
    row = update(announcements).where(announcements.c.task_id == task_id)
    tx.execute(row.values(error=error, updated_at=tx.now))


def last_error(tx: Transaction, task_id: str) -> str | None:
    """Return why a task could not be announced; None where it was, or nobody has tried."""
    row = announcements.c
    return tx.execute(select(row.error).where(row.task_id == task_id, row.comment_id.is_(None))).scalar_one_or_none()
