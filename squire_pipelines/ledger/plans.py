"""Plans: stored whether or not they passed their checks, and turned into tasks when they are admitted."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, exists, insert, select, update

from squire_pipelines.domain.identity import new_id
from squire_pipelines.domain.plans import ApprovalRule, PlanFinding
from squire_pipelines.domain.signals import Signal
from squire_pipelines.domain.tasks import Plan
from squire_pipelines.errors import NotFoundError
from squire_pipelines.ledger.collections import active_signals
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.stored_json import read_json
from squire_pipelines.ledger.tables import plans
from squire_pipelines.ledger.task_creation import create_from_plan
from squire_pipelines.ledger.task_signals import worked_on
from squire_pipelines.ledger.tasks import covered_signals


def answered(tx: Transaction, repository: str, signals: Sequence[Signal], *, times: int) -> frozenset[str]:
    """Return the refs of signals that need no task any more: one is under way, or so many were made of them as now."""
    return covered_signals(tx, repository) | worked_on(tx, repository, signals, times=times)


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """A plan's row."""

    id: str
    plan: Plan
    findings: tuple[PlanFinding, ...]
    trace_id: str
    created_at: datetime
    admitted_at: datetime | None


def save(
    tx: Transaction, plan: Plan, findings: Sequence[PlanFinding], *, trace_id: str, run_id: str | None
) -> SavedPlan:
    """Store a plan with what its checks found."""
    plan_id = new_id("p", tx.now)
    tx.execute(
        insert(plans).values(
            id=plan_id,
            repository=plan.repository,
            planner=plan.planner,
            signals_digest=plan.signals_digest,
            plan=plan.model_dump(mode="json"),
            findings=[asdict(finding) for finding in findings],
            passed=not findings,
            tasks_proposed=len(plan.tasks),
            model=plan.model,
            provider=plan.provider,
            prompt_version=plan.prompt_version,
            trace_id=trace_id,
            run_id=run_id,
            created_at=tx.now,
            updated_at=tx.now,
        )
    )
    return SavedPlan(plan_id, plan, tuple(findings), trace_id, tx.now, None)


def get(tx: Transaction, plan_id: str) -> SavedPlan:
    """Return one plan. Raises NotFoundError."""
    row = tx.execute(select(plans).where(plans.c.id == plan_id)).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no plan {plan_id!r}", hint="`squire plans list` shows the ids")
    return _saved_plan(row)


def latest(tx: Transaction, repository: str) -> SavedPlan | None:
    """Return the newest plan of a repository."""
    newest = select(plans).where(plans.c.repository == repository)
    row = tx.execute(newest.order_by(plans.c.created_at.desc(), plans.c.id.desc()).limit(1)).one_or_none()
    return None if row is None else _saved_plan(row)


def _saved_plan(row: Row[*tuple[Any, ...]]) -> SavedPlan:
    columns = {"model": row.model, "provider": row.provider, "prompt_version": row.prompt_version}
    plan = read_json(Plan, row.plan) or Plan(
        repository=row.repository, planner=row.planner, signals_digest=row.signals_digest
    )
    findings = tuple(_finding(finding) for finding in row.findings)
    plan = plan.model_copy(update=columns)
    return SavedPlan(row.id, plan, findings, row.trace_id, row.created_at, row.admitted_at)


def _finding(stored: Mapping[str, Any]) -> PlanFinding:
    return PlanFinding(stored.get("check", ""), stored.get("task"), stored.get("message", ""))


def unadmitted(tx: Transaction, *, limit: int = 500) -> tuple[str, ...]:
    """Return the repositories whose newest plan passed its checks and has not become tasks yet."""
    newer = plans.alias("newer")
    superseded = exists().where(newer.c.repository == plans.c.repository, newer.c.id > plans.c.id)
    rows = tx.execute(
        select(plans.c.repository)
        .where(plans.c.admitted_at.is_(None), plans.c.passed, ~superseded)
        .order_by(plans.c.id)
        .limit(limit)
    )
    return tuple(rows.scalars())


def admit(
    tx: Transaction, plan_id: str, *, approval: ApprovalRule, max_attempts: int, max_tasks_per_fact: int = 1
) -> tuple[str, ...]:
    """Create the tasks of a plan that passed its checks, once. Returns the ids of the new tasks.

    A plan with findings is never admitted: nothing is created and nothing is returned.
    """
    tx.exclusive("admit")
    saved = get(tx, plan_id)
    if saved.admitted_at is not None or saved.findings:
        return ()
    versions = {signal.ref: signal.version for signal in active_signals(tx, saved.plan.repository)}
    created = create_from_plan(
        tx,
        saved.plan,
        plan_id=plan_id,
        versions=versions,
        approval=approval,
        max_attempts=max_attempts,
        trace_id=saved.trace_id,
        max_tasks_per_fact=max_tasks_per_fact,
    )
    tx.execute(
        update(plans)
        .where(plans.c.id == plan_id)
        .values(admitted_at=tx.now, tasks_created=len(created), updated_at=tx.now)
    )
    return created
