"""Tasks that depend on others: what ends them when such a one did not succeed, or its pull request was refused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, String, case, literal_column, or_, select, text

from squire_pipelines.domain.outcomes import PullRequestState
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.ledger.pull_request_use import has_pull_request
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import task_dependencies, tasks
from squire_pipelines.ledger.tasks import cancel

_REFUSED = (PullRequestState.CLOSED, PullRequestState.REVERTED)


def dependency_ended(task_id: str, status: str, cause: str | None = None) -> str:
    """Return the sentence by which a task is cancelled that depends on one which ended like this."""
    how = f"{status}: {cause}" if cause is not None and cause != status else status
    return f"the task {task_id}, which it depends on, did not succeed ({how})"


@dataclass(frozen=True, slots=True)
class Dependency:
    """A task that another one depends on, and its state."""

    task_id: str
    status: TaskStatus


def dependencies_of(tx: Transaction, task_ids: Sequence[str]) -> Mapping[str, tuple[Dependency, ...]]:
    """Return what tasks depend on, by their ids; one that depends on nothing is left out."""
    rows = tx.execute(
        select(task_dependencies.c.task_id, tasks.c.id, tasks.c.status)
        .join(tasks, tasks.c.id == task_dependencies.c.depends_on)
        .where(task_dependencies.c.task_id.in_(task_ids))
        .order_by(task_dependencies.c.task_id, tasks.c.id)
    )
    by_task: dict[str, tuple[Dependency, ...]] = {}
    for row in rows:
        by_task[row.task_id] = (*by_task.get(row.task_id, ()), Dependency(row.id, TaskStatus(row.status)))
    return by_task


def refused_as(tx: Transaction, task_id: str) -> PullRequestState | None:
    """Return how a task's pull request, or the one that it added to, was refused; None where none was."""
    states = (case((text(has_pull_request("tasks", state)), 1), else_=0).label(state) for state in _REFUSED)
    row = tx.execute(select(*states).where(tasks.c.id == task_id)).one_or_none()
    return None if row is None else next((state for state in _REFUSED if getattr(row, state)), None)


def cancel_dependents(tx: Transaction, *, limit: int = 1000) -> tuple[str, ...]:
    """Cancel tasks that wait for one which can no longer be what they wait for. Returns their ids.

    That is one that failed or was cancelled, and one whose pull request was closed or reverted, or the one that it
    added to: to close it is a no. Call it until there are none.
    """
    before = tasks.alias("before")
    was_refused = or_(*(text(has_pull_request("before", state)) for state in _REFUSED))
    state = case(
        *((text(has_pull_request("before", state)), literal_column(f"'{state}'", String)) for state in _REFUSED)
    )
    has_failed = before.c.status.in_([TaskStatus.FAILED, TaskStatus.CANCELLED])
    rows = tx.execute(
        select(tasks.c.id, before.c.id.label("depends_on"), before.c.status, before.c.cause, state.label("state"))
        .join(task_dependencies, task_dependencies.c.task_id == tasks.c.id)
        .join(before, before.c.id == task_dependencies.c.depends_on)
        .where(
            tasks.c.status.in_([TaskStatus.PROPOSED, TaskStatus.READY]),
            or_(has_failed, (before.c.status == TaskStatus.SUCCEEDED) & was_refused),
        )
        .order_by(tasks.c.id, before.c.id)
        .limit(limit)
    ).all()
    reasons: dict[str, str] = {}
    for row in rows:
        reasons.setdefault(row.id, _reason(row))
    for task_id, reason in reasons.items():
        cancel(tx, task_id, actor="dispatch", reason=reason)
    return tuple(reasons)


def _reason(row: Row[*tuple[Any, ...]]) -> str:
    if row.status != TaskStatus.SUCCEEDED:
        return dependency_ended(row.depends_on, row.status, row.cause)
    return f"the pull request of the task {row.depends_on}, which it depends on, was {row.state}"
