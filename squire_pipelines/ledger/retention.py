"""Which rows were kept long enough, and their deletion once they are in the archive.

The files of the archive, and the order in which all of this happens, are in `warehouse.archive`. A task leaves a
compact row behind, whose fingerprint keeps the same fact from becoming a second task.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from sqlalchemy import ColumnElement, Table, and_, delete, exists, false, func, insert, or_, select

from squire_pipelines.domain.budgets import ReservationState
from squire_pipelines.domain.outcomes import PullRequestState
from squire_pipelines.domain.signals import SignalKind
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.ledger import audit_sealing, task_signals
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import (
    alerts,
    archived_tasks,
    archives,
    attempts,
    audit,
    audit_batches,
    base_watches,
    budgets,
    check_reruns,
    collections,
    deliveries,
    delivery_checks,
    delivery_effects,
    delivery_refusals,
    merges,
    metadata,
    model_calls,
    outcomes,
    plans,
    signal_episodes,
    signal_events,
    signals,
    task_dependencies,
    task_events,
    tasks,
)

FINAL = tuple(status for status in TaskStatus if status.is_final)

OF_TASKS = (
    "tasks",
    "task_dependencies",
    "attempts",
    "task_events",
    "outcomes",
    "merges",
    "base_watches",
    "model_calls",
)
"""The tables whose rows are deleted with their task. Budgets stay: this month's spending counts until its end."""

OF_THEMSELVES = (
    "delivery_effects",
    "deliveries",
    "delivery_refusals",
    "delivery_checks",
    "collections",
    "signals",
    "signal_events",
    "signal_episodes",
    "check_reruns",
    "model_calls",
    "plans",
    "budgets",
    "alerts",
    "audit",
)
"""The tables whose rows are deleted when they are old enough themselves.

Plans are deleted only after their tasks, episodes and deliveries after the events and effects of theirs, and rows of
the audit trail when they are sealed.
"""


@dataclass(frozen=True, slots=True)
class Retention:
    """How long rows are kept, by table, and tasks in which `statuses` are deleted.

    The time counts from a task's end, from the end of a signal's fact, and from when other rows were written.
    """

    keep: Mapping[str, timedelta] = field(default_factory=dict)
    statuses: tuple[TaskStatus, ...] = FINAL


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """A file of the archive: `name` is relative to the archive's folder, `first_at` and `last_at` are of its rows."""

    name: str
    table_name: str
    rows: int
    bytes: int
    sha256: str
    first_at: datetime | None
    last_at: datetime | None


# ── What is due ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _open_pull_request() -> ColumnElement[bool]:
    return exists().where(outcomes.c.task_id == tasks.c.id, outcomes.c.state == PullRequestState.OPEN)


def _others_wait() -> ColumnElement[bool]:
    other = tasks.alias("other")
    return exists().where(
        task_dependencies.c.depends_on == tasks.c.id,
        other.c.id == task_dependencies.c.task_id,
        other.c.status.not_in(FINAL),
    )


def _not_settled() -> ColumnElement[bool]:
    """Return the condition that an attempt or a reservation of the task is not settled."""
    return or_(
        exists().where(attempts.c.task_id == tasks.c.id, attempts.c.ended_at.is_(None)),
        exists().where(budgets.c.task_id == tasks.c.id, budgets.c.state == ReservationState.OPEN),
    )


def _ended(tx: Transaction, retention: Retention) -> ColumnElement[bool]:
    old = tasks.c.ended_at < tx.now - retention.keep["tasks"]
    if set(retention.statuses) == set(FINAL):
        return old  # only what is final has an end
    # Hidden in a function from planners, which else would read all tasks in that state.
    return and_(old, func.coalesce(tasks.c.status, "").in_(retention.statuses))


def _deletable(tx: Transaction, retention: Retention) -> ColumnElement[bool]:
    return and_(_ended(tx, retention), ~_open_pull_request(), ~_others_wait(), ~_not_settled())


def count_kept_tasks(tx: Transaction, retention: Retention) -> dict[str, int]:
    """Return how many tasks ended long enough ago but have to stay, by reason."""
    if "tasks" not in retention.keep:
        return {}
    reasons = {
        "open pull request": _open_pull_request(),
        "others wait for it": and_(_others_wait(), ~_open_pull_request()),
        "not settled": and_(_not_settled(), ~_others_wait(), ~_open_pull_request()),
    }
    counts = {
        reason: tx.execute(select(func.count()).where(_ended(tx, retention), condition)).scalar_one()
        for reason, condition in reasons.items()
    }
    return {reason: count for reason, count in counts.items() if count}


def _is_due(tx: Transaction, retention: Retention, table: str) -> ColumnElement[bool]:
    """Return the condition of a table's rows that were kept long enough, and that nothing keeps."""
    if table not in retention.keep:
        return false()
    if table == "tasks":
        return _deletable(tx, retention)
    before = tx.now - retention.keep[table]
    newer, later = collections.alias("newer"), plans.alias("later")
    done = and_(
        deliveries.c.received_at < before,
        deliveries.c.collected_at.is_not(None),
        deliveries.c.applied_at.is_not(None),
    )
    rules: Mapping[str, ColumnElement[bool]] = {
        "deliveries": and_(done, ~exists().where(delivery_effects.c.delivery == deliveries.c.id)),
        "delivery_effects": exists().where(delivery_effects.c.delivery == deliveries.c.id, done),
        "delivery_refusals": delivery_refusals.c.minute < before,
        "delivery_checks": delivery_checks.c.at < before,
        # The newest reading of each source says how it is now, and whether it was planned from.
        "collections": and_(
            collections.c.ended_at < before,
            collections.c.planned_at.is_not(None),
            exists().where(
                newer.c.repository == collections.c.repository,
                newer.c.source == collections.c.source,
                newer.c.id > collections.c.id,
            ),
        ),
        # What a person decided about a branch's check holds when it fails again, however long it has passed.
        "signals": and_(
            signals.c.gone_at < before,
            or_(
                signals.c.decision.is_(None),
                signals.c.kind != SignalKind.FAILED_CI,
                signals.c.key.startswith("#"),
            ),
        ),
        "signal_events": exists().where(
            signal_episodes.c.id == signal_events.c.episode_id, signal_episodes.c.closed_at < before
        ),
        "signal_episodes": and_(
            signal_episodes.c.closed_at < before, ~exists().where(signal_events.c.episode_id == signal_episodes.c.id)
        ),
        "check_reruns": check_reruns.c.settled_at < before,
        "model_calls": and_(model_calls.c.at < before, model_calls.c.attempt_id.is_(None)),
        # The newest plan of a repository says whether there is something to admit.
        "plans": and_(
            plans.c.created_at < before,
            ~exists().where(tasks.c.plan_id == plans.c.id),
            exists().where(later.c.repository == plans.c.repository, later.c.id > plans.c.id),
        ),
        "budgets": and_(budgets.c.opened_at < before, budgets.c.state != ReservationState.OPEN),
        "alerts": alerts.c.ended_at < before,
        # Whole batches, which stay themselves: their digests tell of rows in the archive too.
        "audit": exists().where(audit_batches.c.id == audit.c.batch, audit_batches.c.sealed_at < before),
    }
    return rules[table]


def due_keys(tx: Transaction, retention: Retention, table: str, *, limit: int) -> tuple[Any, ...]:
    """Return primary keys of rows that may be deleted, of `tasks` (the longest ago first) or one of `OF_THEMSELVES`."""
    source = metadata.tables[table]
    order = (tasks.c.ended_at, tasks.c.id) if source is tasks else (source.c.id,)
    query = select(source.c.id).where(_is_due(tx, retention, table))
    return tuple(tx.execute(query.order_by(*order).limit(limit)).scalars())


def count_due(tx: Transaction, retention: Retention, table: str) -> int:
    """Return how many rows `due_keys` would name without a limit."""
    query = select(func.count()).select_from(metadata.tables[table])
    return int(tx.execute(query.where(_is_due(tx, retention, table))).scalar_one())


# ── Rows of a task ───────────────────────────────────────────────────────────────────────────────────────────────────


def rows_of_tasks(table: str, ids: Collection[str]) -> ColumnElement[bool]:
    """Return the condition of a table's rows that belong to these tasks."""
    if table == "tasks":
        return tasks.c.id.in_(ids)
    if table == "task_dependencies":
        return or_(task_dependencies.c.task_id.in_(ids), task_dependencies.c.depends_on.in_(ids))
    if table == "model_calls":  # which an index knows by their attempt
        return model_calls.c.attempt_id.in_(select(attempts.c.id).where(attempts.c.task_id.in_(ids)))
    return metadata.tables[table].c.task_id.in_(ids)


def marks_of_tasks(tx: Transaction, ids: Collection[str]) -> dict[str, tuple[Any, ...]]:
    """Return for each of these tasks a value that changes when a row of it is added or changed."""
    marks: dict[str, list[Any]] = {
        row.id: [row.updated_at]
        for row in tx.execute(select(tasks.c.id, tasks.c.updated_at).where(tasks.c.id.in_(ids)))
    }
    of_call = select(attempts.c.task_id, func.count(), func.max(model_calls.c.id)).join(
        model_calls, model_calls.c.attempt_id == attempts.c.id
    )
    questions = [
        select(attempts.c.task_id, func.count(), func.max(attempts.c.updated_at)),
        select(task_events.c.task_id, func.count(), func.max(task_events.c.id)),
        *(
            select(table.c.task_id, func.count(), func.max(table.c.updated_at))
            for table in (outcomes, merges, base_watches)
        ),
        of_call,
    ]
    for question in questions:
        column = next(iter(question.selected_columns))
        answers = {row[0]: tuple(row[1:]) for row in tx.execute(question.where(column.in_(ids)).group_by(column))}
        for task_id, values in marks.items():
            values.append(answers.get(task_id))
    return {task_id: tuple(values) for task_id, values in marks.items()}


# ── Deletion ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def record_files(tx: Transaction, files: Sequence[ArchiveFile]) -> None:
    """Record these files of the archive, whose rows are deleted from now on."""
    known = set(tx.execute(select(archives.c.name).where(archives.c.name.in_([file.name for file in files]))).scalars())
    rows = [asdict(file) | {"created_at": tx.now} for file in files if file.name not in known]
    if rows:
        tx.execute(insert(archives), rows)


def delete_tasks(tx: Transaction, retention: Retention, marks: Mapping[str, tuple[Any, ...]], archive: str) -> int:
    """Delete these tasks with all their rows, except those that changed since their `marks` or have to stay now.

    `archive` names the file that has them; their compact rows are written here. Returns how many were deleted.
    """
    deletable = tasks.c.id.in_(marks) & _deletable(tx, retention)
    current = marks_of_tasks(tx, set(tx.execute(select(tasks.c.id).where(deletable)).scalars()))
    ids = [task_id for task_id, values in marks.items() if current.get(task_id) == values]
    if not ids:
        return 0
    compact = _compact_rows(tx, ids, archive)
    facts = [
        and_(archived_tasks.c.repository == row["repository"], archived_tasks.c.fingerprint == row["fingerprint"])
        for row in compact
    ]
    tx.execute(delete(archived_tasks).where(or_(archived_tasks.c.id.in_(ids), *facts)))
    tx.execute(insert(archived_tasks), compact)
    for table in reversed(OF_TASKS):
        tx.execute(delete(metadata.tables[table]).where(rows_of_tasks(table, ids)))
    return len(ids)


def _compact_rows(tx: Transaction, ids: Sequence[str], archive: str) -> list[dict[str, Any]]:
    own = {"archived_at": tx.now, "archive": archive, "updated_at": tx.now}
    cost = (
        select(attempts.c.task_id, func.sum(attempts.c.cost_usd).label("cost_usd"))
        .where(attempts.c.task_id.in_(ids))
        .group_by(attempts.c.task_id)
        .subquery()
    )
    query = (
        select(
            *(tasks.c[column.name] for column in archived_tasks.c if column.name in tasks.c and column.name not in own),
            cost.c.cost_usd,
            outcomes.c.pr_number,
            outcomes.c.pr_url,
            outcomes.c.state.label("outcome"),
        )
        .select_from(
            tasks.outerjoin(outcomes, outcomes.c.task_id == tasks.c.id).outerjoin(cost, cost.c.task_id == tasks.c.id)
        )
        .where(tasks.c.id.in_(ids))
    )
    return [{**row, **own} for row in tx.execute(query).mappings()]


def delete_rows(tx: Transaction, retention: Retention, table: str, keys: Sequence[Any]) -> int:
    """Delete these rows of one of `OF_THEMSELVES`, except those that have to stay now."""
    source: Table = metadata.tables[table]
    if source is signals:
        task_signals.forget(tx, keys, _is_due(tx, retention, table))
    if source is audit:
        audit_sealing.mark_archived(tx, keys)
    return tx.execute(delete(source).where(source.c.id.in_(keys), _is_due(tx, retention, table))).rowcount


TIME_OF: Mapping[str, str] = MappingProxyType(
    {
        "tasks": "ended_at",
        "attempts": "ended_at",
        "task_events": "at",
        "outcomes": "opened_at",
        "merges": "updated_at",
        "base_watches": "updated_at",
        "model_calls": "at",
        "deliveries": "received_at",
        "delivery_effects": "at",
        "delivery_refusals": "minute",
        "delivery_checks": "at",
        "collections": "ended_at",
        "signals": "gone_at",
        "signal_events": "at",
        "signal_episodes": "closed_at",
        "check_reruns": "requested_at",
        "plans": "created_at",
        "budgets": "opened_at",
        "alerts": "ended_at",
        "audit": "at",
    }
)
"""The column with the time of a row, by table; dependencies have none."""
