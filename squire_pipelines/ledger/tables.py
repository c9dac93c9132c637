"""The ledger's tables as SQLAlchemy Core objects. Migrations create them; a test compares the two.

The `*_tables.py` modules beside this one define them. All other modules import them from here, so `metadata` is whole.

Conventions: ids are text; times are UTC (`UtcDateTime`); JSON columns hold what a pydantic model of `domain` dumps.
What comes from outside has no length (`CleanText`), since Postgres refuses a longer value where SQLite takes it.
"""

from squire_pipelines.ledger.accounting_tables import (
    archived_tasks,
    archives,
    budgets,
    github_limits,
    model_calls,
    repositories,
)
from squire_pipelines.ledger.alert_tables import alert_messages, alert_silences, alerts
from squire_pipelines.ledger.announcement_tables import announcements, heard_remarks
from squire_pipelines.ledger.audit_tables import audit, audit_batches, settings_seen
from squire_pipelines.ledger.base_merge_tables import base_merges
from squire_pipelines.ledger.base_watch_tables import base_watches
from squire_pipelines.ledger.board_tables import board_sessions, login_failures
from squire_pipelines.ledger.collection_tables import collaborators, collections
from squire_pipelines.ledger.columns import CleanText, UtcDateTime, metadata
from squire_pipelines.ledger.dashboard_tables import dashboard_ticks, dashboards
from squire_pipelines.ledger.delivery_tables import deliveries, delivery_checks, delivery_effects, delivery_refusals
from squire_pipelines.ledger.door_tables import attempt_doors
from squire_pipelines.ledger.merge_tables import merges
from squire_pipelines.ledger.outcome_tables import outcomes
from squire_pipelines.ledger.plan_tables import plan_answers, plan_cache, plan_inputs, plans
from squire_pipelines.ledger.report_tables import head_reports
from squire_pipelines.ledger.repository_file_tables import onboardings, repository_files
from squire_pipelines.ledger.role_tables import role_leases
from squire_pipelines.ledger.schedule_tables import schedule_runs, schedules
from squire_pipelines.ledger.server_tables import server_processes
from squire_pipelines.ledger.signal_tables import check_reruns, signal_episodes, signal_events, signals, task_signals
from squire_pipelines.ledger.task_tables import attempts, dispatch_holds, task_dependencies, task_events, tasks
from squire_pipelines.ledger.tenant_tables import repository_tenants, tenant_credits
from squire_pipelines.ledger.worker_tables import worker_runs, workers

__all__ = [
    "CleanText",
    "UtcDateTime",
    "alert_messages",
    "alert_silences",
    "alerts",
    "announcements",
    "archived_tasks",
    "archives",
    "attempt_doors",
    "attempts",
    "audit",
    "audit_batches",
    "base_merges",
    "base_watches",
    "board_sessions",
    "budgets",
    "check_reruns",
    "collaborators",
    "collections",
    "dashboard_ticks",
    "dashboards",
    "deliveries",
    "delivery_checks",
    "delivery_effects",
    "delivery_refusals",
    "dispatch_holds",
    "github_limits",
    "head_reports",
    "heard_remarks",
    "login_failures",
    "merges",
    "metadata",
    "model_calls",
    "onboardings",
    "outcomes",
    "plan_answers",
    "plan_cache",
    "plan_inputs",
    "plans",
    "repositories",
    "repository_files",
    "repository_tenants",
    "role_leases",
    "schedule_runs",
    "schedules",
    "server_processes",
    "settings_seen",
    "signal_episodes",
    "signal_events",
    "signals",
    "task_dependencies",
    "task_events",
    "task_signals",
    "tasks",
    "tenant_credits",
    "worker_runs",
    "workers",
]
