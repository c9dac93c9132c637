"""Reservations: made before work starts, updated while it goes on, settled when it is over. The rules are `domain`'s.

One lock is held by whoever reserves, so that no two reserve the same room. A reservation counts to the day and the
month in which it was opened.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, case, delete, func, insert, select, update

from squire_pipelines.domain.budgets import (
    Amount,
    BudgetLimits,
    Purpose,
    ReservationState,
    Scope,
    Shortage,
    day_of,
    month_of,
)
from squire_pipelines.domain.tasks import AttemptStatus, TaskStatus
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import attempts, budgets, model_calls, tasks
from squire_pipelines.ledger.tenants import of_tenant

LOCK = "budgets"
_MAX_BLOCKED_TASKS = 10_000

_SELECT_ID = select(budgets.c.id).where(budgets.c.id == bindparam("reservation"))
_INSERT = insert(budgets)
RESERVATION_COLUMNS = (
    "id",
    "purpose",
    "repository",
    "task_id",
    "attempt_id",
    "reserved_usd",
    "reserved_tokens",
    "state",
    "opened_at",
    "trace_id",
    "updated_at",
)

LimitsOf = Callable[[str], BudgetLimits]


@dataclass(frozen=True, slots=True)
class Reservation:
    """A reservation's row: `reserved` is what may be used, `spent` what is known to be used."""

    id: str
    purpose: Purpose
    repository: str
    reserved: Amount
    spent: Amount
    spent_requests: int
    state: ReservationState
    opened_at: datetime


def reserve(
    tx: Transaction,
    reservation_id: str,
    purpose: Purpose,
    limits: BudgetLimits,
    *,
    repository: str,
    trace_id: str,
    task_id: str | None = None,
    attempt_id: str | None = None,
) -> Shortage | None:
    """Reserve what one attempt or plan may use of all wider limits, or return the limit that leaves no room.

    Repeating it with the same id changes nothing. Without limits the row has zeros, so that spending is known.
    """
    tx.exclusive(LOCK)
    if tx.execute(_SELECT_ID, {"reservation": reservation_id}).one_or_none() is not None:
        return None
    if limits.is_set:
        shortage = limits.shortage(purpose, used(tx, limits, repository=repository, task_id=task_id))
        if shortage is not None:
            return shortage
    row = reservation_row(
        tx,
        reservation_id,
        purpose,
        limits,
        repository=repository,
        trace_id=trace_id,
        task_id=task_id,
        attempt_id=attempt_id,
    )
    tx.execute(_INSERT, row)
    return None


def reservation_row(
    tx: Transaction,
    reservation_id: str,
    purpose: Purpose,
    limits: BudgetLimits,
    *,
    repository: str,
    trace_id: str,
    task_id: str | None,
    attempt_id: str | None,
) -> dict[str, Any]:
    """Return the columns of a new reservation, `RESERVATION_COLUMNS`."""
    reserved = limits.reservation(purpose)
    return {
        "id": reservation_id,
        "purpose": purpose.value,
        "repository": repository,
        "task_id": task_id,
        "attempt_id": attempt_id,
        "reserved_usd": reserved.usd,
        "reserved_tokens": reserved.tokens,
        "state": ReservationState.OPEN,
        "opened_at": tx.now,
        "trace_id": trace_id,
        "updated_at": tx.now,
    }


def release(tx: Transaction, reservation_id: str) -> None:
    """Undo a reservation in the transaction that made it, since its work did not begin."""
    tx.execute(delete(budgets).where(budgets.c.id == reservation_id, budgets.c.state == ReservationState.OPEN))


def used(tx: Transaction, limits: BudgetLimits, *, repository: str, task_id: str | None = None) -> dict[Scope, Amount]:
    """Return what is spent or reserved in each scope that has a limit."""
    conditions: dict[Scope, ColumnElement[bool]] = {
        Scope.REPOSITORY: and_(budgets.c.repository == repository, budgets.c.opened_at >= month_of(tx.now)),
        Scope.DAY: budgets.c.opened_at >= day_of(tx.now),
        Scope.MONTH: budgets.c.opened_at >= month_of(tx.now),
    }
    if limits.whose is not None:
        whose = of_tenant(limits.whose, budgets.c.repository, budgets.c.opened_at)
        conditions[Scope.TENANT_DAY] = and_(conditions[Scope.DAY], *whose)
        conditions[Scope.TENANT_MONTH] = and_(conditions[Scope.MONTH], *whose)
    if task_id is not None:
        conditions[Scope.TASK] = budgets.c.task_id == task_id
    return {
        scope: _amount(tx.execute(select(*_sums()).where(conditions[scope])).one())
        for scope in limits.wide()
        if scope in conditions
    }


def _sums() -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    def counted(unit: str) -> ColumnElement[Any]:
        reserved, spent = budgets.c[f"reserved_{unit}"], budgets.c[f"spent_{unit}"]
        # A reservation that was passed counts with what was spent: a last answer may be longer than was left.
        larger = case((budgets.c.state != ReservationState.OPEN, spent), (spent > reserved, spent), else_=reserved)
        return func.coalesce(func.sum(larger), 0).label(unit)

    return counted("usd"), counted("tokens")


def _amount(row: Any) -> Amount:
    return Amount(float(row.usd), int(row.tokens))


def checkpoint(tx: Transaction, reservation_id: str, spent: Amount, requests: int) -> None:
    """Record what is spent so far, unless the reservation is settled or knows of more requests already.

    It may be less than before: a call under way counts with what it may use, and then with what it has used.
    """
    tx.execute(
        update(budgets)
        .where(
            budgets.c.id == reservation_id,
            budgets.c.state == ReservationState.OPEN,
            budgets.c.spent_requests <= requests,
        )
        .values(
            spent_usd=spent.usd,
            spent_tokens=spent.tokens,
            spent_requests=requests,
            checked_at=tx.now,
            updated_at=tx.now,
        )
    )


def settle_attempt(tx: Transaction, attempt_id: str) -> None:
    """Replace an attempt's reservation by what its model calls add up to. May be repeated as calls come in."""
    row = tx.execute(
        select(
            func.coalesce(func.sum(model_calls.c.cost_usd), 0.0).label("usd"),
            func.coalesce(func.sum(model_calls.c.input_tokens + model_calls.c.output_tokens), 0).label("tokens"),
            func.count().label("requests"),
        ).where(model_calls.c.attempt_id == attempt_id)
    ).one()
    _settle(tx, attempt_id, _amount(row), int(row.requests))


def settle_plan(tx: Transaction, reservation_id: str, spent: Amount, requests: int, *, is_counted: bool = True) -> None:
    """Replace a planner's reservation by what its conversation has used.

    With `is_counted` false nobody knows its cost: what it reserved at its provider stays reserved for the day.
    """
    _settle(tx, reservation_id, spent, requests, is_counted=is_counted)


def _settle(tx: Transaction, reservation_id: str, spent: Amount, requests: int, *, is_counted: bool = True) -> None:
    tx.execute(
        update(budgets)
        .where(budgets.c.id == reservation_id)
        .values(
            spent_usd=spent.usd,
            spent_tokens=spent.tokens,
            spent_requests=requests,
            **({"provider_usd": None} if is_counted else {}),
            state=ReservationState.SETTLED,
            settled_at=func.coalesce(budgets.c.settled_at, tx.now),
            updated_at=tx.now,
        )
    )


def is_settled(tx: Transaction, reservation_id: str) -> bool:
    """Return whether there is such a reservation and its work is over."""
    state = tx.execute(select(budgets.c.state).where(budgets.c.id == reservation_id)).scalar_one_or_none()
    return bool(state == ReservationState.SETTLED)


def release_orphans(tx: Transaction, *, plan_s: float) -> int:
    """Settle the reservations that nobody will settle any more; return how many there were.

    Those are reservations of attempts that have ended, and of planners that began more than `plan_s` ago: nobody knows
    what the call of a killed planner has cost, so that its whole reservation counts as spent.
    """
    ended = select(attempts.c.id).where(attempts.c.status == AttemptStatus.ENDED)
    left = select(budgets.c.id).where(budgets.c.state == ReservationState.OPEN, budgets.c.attempt_id.in_(ended))
    orphans = tx.execute(left).scalars().all()
    for attempt_id in orphans:
        settle_attempt(tx, attempt_id)
    lost = tx.execute(
        select(budgets).where(
            budgets.c.state == ReservationState.OPEN,
            budgets.c.purpose == Purpose.PLAN.value,
            budgets.c.opened_at < tx.now - timedelta(seconds=plan_s),
        )
    ).all()
    for row in lost:
        _settle(tx, row.id, Amount(row.reserved_usd, row.reserved_tokens), row.spent_requests, is_counted=False)
    return len(orphans) + len(lost)


@dataclass(frozen=True, slots=True)
class BudgetBlocks:
    """Which ready work waits for a budget: whole repositories, and tasks whose own budget is used up."""

    repositories: Mapping[str, Shortage]
    tasks: Mapping[str, Shortage]

    def why(self, repository: str, task_id: str) -> Shortage | None:
        """Return why this task waits, if it does."""
        return self.tasks.get(task_id) or self.repositories.get(repository)


def blocked_by_budget(tx: Transaction, limits_of: LimitsOf, *, tenant: str | None = None) -> BudgetBlocks:
    """Return which of all ready work, or of one tenant's, cannot start because of a budget."""
    is_ready = and_(tasks.c.status == TaskStatus.READY, *of_tenant(tenant, tasks.c.repository))
    names = tx.execute(select(tasks.c.repository).where(is_ready).distinct()).scalars()
    shortages = {name: budget_shortage(tx, limits_of(name), name) for name in names.all()}
    by_task = (
        select(tasks.c.id, tasks.c.repository, *_sums())
        .join(budgets, budgets.c.task_id == tasks.c.id)
        .where(is_ready)
        .group_by(tasks.c.id, tasks.c.repository)
        .limit(_MAX_BLOCKED_TASKS)
    )
    blocked_tasks: dict[str, Shortage] = {}
    for row in tx.execute(by_task):
        limits = limits_of(row.repository)
        if limits.task.is_set:
            shortage = limits.shortage(Purpose.ATTEMPT, {Scope.TASK: _amount(row)})
            if shortage is not None and shortage.scope is Scope.TASK:
                blocked_tasks[row.id] = shortage
    blocked = {name: shortage for name, shortage in shortages.items() if shortage is not None}
    return BudgetBlocks(blocked, blocked_tasks)


def budget_shortage(
    tx: Transaction, limits: BudgetLimits, repository: str, task_id: str | None = None
) -> Shortage | None:
    """Return the budget for which one task, or any task of a repository, has to wait."""
    if not limits.is_set:
        return None
    return limits.shortage(Purpose.ATTEMPT, used(tx, limits, repository=repository, task_id=task_id))


@dataclass(frozen=True, slots=True)
class BudgetLevel:
    """How much of a budget is used or reserved since it began.

    `repository` is None where it counts more than one's work: that of the `tenant`, or of all where that is None too.
    """

    scope: Scope
    repository: str | None
    used: Amount
    limits: BudgetLimits
    since: datetime
    tenant: str | None = None

    @property
    def share(self) -> float:
        """The used part of the limit, 0 to 1 and beyond, in the unit that is nearer to its end."""
        limit = self.limits.of(self.scope)
        usd = self.used.usd / limit.usd if limit.usd is not None else 0.0
        return max(usd, self.used.tokens / limit.tokens if limit.tokens is not None else 0.0)

    @property
    def is_used_up(self) -> bool:
        """Whether no further attempt fits."""
        shortage = self.limits.shortage(Purpose.ATTEMPT, {self.scope: self.used})
        return shortage is not None and shortage.scope is self.scope


def levels(
    tx: Transaction, limits: BudgetLimits, limits_of: LimitsOf, repositories: Iterable[str]
) -> tuple[BudgetLevel, ...]:
    """Return how much of each budget of a day, a month and a repository is used, where there is a limit."""
    budget_levels = []
    for scope, since in ((Scope.DAY, day_of(tx.now)), (Scope.MONTH, month_of(tx.now))):
        if limits.of(scope).is_set:
            budget_levels.append(BudgetLevel(scope, None, used(tx, limits, repository="")[scope], limits, since))
    of_repositories = {name: limits_of(name) for name in repositories}
    for own in {limits.whose: limits for limits in of_repositories.values() if limits.whose is not None}.values():
        amounts = used(tx, own, repository="")
        for scope, since in ((Scope.TENANT_DAY, day_of(tx.now)), (Scope.TENANT_MONTH, month_of(tx.now))):
            if scope in amounts:
                budget_levels.append(BudgetLevel(scope, None, amounts[scope], own, since, own.whose))
    for name, own in of_repositories.items():
        if own.repository.is_set:
            amount = used(tx, own, repository=name)[Scope.REPOSITORY]
            budget_levels.append(BudgetLevel(Scope.REPOSITORY, name, amount, own, month_of(tx.now)))
    return tuple(budget_levels)


def reservations(
    tx: Transaction, *, open_only: bool = False, tenant: str | None = None, limit: int = 50
) -> tuple[Reservation, ...]:
    """Return the newest reservations, of all tenants or of one."""
    whose = of_tenant(tenant, budgets.c.repository, budgets.c.opened_at)
    query = select(budgets).where(*whose).order_by(budgets.c.opened_at.desc(), budgets.c.id).limit(limit)
    if open_only:
        query = query.where(budgets.c.state == ReservationState.OPEN)
    return tuple(
        Reservation(
            id=row.id,
            purpose=Purpose(row.purpose),
            repository=row.repository,
            reserved=Amount(row.reserved_usd, row.reserved_tokens),
            spent=Amount(row.spent_usd, row.spent_tokens),
            spent_requests=row.spent_requests,
            state=ReservationState(row.state),
            opened_at=row.opened_at,
        )
        for row in tx.execute(query)
    )
