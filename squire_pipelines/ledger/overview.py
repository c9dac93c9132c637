"""What an operator sees of the work at a glance: attempts that run, how much waits, pull requests that are open."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, case, func, select

from squire_pipelines.domain.following import FollowState
from squire_pipelines.domain.merging import MergeProgress
from squire_pipelines.domain.outcomes import PullRequestState
from squire_pipelines.domain.tasks import AttemptStatus, TaskStatus
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import attempts, merges, outcomes, tasks
from squire_pipelines.ledger.tenants import of_tenant

_UNFINISHED = (TaskStatus.PROPOSED, TaskStatus.READY, TaskStatus.RUNNING)
_Whose = tuple[ColumnElement[bool], ...]
_WAITS_FOR: Mapping[str, str] = {
    FollowState.WAITING_FOR_CI: "its checks",
    FollowState.FIXING: "Squire's fix of its checks",
    FollowState.WAITING_FOR_REVIEW: "a review",
    FollowState.ANSWERING: "Squire's answer to remarks",
    FollowState.UPDATING: "its base to be merged into it",
    FollowState.WAITING_FOR_MERGE: "a merge",
    FollowState.HANDED_OVER: "a person",
}


@dataclass(frozen=True, slots=True)
class OpenAttempt:
    """An attempt that has not ended. `agent` is None before one was chosen; `since` is when it was dispatched."""

    task_id: str
    repository: str
    title: str
    number: int
    status: str
    agent: str | None
    model: str | None
    since: datetime


@dataclass(frozen=True, slots=True)
class ListedPullRequest:
    """A pull request of ours that is open: what it waits for, why, and since when, as far as that is known."""

    task_id: str
    repository: str
    number: int
    title: str
    url: str
    waits_for: str
    reason: str
    since: datetime

    @property
    def needs_a_person(self) -> bool:
        """Whether Squire does nothing more there by itself."""
        return self.waits_for == _WAITS_FOR[FollowState.HANDED_OVER]


@dataclass(frozen=True, slots=True)
class WorkOverview:
    """The work as it is now.

    Args:
        now: The ledger's time.
        counts: How many tasks there are in each state that is not final.
        attempts: The oldest of those that have not ended.
        attempts_total: How many there are in all.
        pulls: Those first that wait for a person, then the oldest.
        pulls_total: How many are open in all.
        oldest_proposal: When the oldest proposed task was made; None where there is none.
    """

    now: datetime
    counts: Mapping[str, int]
    attempts: tuple[OpenAttempt, ...]
    attempts_total: int
    pulls: tuple[ListedPullRequest, ...]
    pulls_total: int
    oldest_proposal: datetime | None


def read_overview(tx: Transaction, *, limit: int = 50, tenant: str | None = None) -> WorkOverview:
    """Read the work of all tenants or of one, with at most `limit` attempts and as many pull requests."""
    status, whose = tasks.c.status, of_tenant(tenant, tasks.c.repository, tasks.c.ended_at)
    rows = tx.execute(select(status, func.count()).where(status.in_(_UNFINISHED), *whose).group_by(status))
    counts = dict.fromkeys(map(str, _UNFINISHED), 0) | {str(name): count for name, count in rows}
    oldest = tx.execute(select(func.min(tasks.c.created_at)).where(status == TaskStatus.PROPOSED, *whose)).scalar_one()
    open_attempts, attempts_total = _read_attempts(tx, limit, whose)
    pulls, pulls_total = _read_pulls(tx, limit, whose)
    return WorkOverview(tx.now, counts, open_attempts, attempts_total, pulls, pulls_total, oldest)


def _read_attempts(tx: Transaction, limit: int, whose: _Whose) -> tuple[tuple[OpenAttempt, ...], int]:
    row = attempts.c
    is_open = and_(row.status != AttemptStatus.ENDED, *whose)
    columns = (row.task_id, row.repository, row.number, row.status, row.agent, row.model, row.choice, row.queued_at)
    query = select(*columns, tasks.c.title).join(tasks, tasks.c.id == row.task_id).where(is_open)
    rows = tx.execute(query.order_by(row.queued_at, row.id).limit(limit)).all()
    counted = attempts.join(tasks, tasks.c.id == row.task_id) if whose else attempts
    total = tx.execute(select(func.count()).select_from(counted).where(is_open)).scalar_one()
    return tuple(map(_attempt, rows)), int(total)


def _attempt(row: Row[*tuple[Any, ...]]) -> OpenAttempt:
    choice = row.choice or {}
    agent, model = row.agent or choice.get("agent"), row.model or choice.get("model")
    return OpenAttempt(row.task_id, row.repository, row.title, row.number, row.status, agent, model, row.queued_at)


def _read_pulls(tx: Transaction, limit: int, whose: _Whose) -> tuple[tuple[ListedPullRequest, ...], int]:
    row = outcomes.c
    is_open = and_(row.state == PullRequestState.OPEN, *whose)
    columns = (row.task_id, row.repository, row.pr_number, row.pr_url, row.follow_state, row.follow_reason)
    query = (
        select(*columns, row.follow_since, row.opened_at, tasks.c.title, merges.c.reason, merges.c.progress)
        .join(tasks, tasks.c.id == row.task_id)
        .join(merges, merges.c.task_id == row.task_id, isouter=True)
        .where(is_open)
    )
    person_first = case((row.follow_state == FollowState.HANDED_OVER, 0), else_=1)
    pulls = tx.execute(query.order_by(person_first, row.opened_at, row.task_id).limit(limit)).all()
    counted = outcomes.join(tasks, tasks.c.id == row.task_id) if whose else outcomes
    total = tx.execute(select(func.count()).select_from(counted).where(is_open)).scalar_one()
    return tuple(map(_pull, pulls)), int(total)


def _pull(row: Row[*tuple[Any, ...]]) -> ListedPullRequest:
    waits_for, reason = _WAITS_FOR.get(row.follow_state or "", "to be looked at"), row.follow_reason or ""
    if row.follow_state == FollowState.WAITING_FOR_MERGE and row.progress == MergeProgress.WAITING:
        reason = row.reason
    since = row.follow_since or row.opened_at
    return ListedPullRequest(
        row.task_id, row.repository, row.pr_number, row.title, row.pr_url, waits_for, reason, since
    )
