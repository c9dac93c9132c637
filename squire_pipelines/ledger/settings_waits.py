"""Tasks that wait for a change of the user's: their last attempt ended for what only the user can change."""

from dataclasses import dataclass

from sqlalchemy import and_, select

from squire_pipelines.domain.endings import Cause, Evidence
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.stored_json import read_json
from squire_pipelines.ledger.tables import attempts, tasks

_MAX_TASKS = 10_000


@dataclass(frozen=True, slots=True)
class WaitingTask:
    """A ready task that waits for a change.

    Args:
        id: The task's.
        repository: Its repository.
        message: What to change.
        settings_mark: Of the settings and keys with which its last attempt could not go on.
    """

    id: str
    repository: str
    message: str
    settings_mark: str | None


def waiting_for_settings(tx: Transaction) -> tuple[WaitingTask, ...]:
    """Return the tasks that wait, or would if nothing had changed since; whoever knows the settings compares."""
    last = and_(attempts.c.task_id == tasks.c.id, attempts.c.number == tasks.c.attempts)
    rows = tx.execute(
        select(tasks.c.id, tasks.c.repository, tasks.c.message, attempts.c.evidence)
        .join(attempts, last)
        .where(tasks.c.status == TaskStatus.READY, tasks.c.cause == Cause.CONFIGURATION)
        .order_by(tasks.c.id)
        .limit(_MAX_TASKS)
    )
    evidence = [(row, read_json(Evidence, row.evidence)) for row in rows]
    return tuple(
        WaitingTask(row.id, row.repository, row.message or "", seen.settings_mark if seen is not None else None)
        for row, seen in evidence
    )
