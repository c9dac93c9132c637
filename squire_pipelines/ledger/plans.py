"""Plans: stored whether or not they passed their checks, and turned into tasks when they are admitted."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, func, insert, select, update

from squire_pipelines.domain.duplicates import leave_out_known
from squire_pipelines.domain.identity import new_id
from squire_pipelines.domain.plan_making import PlanUse, RetryWaits
from squire_pipelines.domain.plans import AdmissionRule, PlanFinding
from squire_pipelines.domain.tasks import Plan
from squire_pipelines.errors import NotFoundError
from squire_pipelines.ledger import plan_answers, plan_inputs
from squire_pipelines.ledger.collections import active_signals
from squire_pipelines.ledger.known_work import known_work
from squire_pipelines.ledger.plan_retries import newest, replace_tasks, replaceable_tasks
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.stored_json import read_json
from squire_pipelines.ledger.tables import plans
from squire_pipelines.ledger.task_creation import create_from_plan

_WAITS = RetryWaits()
_PLAN_COLUMNS = ("model", "provider", "prompt_version", "provisional", "settings_digest")


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """A plan's row.

    `model_failures` is how often in a row the model failed, and `ask_again_at` when the plan is made again.
    """

    id: str
    plan: Plan
    findings: tuple[PlanFinding, ...]
    trace_id: str
    created_at: datetime
    admitted_at: datetime | None
    model_failures: int = 0
    ask_again_at: datetime | None = None


def save(
    tx: Transaction,
    plan: Plan,
    findings: Sequence[PlanFinding],
    *,
    trace_id: str,
    run_id: str | None,
    waits: RetryWaits = _WAITS,
) -> SavedPlan:
    """Store a plan with what its checks found; `waits` say when the model of a provisional one is asked again.

    It is the newest of its repository, also where an earlier one was made by a clock that was ahead.
    """
    before = tx.execute(select(func.max(plans.c.created_at)).where(plans.c.repository == plan.repository)).scalar_one()
    created_at = tx.now if before is None else max(tx.now, before + timedelta(milliseconds=1))
    plan_id = new_id("p", created_at)
    failures = _failures_before(tx, plan.repository) + 1 if plan.model_failed else 0
    ask_again_at = tx.now + waits.after(failures) if plan.provisional else None
    use = {} if plan.use is None else plan.use.model_dump()
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
            provisional=plan.provisional,
            model_failures=failures,
            ask_again_at=ask_again_at,
            settings_digest=plan.settings_digest,
            **use,
            trace_id=trace_id,
            run_id=run_id,
            created_at=created_at,
            updated_at=tx.now,
        )
    )
    plan_answers.record(tx, plan_id, plan.refused)
    if plan.inputs is not None:
        plan_inputs.record(tx, plan_id, plan.inputs)
    return SavedPlan(plan_id, plan, tuple(findings), trace_id, created_at, None, failures, ask_again_at)


def _failures_before(tx: Transaction, repository: str) -> int:
    query = select(plans.c.model_failures).where(plans.c.repository == repository)
    return tx.execute(query.order_by(plans.c.id.desc()).limit(1)).scalar_one_or_none() or 0


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
    columns: dict[str, Any] = {name: getattr(row, name) for name in _PLAN_COLUMNS}
    columns["model_failed"] = row.model_failures > 0
    if row.asks is not None:
        use = {name: getattr(row, name) for name in PlanUse.model_fields}
        columns["use"] = PlanUse(**{name: value for name, value in use.items() if value is not None})
    plan = read_json(Plan, row.plan) or Plan(
        repository=row.repository, planner=row.planner, signals_digest=row.signals_digest
    )
    findings = tuple(_finding(finding) for finding in row.findings)
    plan = plan.model_copy(update=columns)
    return SavedPlan(
        row.id, plan, findings, row.trace_id, row.created_at, row.admitted_at, row.model_failures, row.ask_again_at
    )


def _finding(stored: Mapping[str, Any]) -> PlanFinding:
    return PlanFinding(stored.get("check", ""), stored.get("task"), stored.get("message", ""))


def unadmitted(tx: Transaction, *, limit: int = 500) -> tuple[str, ...]:
    """Return the repositories whose newest plan passed its checks and has not become tasks yet."""
    rows = tx.execute(
        select(plans.c.repository)
        .where(plans.c.admitted_at.is_(None), plans.c.passed, newest())
        .order_by(plans.c.id)
        .limit(limit)
    )
    return tuple(rows.scalars())


def admit(
    tx: Transaction,
    plan_id: str,
    rule_of: Callable[[str], AdmissionRule],
    *,
    max_tasks_per_fact: int = 1,
    duplicate_days: float = 30,
) -> tuple[str, ...]:
    """Create the tasks of a plan that passed its checks, once. Returns the ids of the new tasks.

    A plan with findings is never admitted: nothing is created and nothing is returned. One that a model made replaces
    what provisional plans proposed and nobody has begun. What repeats a task that came into the ledger since the plan
    was made is left out, and stored as such.

    Args:
        tx: A transaction that writes.
        plan_id: Of the plan, of one repository or of several.
        rule_of: Gives the rules of a repository, by which its tasks come into the ledger.
        max_tasks_per_fact: How many tasks may be made of one fact as it is.
        duplicate_days: How long ended tasks are compared.
    """
    tx.exclusive("admit")
    saved = get(tx, plan_id)
    if saved.admitted_at is not None or saved.findings:
        return ()
    plan = saved.plan
    if plan.model is not None:
        replaced = replaceable_tasks(tx, plan.repository)
        replace_tasks(tx, replaced, plan_id=plan_id, actor=f"planner:{plan.planner}")
    versions = {signal.ref: signal.version for signal in active_signals(tx, plan.repository)}
    repositories = {task.repository or plan.repository for task in plan.tasks}
    plan = leave_out_known(plan, {name: known_work(tx, name, days=duplicate_days) for name in repositories})
    created = create_from_plan(
        tx,
        plan,
        plan_id=plan_id,
        versions=versions,
        rule_of=rule_of,
        trace_id=saved.trace_id,
        max_tasks_per_fact=max_tasks_per_fact,
    )
    tx.execute(
        update(plans)
        .where(plans.c.id == plan_id)
        .values(plan=plan.model_dump(mode="json"), admitted_at=tx.now, tasks_created=len(created), updated_at=tx.now)
    )
    return created
