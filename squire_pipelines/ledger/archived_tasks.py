"""What the ledger keeps of a task that was archived: one compact row. `retention` says when that happens."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import archived_tasks


@dataclass(frozen=True, slots=True)
class ArchivedTask:
    """The compact row of an archived task; `archive` names the file that has the rest."""

    id: str
    repository: str
    fingerprint: str
    kind: str
    title: str
    status: TaskStatus
    cause: str | None
    attempts: int
    cost_usd: float | None
    branch: str | None
    pr_number: int | None
    pr_url: str | None
    outcome: str | None
    trace_id: str | None
    created_at: datetime
    ended_at: datetime
    archived_at: datetime
    archive: str | None


def archived_task(tx: Transaction, task_id: str) -> ArchivedTask | None:
    """Return the compact row of an archived task, None when there is none."""
    row = tx.execute(select(archived_tasks).where(archived_tasks.c.id == task_id)).one_or_none()
    if row is None:
        return None
    values = {name: getattr(row, name) for name in ArchivedTask.__slots__}
    return ArchivedTask(**{**values, "status": TaskStatus(row.status)})
