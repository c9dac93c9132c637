"""Dispatch: which ready tasks are started, and the attempts that start with them, all in one transaction."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, case, exists, func, insert, literal, or_, select

from squire_pipelines.domain.agent_choice import AgentChoice
from squire_pipelines.domain.budgets import BudgetLimits, Purpose
from squire_pipelines.domain.dispatch_order import ageing_moments, urgency
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.identity import attempt_id as id_of_attempt
from squire_pipelines.domain.provider_limits import DayLimits, limited, no_room, share_of_day
from squire_pipelines.domain.tasks import AttemptStatus, TaskStatus
from squire_pipelines.errors import StateConflictError
from squire_pipelines.ledger import budgets
from squire_pipelines.ledger import tasks as task_rows
from squire_pipelines.ledger.attempts import Attempt, get
from squire_pipelines.ledger.provider_budgets import reserve_at_providers
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import attempts, task_dependencies, tasks
from squire_pipelines.ledger.task_traits import ChooseAgent, traits_of
from squire_pipelines.ledger.transitions import change_task, record_attempt_event

_LOOK_AHEAD = (1, 8, 64)
"""How far beyond the tasks whose turn it is others are looked for, while those wait for their agent."""


PRIORITY_STEP_S = 21_600.0
"""The default of `dispatch.priority_step_s`."""

NO_SLOTS: Mapping[str, int] = MappingProxyType({})
DayLimitsOf = Callable[[str, AgentChoice | None, str | None], DayLimits]
"""Takes the repository, the agent's choice and the attempt's id."""


@dataclass(frozen=True, slots=True)
class _Limits:
    """Says what attempts may cost: by repository, and by provider."""

    budgets: budgets.LimitsOf | None
    days: DayLimitsOf | None


def dispatch(
    tx: Transaction,
    *,
    max_concurrent: int,
    max_per_repository: int,
    claim_deadline_s: float,
    priority_step_s: float = PRIORITY_STEP_S,
    slots: Mapping[str, int] = NO_SLOTS,
    without: Collection[str] = (),
    changed: Collection[str] = (),
    limits_of: budgets.LimitsOf | None = None,
    choose: ChooseAgent | None = None,
    day_limits_of: DayLimitsOf | None = None,
) -> tuple[Attempt, ...]:
    """Start an attempt for every task whose turn it is, all in this transaction; none in the repositories `without`.

    However many dispatchers there are, no more than `max_concurrent` attempts are open at once and no more than
    `max_per_repository` of one repository, or fewer where `slots` have fewer for it. Their order is that of
    `domain.dispatch_order`, in which a task rises by one priority for each `priority_step_s` that it waits. The new
    attempts are `queued`; their run has to claim them within `claim_deadline_s`. With `limits_of`, each attempt
    reserves its budget, and tasks that do not fit theirs wait. So do those whose last attempt ended for what
    only the user can change, but for `changed`: it has been.
    `choose` says which agent each attempt gets, which is recorded with it; a task for which it names none waits, and
    those behind it are looked at instead. `day_limits_of` gives the limits of a day of an attempt's providers, of which
    it reserves its share; a task waits while none of its providers has room.
    """
    tx.exclusive("dispatch")
    while task_rows.cancel_dependents(tx):
        pass  # each round cancels at least one task, which the next does not return again
    open_attempts = select(attempts.c.repository, func.count()).where(attempts.c.status != AttemptStatus.ENDED)
    rows = tx.execute(open_attempts.group_by(attempts.c.repository))
    open_by_repository: Counter[str] = Counter({row[0]: row[1] for row in rows})
    limits = _Limits(limits_of, day_limits_of)
    started: list[Attempt] = []
    if open_by_repository.total() >= max_concurrent:
        return ()
    blocked = budgets.BudgetBlocks({}, {}) if limits_of is None else budgets.blocked_by_budget(tx, limits_of)
    where, passed_over = {*without, *blocked.repositories}, set(blocked.tasks)
    moments = ageing_moments(tx.now, priority_step_s)
    for times in _LOOK_AHEAD:
        waiting: set[str] = set()
        most = max_per_repository * times, max_concurrent * times
        for task in _due(tx, *most, where, passed_over, changed=changed, moments=moments):
            if open_by_repository.total() >= max_concurrent:
                return tuple(started)
            if open_by_repository[task.repository] >= min(
                max_per_repository, slots.get(task.repository, max_concurrent)
            ):
                continue
            choice = _choose(tx, task, choose)
            if choice is None and choose is not None:
                waiting.add(task.id)
            elif (attempt := _reserve_and_start(tx, task, claim_deadline_s, limits, choice)) is not None:
                started.append(attempt)
                open_by_repository[task.repository] += 1
        if not waiting:
            break
        passed_over |= waiting
    return tuple(started)


def _reserve_and_start(
    tx: Transaction,
    task: Row[*tuple[Any, ...]],
    claim_deadline_s: float,
    limits: _Limits,
    choice: AgentChoice | None,
) -> Attempt | None:
    """Return a task's new attempt; None when its budget has no room, or somebody has just cancelled it."""
    if not _reserve(tx, task, limits, choice):
        return None
    try:
        return _start(tx, task, claim_deadline_s, choice)
    except StateConflictError:
        # Cancelled at this very moment, by a transaction that ended before ours.
        budgets.release(tx, id_of_attempt(task.id, task.attempts + 1))
        return None


def _choose(tx: Transaction, task: Row[*tuple[Any, ...]], choose: ChooseAgent | None) -> AgentChoice | None:
    return None if choose is None else choose(traits_of(tx, task.id, task.repository, task.kind, task.spec))


def _reserve(tx: Transaction, task: Row[*tuple[Any, ...]], limits_of: _Limits, choice: AgentChoice | None) -> bool:
    attempt = id_of_attempt(task.id, task.attempts + 1)
    limits = limits_of.budgets(task.repository) if limits_of.budgets is not None else BudgetLimits()
    shortage = budgets.reserve(
        tx,
        attempt,
        Purpose.ATTEMPT,
        limits,
        repository=task.repository,
        task_id=task.id,
        attempt_id=attempt,
        trace_id=task.trace_id,
    )
    if shortage is not None:
        return False
    day = limits_of.days(task.repository, choice, attempt) if limits_of.days is not None else {}
    usd = share_of_day(limits.cap(Purpose.ATTEMPT), day)
    if usd is None or not limited(day):
        return True
    if not no_room(day, reserve_at_providers(tx, attempt, limited(day), usd).values()):
        return True
    budgets.release(tx, attempt)
    return False


def _due(
    tx: Transaction,
    max_per_repository: int,
    limit: int,
    without: Collection[str],
    without_tasks: Collection[str],
    *,
    changed: Collection[str],
    moments: tuple[datetime, ...],
) -> tuple[Row[*tuple[Any, ...]], ...]:
    """Return the first `max_per_repository` of each repository, so that a long queue hides no other repository."""
    before = tasks.alias("before")
    blocked = exists().where(
        task_dependencies.c.task_id == tasks.c.id,
        task_dependencies.c.depends_on == before.c.id,
        before.c.status != TaskStatus.SUCCEEDED,
    )
    order = _urgency(moments)
    turn = func.row_number().over(partition_by=tasks.c.repository, order_by=order)
    labelled = [column.label(f"urgency_{place}") for place, column in enumerate(order)]
    ranked = (
        select(tasks.c.id, turn.label("turn"), *labelled)
        .where(
            tasks.c.status == TaskStatus.READY,
            tasks.c.repository.not_in(without),
            tasks.c.id.not_in(without_tasks),
            or_(tasks.c.cause.is_distinct_from(Cause.CONFIGURATION), tasks.c.id.in_(changed)),
            or_(tasks.c.not_before.is_(None), tasks.c.not_before <= tx.now),
            ~blocked,
        )
        .subquery()
    )
    # The rows are read by their ids afterwards: in a join, Postgres with statistics from before the tasks came may
    # rank all of them again for each row.
    first = (
        select(ranked.c.id)
        .where(ranked.c.turn <= max_per_repository)
        .order_by(*(ranked.c[column.name] for column in labelled))
        .limit(limit)
    )
    ids = list(tx.execute(first).scalars())
    rows = tx.execute(select(tasks).where(tasks.c.id.in_(ids))).all()
    return tuple(sorted(rows, key=lambda row: urgency(row, moments)))


def _urgency(moments: tuple[datetime, ...]) -> tuple[ColumnElement[Any], ...]:
    """Return the columns of `domain.dispatch_order.urgency`, by which a page of the queue is found; a test compares."""
    steps = sum((case((tasks.c.ready_at <= moment, 1), else_=0) for moment in moments), start=literal(0))
    has_risen = tasks.c.ready_at <= moments[0]
    return (
        case((tasks.c.priority <= steps, 0), else_=tasks.c.priority - steps),
        case((and_(tasks.c.attempts > 0, ~has_risen), 1), else_=0),
        tasks.c.ready_at,
        tasks.c.id,
    )


def _start(
    tx: Transaction, task: Row[*tuple[Any, ...]], claim_deadline_s: float, choice: AgentChoice | None
) -> Attempt:
    number = task.attempts + 1
    attempt = id_of_attempt(task.id, number)
    before, after = TaskStatus.READY, TaskStatus.RUNNING
    change_task(tx, task, before, after, actor="dispatch", reason=f"attempt {number}", attempts=number)
    tx.execute(
        insert(attempts).values(
            id=attempt,
            task_id=task.id,
            number=number,
            repository=task.repository,
            status=AttemptStatus.QUEUED,
            trace_id=task.trace_id,
            claim_until=tx.now + timedelta(seconds=claim_deadline_s),
            queued_at=tx.now,
            not_before=task.not_before,
            previous_id=id_of_attempt(task.id, number - 1) if number > 1 else None,
            updated_at=tx.now,
            **({} if choice is None else {"choice": choice.model_dump(mode="json")}),
        )
    )
    started = get(tx, attempt)
    record_attempt_event(tx, started, None, started.status, actor="dispatch", reason="dispatched")
    return started
