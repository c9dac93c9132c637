"""Reads what alerts follow from beside conditions: failures in a row, crashes, budgets, breakers, deliveries."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType

from sqlalchemy import func, select

from squire_pipelines.domain.budgets import BudgetLimits, Purpose, day_of, renewed_at
from squire_pipelines.domain.conditions import MAX_TEXT
from squire_pipelines.domain.delivery_gaps import APP_HOOK_NAME, UnrepairedHook
from squire_pipelines.domain.endings import CONTAINER_FAILURES
from squire_pipelines.domain.queue_rules import QueueRules
from squire_pipelines.domain.targets import Targets, missed_targets
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.domain.tenant_alerts import budget_subject
from squire_pipelines.domain.work_alerts import (
    CRASHES_WITHIN,
    LONG_UNREAD,
    BudgetFacts,
    FailureRun,
    TrippedFacts,
    WorkFacts,
)
from squire_pipelines.ledger.breakers import held_tasks
from squire_pipelines.ledger.budgets import LimitsOf, levels
from squire_pipelines.ledger.deliveries import NOT_COLLECTED
from squire_pipelines.ledger.delivery_checks import newest_checks
from squire_pipelines.ledger.failed_plans import failed_plans
from squire_pipelines.ledger.provider_budgets import provider_levels
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import attempts, deliveries, tasks
from squire_pipelines.ledger.target_events import read_target_events
from squire_pipelines.ledger.unread_repositories import failing_sources, unread_repositories

_NEWEST_TASKS = 500


def read_work(
    tx: Transaction,
    limits: BudgetLimits,
    limits_of: LimitsOf,
    rules_of: Callable[[str], QueueRules],
    targets: Mapping[str, Targets],
    *,
    unread_after: timedelta = LONG_UNREAD,
    provider_usd: Mapping[str, float] = MappingProxyType({}),
    stopped: Collection[str] = (),
) -> WorkFacts:
    """Return what the ledger says of work now.

    Args:
        tx: Reads.
        limits: The budgets of all together.
        limits_of: Gives those of one repository.
        rules_of: Gives what its ready tasks wait for.
        targets: Of each repository of the settings.
        unread_after: For how long the readings of a repository fail before that is said.
        provider_usd: US dollars a day of each provider that has such a limit.
        stopped: Repositories in which nothing is planned on purpose.
    """
    crashed, repositories = _crashed_tasks(tx), tuple(targets)
    events = read_target_events(tx, lambda repository: targets.get(repository, Targets()))
    return WorkFacts(
        failures=_failures(tx, repositories),
        crashes=len(crashed),
        crashed_task=crashed[0] if crashed else "",
        budgets=(*_budgets(tx, limits, limits_of, repositories), *_providers(tx, limits, provider_usd)),
        breakers=_breakers(tx, rules_of),
        lost_deliveries=_lost_deliveries(tx),
        unread=unread_repositories(tx, repositories, unread_after),
        sources=failing_sources(tx, repositories, unread_after),
        plans=failed_plans(tx, repositories, stopped=stopped),
        at=tx.now,
        unrepaired=_unrepaired(tx, repositories),
        missed=missed_targets(events, targets, now=tx.now),
    )


def _failures(tx: Transaction, repositories: Collection[str]) -> tuple[FailureRun, ...]:
    row = tasks.c
    query = select(row.repository, row.status, row.id, row.cause).where(row.ended_at.is_not(None))
    newest = tx.execute(query.order_by(row.ended_at.desc(), row.id.desc()).limit(_NEWEST_TASKS)).all()
    counts: Counter[str] = Counter()
    first: dict[str, tuple[str, str]] = {}
    over: set[str] = set()
    for task in newest:
        if task.repository in over or task.status == TaskStatus.CANCELLED:
            continue
        if task.status != TaskStatus.FAILED:
            over.add(task.repository)
            continue
        counts[task.repository] += 1
        first.setdefault(task.repository, (task.id, task.cause or "no cause"))
    known = set(repositories)
    return tuple(
        FailureRun(repository, count, *first[repository]) for repository, count in counts.items() if repository in known
    )


def _crashed_tasks(tx: Transaction) -> list[str]:
    row = attempts.c
    query = select(row.task_id).where(
        row.ended_at >= tx.now - CRASHES_WITHIN, row.cause.in_(CONTAINER_FAILURES), row.agent_started_at.is_not(None)
    )
    return list(tx.execute(query.order_by(row.ended_at.desc()).limit(_NEWEST_TASKS)).scalars())


def _budgets(
    tx: Transaction, limits: BudgetLimits, limits_of: LimitsOf, repositories: Collection[str]
) -> tuple[BudgetFacts, ...]:
    return tuple(
        BudgetFacts(
            level.scope.value if level.tenant is None else budget_subject(level.scope, level.tenant),
            level.repository,
            level.share,
            level.is_used_up,
            _day(renewed_at(level.scope, level.since)),
        )
        for level in levels(tx, limits, limits_of, repositories)
    )


def _providers(tx: Transaction, limits: BudgetLimits, provider_usd: Mapping[str, float]) -> Iterator[BudgetFacts]:
    tomorrow = _day(day_of(tx.now) + timedelta(days=1))
    for level in provider_levels(tx, provider_usd, limits.cap(Purpose.ATTEMPT)):
        yield BudgetFacts(f"provider {level.provider}", None, level.share, level.is_used_up, tomorrow)


def _day(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d}" if moment is not None else ""


def _breakers(tx: Transaction, rules_of: Callable[[str], QueueRules]) -> tuple[TrippedFacts, ...]:
    by_scope: dict[str, TrippedFacts] = {}
    for task_id, trip in held_tasks(tx, rules_of).items():
        count = by_scope[trip.scope].count if trip.scope in by_scope else 0
        by_scope[trip.scope] = TrippedFacts(trip.scope.value, count + 1, task_id, str(trip))
    return tuple(by_scope.values())


def _unrepaired(tx: Transaction, repositories: Collection[str]) -> tuple[UnrepairedHook, ...]:
    hooks = {*repositories, APP_HOOK_NAME}
    return tuple(
        UnrepairedHook(check.hook, check.error[:MAX_TEXT])
        for check in newest_checks(tx)
        if check.error is not None and check.hook in hooks
    )


def _lost_deliveries(tx: Transaction) -> int:
    row = deliveries.c
    query = select(func.count()).where(row.collected_at >= tx.now - CRASHES_WITHIN, row.error.startswith(NOT_COLLECTED))
    return int(tx.execute(query).scalar_one())
