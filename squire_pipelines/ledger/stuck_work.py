"""Reads work that should have gone on by itself: attempts that nobody took up or settled, tasks that do not start."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, func, select

from squire_pipelines.domain.condition_rules import StuckFacts
from squire_pipelines.domain.dispatch_order import ageing_moments
from squire_pipelines.domain.tasks import AttemptStatus
from squire_pipelines.ledger.budgets import LimitsOf, blocked_by_budget
from squire_pipelines.ledger.due_tasks import DueRules, read_due
from squire_pipelines.ledger.queue_waits import RulesOf, read_room, ready_rules
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import attempts, task_events

SETTLED_WITHIN = timedelta(minutes=2)
"""The reaper looks every ten seconds; it may have to wait for a container to end."""

STARTED_WITHIN = timedelta(minutes=30)
_MOST = 50


@dataclass(frozen=True, slots=True)
class StartRules:
    """What decides whether a ready task should have started by now: see `task_dispatch.dispatch`."""

    max_concurrent: int
    max_per_repository: int
    priority_step_s: float
    slots: Mapping[str, int]
    without: Collection[str]
    limits_of: LimitsOf
    rules_of: RulesOf


def read_stuck(tx: Transaction, rules: StartRules) -> StuckFacts:
    """Return what is stuck now."""
    row = attempts.c
    open_attempts = tx.execute(
        select(row.task_id, row.repository, row.status, row.claim_until, row.lease_until).where(
            row.status != AttemptStatus.ENDED
        )
    ).all()
    before = tx.now - SETTLED_WITHIN
    unclaimed = [(one.claim_until, one.task_id) for one in open_attempts if _is_unclaimed(one, before)]
    unsettled = [(one.lease_until, one.task_id) for one in open_attempts if _is_unsettled(one, before)]
    late = _late_starts(tx, rules, Counter(one.repository for one in open_attempts))
    oldest = min([*unclaimed, *unsettled, *late], default=None)
    if oldest is None:
        return StuckFacts()
    since, example = oldest
    longest_s = (tx.now - since).total_seconds()
    return StuckFacts(len(unclaimed), len(unsettled), len(late), longest_s, example)


def _is_unclaimed(attempt: Row[*tuple[Any, ...]], before: datetime) -> bool:
    return bool(attempt.status == AttemptStatus.QUEUED and attempt.claim_until < before)


def _is_unsettled(attempt: Row[*tuple[Any, ...]], before: datetime) -> bool:
    return bool(attempt.status != AttemptStatus.QUEUED and (attempt.lease_until or before) < before)


def _late_starts(tx: Transaction, rules: StartRules, running: Counter[str]) -> list[tuple[datetime, str]]:
    """Return since when which tasks have been ready that have a free slot and wait for nothing."""
    if running.total() >= rules.max_concurrent:
        return []
    blocked = blocked_by_budget(tx, rules.limits_of)
    queue_rules = ready_rules(tx, rules.rules_of)
    room = read_room(tx, queue_rules)
    full_slots = (
        name
        for name, count in running.items()
        if count >= min(rules.max_per_repository, rules.slots.get(name, rules.max_concurrent))
    )
    due = DueRules(
        without=frozenset((*rules.without, *blocked.repositories, *full_slots)),
        changed=(),
        full=frozenset(name for name, count in room.items() if not count),
        merging=frozenset(name for name, rule in queue_rules.items() if rule.wait_for_merge),
        moments=ageing_moments(tx.now, rules.priority_step_s),
    )
    rows = read_due(tx, due, per_repository=1, limit=_MOST, without_tasks=blocked.tasks)
    before = tx.now - STARTED_WITHIN
    return [
        (since, task.id)
        for task in rows
        if (since := max(task.ready_at or task.created_at, task.not_before or task.created_at)) < before
    ]


def newest_event_at(tx: Transaction) -> datetime | None:
    """Return when something happened to a task last; None where nothing ever has."""
    moment: datetime | None = tx.execute(select(func.max(task_events.c.at))).scalar_one()
    return moment
