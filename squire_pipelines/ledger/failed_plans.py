"""Reads which repositories get no tasks, since their plans fail their checks, cannot be made, or are not made at all.

A plan that passed and has nothing to do is no failure, and neither is a model that failed where rules planned instead.
"""

from collections.abc import Collection, Iterator
from typing import Any

from sqlalchemy import Row, func, or_, select

from squire_pipelines.domain.plan_failures import LONG_WITHOUT_PLAN, NOT_MADE, PlanFailure
from squire_pipelines.domain.plan_groups import is_group
from squire_pipelines.ledger.plan_retries import newest
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import collections, plans

MAX_COUNTED = 20
_MOST = 200


def failed_plans(tx: Transaction, names: Collection[str], *, stopped: Collection[str]) -> tuple[PlanFailure, ...]:
    """Return the failures that last, at most one of a repository.

    Args:
        tx: Reads.
        names: The repositories of the settings; groups of them count too.
        stopped: Those in which nothing is planned on purpose.
    """
    known = set(names) - set(stopped)
    failures = {failure.repository: failure for failure in _unplanned(tx, known)}
    row = plans.c
    columns = row.id, row.repository, row.passed, row.findings, row.created_at, row.failures, row.failure, row.failed_at
    query = select(*columns).where(newest(), or_(row.passed.is_(False), row.failures > 0)).order_by(row.id.desc())
    for plan in tx.execute(query.limit(_MOST)):
        if plan.repository in known or is_group(plan.repository):
            failures[plan.repository] = _failure(tx, plan)
    return tuple(failures.values())


def _failure(tx: Transaction, plan: Row[*tuple[Any, ...]]) -> PlanFailure:
    row = plans.c
    newest_first = select(row.passed, row.findings, row.created_at).where(row.repository == plan.repository)
    count, since = plan.failures, plan.failed_at
    for earlier in tx.execute(newest_first.order_by(row.id.desc()).limit(MAX_COUNTED)):
        if earlier.passed:
            break
        if not any(finding.get("check") == NOT_MADE for finding in earlier.findings):
            count, since = count + 1, earlier.created_at
    reason = plan.failure or next((finding.get("message") for finding in plan.findings), None) or "no reason is known"
    return PlanFailure(plan.repository, count, since or plan.created_at, reason, plan.id)


def _unplanned(tx: Transaction, known: Collection[str]) -> Iterator[PlanFailure]:
    """Yield the repositories that were read long ago, from which no run has made a plan or said why not."""
    row = collections.c
    oldest = func.min(row.ended_at, type_=row.ended_at.type)
    query = select(row.repository, oldest).where(row.planned_at.is_(None)).group_by(row.repository)
    for name, since in tx.execute(query.limit(_MOST)):
        if name in known and tx.now - since >= LONG_WITHOUT_PLAN:
            yield PlanFailure(name, 1, since, "runs of the job `plan` fail, or do not come")
