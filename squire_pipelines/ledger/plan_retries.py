"""Plans that are made again though no signal has changed, and the provisional tasks that a model's plan replaces."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, exists, func, or_, select, update

from squire_pipelines.domain.signals import SignalKind
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.errors import StateConflictError
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import plans, task_dependencies, task_events, task_signals, tasks
from squire_pipelines.ledger.tasks import cancel

REPLACED = "replaced:"
"""What the fingerprint of a task begins with whose place another plan's took."""


def newest() -> ColumnElement[bool]:
    """Return the condition of the rows that are their repository's newest plan."""
    newer = plans.alias("newer")
    return ~exists().where(newer.c.repository == plans.c.repository, newer.c.id > plans.c.id)


def due_again(tx: Transaction, digests: Mapping[str, str], *, limit: int = 500) -> tuple[str, ...]:
    """Return the repositories whose newest plan is to be made again.

    That is one whose model is to be asked again by now, or that was made by other settings than those of now.

    Args:
        tx: Reads.
        digests: Of the settings by which each repository is planned, see `planning.digest.settings_digest`.
        limit: Most repositories.
    """
    row = plans.c
    query = select(row.repository, row.settings_digest, row.ask_again_at).where(newest()).order_by(row.id)
    due = []
    for plan in tx.execute(query):
        digest = digests.get(plan.repository)
        is_changed = plan.settings_digest is not None and plan.settings_digest != digest
        if digest is not None and (is_changed or is_due(plan.ask_again_at, tx.now)):
            due.append(plan.repository)
    return tuple(due[:limit])


def is_due(ask_again_at: datetime | None, now: datetime) -> bool:
    """Return whether the moment has come at which a plan is to be made again."""
    return ask_again_at is not None and ask_again_at <= now


def put_off(tx: Transaction, repository: str, wait: timedelta | None, *, reason: str) -> None:
    """Have a repository's plan made again after a while, since it could not be made now for this reason.

    Its newest plan no longer says by which settings it was made, so that changed ones are no reason to try at once. It
    says how often in a row that failed. Without a `wait` the next reading is the reason to try again.
    """
    row = plans.c
    failure = {"failures": row.failures + 1, "failure": reason, "failed_at": func.coalesce(row.failed_at, tx.now)}
    again = {} if wait is None else {"settings_digest": None, "ask_again_at": tx.now + wait}
    newest_plan = update(plans).where(row.repository == repository, newest())
    tx.execute(newest_plan.values(updated_at=tx.now, **failure, **again))


@dataclass(frozen=True, slots=True)
class ModelFailures:
    """Plans in a row, of whatever repositories, for which the model gave none: how many, since when, and the last one.

    `reason` is the last one's first note.
    """

    count: int
    since: datetime
    last_plan: str
    reason: str


def model_failures(tx: Transaction) -> ModelFailures | None:
    """Return how often in a row the planner's model failed by now; None when the last one that was to plan did."""
    row = plans.c
    by_model = select(func.max(row.id)).where(row.model.is_not(None)).scalar_subquery()
    is_in_row = row.model_failures > 0, row.id > func.coalesce(by_model, "")
    count, since = tx.execute(select(func.count(), func.min(row.created_at)).where(*is_in_row)).one()
    if not count:
        return None
    last = tx.execute(select(row.id, row.plan).where(*is_in_row).order_by(row.id.desc()).limit(1)).one()
    return ModelFailures(count, since, last.id, next(iter(last.plan.get("notes") or ()), ""))


def replaceable_tasks(tx: Transaction, repository: str) -> tuple[str, ...]:
    """Return the tasks of provisional plans that nobody has touched since they were planned.

    A person's own request stays, and so does a task for which another plan's task waits.
    """
    events = select(func.count()).where(task_events.c.task_id == tasks.c.id).scalar_subquery()
    other, requested = tasks.alias("other"), task_signals.alias("requested")
    is_waited_for = exists().where(
        task_dependencies.c.depends_on == tasks.c.id,
        other.c.id == task_dependencies.c.task_id,
        or_(other.c.plan_id.is_(None), other.c.plan_id != tasks.c.plan_id),
    )
    is_requested = exists().where(requested.c.task_id == tasks.c.id, requested.c.kind == SignalKind.MANUAL_TASK)
    rows = tx.execute(
        select(tasks.c.id)
        .join(plans, plans.c.id == tasks.c.plan_id)
        .where(
            tasks.c.repository == repository,
            tasks.c.status.in_([TaskStatus.PROPOSED, TaskStatus.READY]),
            tasks.c.attempts == 0,
            plans.c.provisional,
            events == 1,
            ~is_waited_for,
            ~is_requested,
        )
        .order_by(tasks.c.id)
    )
    return tuple(rows.scalars())


def replace_tasks(tx: Transaction, task_ids: Iterable[str], *, plan_id: str, actor: str) -> None:
    """Cancel these tasks, since another plan takes their place; their facts may become tasks again.

    One that is started at this very moment stays.
    """
    for task_id in task_ids:
        try:
            cancel(tx, task_id, actor=actor, reason=f"replaced by the plan {plan_id}, which the model made")
        except StateConflictError:  # dispatch was faster: the fact is being worked on
            continue
        freed = update(tasks).where(tasks.c.id == task_id)
        tx.execute(freed.values(fingerprint=f"{REPLACED}{task_id}", updated_at=tx.now))
        tx.execute(delete(task_signals).where(task_signals.c.task_id == task_id))
