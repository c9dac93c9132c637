"""Rows that are deleted without going to the archive: of tasks that are gone, and those that were kept long enough."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, Table, and_, delete, func, or_, select

from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.ledger.tables import (
    alert_messages,
    alert_silences,
    announcements,
    base_merges,
    dashboard_ticks,
    head_reports,
    heard_remarks,
    plan_answers,
    plan_inputs,
    schedule_runs,
    schedules,
    tasks,
)

OF_GONE_TASKS = frozenset(
    table.name for table in (announcements, dashboard_ticks, head_reports, heard_remarks, base_merges)
)
"""The tables whose rows are due when their task has left the ledger; all others have a time."""


@dataclass(frozen=True, slots=True)
class ForgettingAges:
    """How long rows are kept: what plans were made from and became none, what of schedules and alerts is over."""

    plans: timedelta
    schedules: timedelta
    alerts: timedelta


def _due_rows(tx: Transaction, ages: ForgettingAges) -> Mapping[Table, ColumnElement[bool]]:
    """Return the conditions of the rows that are due, in the order in which tables refer to each other."""
    plans_before, alerts_before = tx.now - ages.plans, tx.now - ages.alerts
    over = schedules.c.ended_at < tx.now - ages.schedules
    present = select(tasks.c.id)
    message = alert_messages.c
    # One about messages that were dropped waits for a target that may be gone.
    waits_in_vain = and_(message.state == "queued", message.is_drop_reported, message.created_at < alerts_before)
    return {
        plan_answers: plan_answers.c.created_at < plans_before,
        plan_inputs: plan_inputs.c.created_at < plans_before,
        schedule_runs: schedule_runs.c.schedule_id.in_(select(schedules.c.id).where(over)),
        schedules: over,
        announcements: announcements.c.task_id.not_in(present),
        dashboard_ticks: dashboard_ticks.c.task_id.not_in(present),
        head_reports: head_reports.c.task_id.not_in(present),
        heard_remarks: heard_remarks.c.task_id.not_in(present.where(tasks.c.ended_at.is_(None))),
        base_merges: base_merges.c.task_id.not_in(present),
        alert_messages: or_(message.ended_at < alerts_before, waits_in_vain),
        alert_silences: alert_silences.c.until < alerts_before,
    }


def count_due(tx: Transaction, ages: ForgettingAges) -> dict[str, int]:
    """Return how many rows of each table `forget` would delete."""
    return {
        table.name: int(tx.execute(select(func.count()).select_from(table).where(is_due)).scalar_one())
        for table, is_due in _due_rows(tx, ages).items()
    }


def forget(ledger: Ledger, ages: ForgettingAges) -> dict[str, int]:
    """Delete the rows that are due, and return how many of each table; other writers come in between two tables."""
    with ledger.read() as tx:
        due = _due_rows(tx, ages)
    deleted: dict[str, int] = {}
    for table, is_due in due.items():
        with ledger.write() as tx:
            deleted[table.name] = tx.execute(delete(table).where(is_due)).rowcount
    return deleted
