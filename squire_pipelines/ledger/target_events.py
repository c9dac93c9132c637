"""Reads what counts for targets: tasks and containers that ended, waits for an agent, and times to a pull request.

What Squire's own rules held (slots, dependencies, budgets, caps, breakers, a time) did not wait for an agent: times
count from `attempts.startable_at`, which dispatch records.
"""

from collections.abc import Callable

from sqlalchemy import and_, select

from squire_pipelines.domain.endings import CONTAINER_FAILURES, Cause
from squire_pipelines.domain.targets import LONGEST, TargetEvent, TargetName, Targets
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import attempts, outcomes, tasks

_MOST = 5000
"""Of the newest tasks and attempts: more of them in three days are judged by these."""


def read_target_events(tx: Transaction, targets_of: Callable[[str], Targets]) -> tuple[TargetEvent, ...]:
    """Return what counts for the targets of the last days. What a person cancelled counts for none."""
    return (*_tasks(tx), *_attempts(tx, targets_of), *_pull_requests(tx, targets_of))


def _tasks(tx: Transaction) -> list[TargetEvent]:
    row = tasks.c
    query = select(row.id, row.repository, row.status, row.ended_at).where(row.ended_at > tx.now - LONGEST)
    newest = tx.execute(query.order_by(row.ended_at.desc(), row.id.desc()).limit(_MOST))
    return [
        TargetEvent(
            task.repository, TargetName.TASK_FAILURE, task.ended_at, task.status == TaskStatus.FAILED, task_id=task.id
        )
        for task in newest
        if task.status != TaskStatus.CANCELLED
    ]


def _attempts(tx: Transaction, targets_of: Callable[[str], Targets]) -> list[TargetEvent]:
    row = attempts.c
    query = (
        select(row.task_id, row.repository, row.startable_at, row.agent_started_at, row.ended_at, row.cause)
        .where(row.queued_at > tx.now - LONGEST, row.agent_started_at.is_not(None))
        .order_by(row.queued_at.desc(), row.id.desc())
        .limit(_MOST)
    )
    events: list[TargetEvent] = []
    for attempt in tx.execute(query):
        started = attempt.agent_started_at
        if attempt.ended_at is not None and attempt.cause != Cause.CANCELLED:
            is_crash = attempt.cause in CONTAINER_FAILURES
            events.append(
                TargetEvent(
                    attempt.repository, TargetName.CONTAINER_CRASH, attempt.ended_at, is_crash, task_id=attempt.task_id
                )
            )
        if attempt.startable_at is not None:
            took = (started - attempt.startable_at).total_seconds()
            is_late = took > targets_of(attempt.repository).ready_to_agent_s
            target = TargetName.READY_TO_AGENT
            events.append(TargetEvent(attempt.repository, target, started, is_late, attempt.task_id, took))
    return events


def _pull_requests(tx: Transaction, targets_of: Callable[[str], Targets]) -> list[TargetEvent]:
    row, first = outcomes.c, attempts.c
    query = (
        select(row.task_id, row.repository, row.opened_at, first.startable_at)
        .join(attempts, and_(first.task_id == row.task_id, first.number == 1))
        # The index is that of `updated_at`, which is never before a pull request was opened.
        .where(row.updated_at > tx.now - LONGEST, row.opened_at > tx.now - LONGEST, first.startable_at.is_not(None))
        .order_by(row.opened_at.desc(), row.task_id.desc())
        .limit(_MOST)
    )
    target = TargetName.READY_TO_PULL_REQUEST
    events: list[TargetEvent] = []
    for pull in tx.execute(query):
        took = (pull.opened_at - pull.startable_at).total_seconds()
        is_late = took > targets_of(pull.repository).ready_to_pull_request_s
        events.append(TargetEvent(pull.repository, target, pull.opened_at, is_late, pull.task_id, took))
    return events
