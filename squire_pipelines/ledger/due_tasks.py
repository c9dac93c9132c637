"""Reads which ready tasks are due, in the order in which they are started. `task_dispatch` starts them."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Row,
    and_,
    case,
    exists,
    false,
    func,
    literal,
    literal_column,
    or_,
    select,
)

from squire_pipelines.domain.dispatch_order import urgency
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.ledger.pull_request_use import has_pull_request
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import task_dependencies, tasks


@dataclass(frozen=True, slots=True)
class DueRules:
    """What decides which ready tasks are due.

    Args:
        without: Repositories in which nothing is started.
        changed: Tasks whose last attempt ended for what only the user can change, and where that was done.
        full: Repositories without room for another pull request. Tasks that add to an open one are due there all the
            same, and those that a person has started.
        merging: Repositories in which a dependency has to be merged.
        moments: As `ageing_moments` gives them.
        only: Repositories in which alone something is started; None for all.
    """

    without: frozenset[str]
    changed: Collection[str]
    full: frozenset[str]
    merging: frozenset[str]
    moments: tuple[datetime, ...]
    only: frozenset[str] | None = None


def count_due(tx: Transaction, rules: DueRules, *, without_tasks: Collection[str]) -> dict[str, int]:
    """Return how many tasks of each repository are due."""
    query = select(tasks.c.repository, func.count()).where(*_is_due(tx, rules, without_tasks))
    return {row[0]: row[1] for row in tx.execute(query.group_by(tasks.c.repository))}


def read_due(
    tx: Transaction, rules: DueRules, *, per_repository: int, limit: int, without_tasks: Collection[str]
) -> tuple[Row[*tuple[Any, ...]], ...]:
    """Return the first `per_repository` of each repository, so that a long queue hides no other repository.

    The rows are those of tasks, with `adds_to_open`: whether it adds to a pull request that is open.
    """
    order = _urgency(rules.moments)
    turn = func.row_number().over(partition_by=tasks.c.repository, order_by=order)
    labelled = [column.label(f"urgency_{place}") for place, column in enumerate(order)]
    ranked = select(tasks.c.id, turn.label("turn"), *labelled).where(*_is_due(tx, rules, without_tasks)).subquery()
    # The rows are read by their ids afterwards: in a join, Postgres with statistics from before the tasks came may
    # rank all of them again for each row.
    first = (
        select(ranked.c.id)
        .where(ranked.c.turn <= per_repository)
        .order_by(*(ranked.c[column.name] for column in labelled))
        .limit(limit)
    )
    ids = list(tx.execute(first).scalars())
    adds = literal_column(has_pull_request("tasks", "open"), Boolean).label("adds_to_open")
    rows = tx.execute(select(*tasks.c, adds).where(tasks.c.id.in_(ids))).all()
    return tuple(sorted(rows, key=lambda row: urgency(row, rules.moments)))


def _is_due(tx: Transaction, rules: DueRules, without_tasks: Collection[str]) -> tuple[ColumnElement[bool], ...]:
    return (
        tasks.c.status == TaskStatus.READY,
        tasks.c.repository.not_in(rules.without),
        tasks.c.id.not_in(without_tasks),
        or_(tasks.c.cause.is_distinct_from(Cause.CONFIGURATION), tasks.c.id.in_(rules.changed)),
        or_(tasks.c.not_before.is_(None), tasks.c.not_before <= tx.now),
        ~_is_blocked(rules.merging),
        *_has_room(rules.full),
        *(() if rules.only is None else (tasks.c.repository.in_(rules.only),)),
    )


def _urgency(moments: tuple[datetime, ...]) -> tuple[ColumnElement[Any], ...]:
    """Return the columns of `domain.dispatch_order.urgency`, by which a page of the queue is found; a test compares."""
    since = func.coalesce(tasks.c.ready_at, tasks.c.created_at)
    steps = sum((case((since <= moment, 1), else_=0) for moment in moments), start=literal(0))
    has_risen = since <= moments[0]
    return (
        case((tasks.c.start_requested_at.is_(None), 1), else_=0),
        case((tasks.c.priority <= steps, 0), else_=tasks.c.priority - steps),
        case((and_(tasks.c.attempts > 0, ~has_risen), 1), else_=0),
        since,
        tasks.c.id,
    )


def _is_blocked(merging: frozenset[str]) -> ColumnElement[bool]:
    """Return the condition that a task depends on one that is not done, or not merged where it has to be."""
    before = tasks.alias("before")
    is_open = literal_column(has_pull_request("before", "open"), Boolean)
    is_unmerged = and_(tasks.c.repository.in_(merging), is_open) if merging else false()
    return exists().where(
        task_dependencies.c.task_id == tasks.c.id,
        task_dependencies.c.depends_on == before.c.id,
        or_(before.c.status != TaskStatus.SUCCEEDED, is_unmerged),
    )


def _has_room(full: frozenset[str]) -> tuple[ColumnElement[bool], ...]:
    if not full:
        return ()
    adds = literal_column(has_pull_request("tasks", "open"), Boolean)
    return (or_(tasks.c.repository.not_in(full), tasks.c.start_requested_at.is_not(None), adds),)
