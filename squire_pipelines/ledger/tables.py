"""The ledger's tables as SQLAlchemy Core objects. Migrations create them; a test compares the two.

Conventions: ids are text; times are UTC (`UtcDateTime`); JSON columns hold what a pydantic model of `domain` dumps.
What comes from outside has no length (`CleanText`), since Postgres refuses a longer value where SQLite takes it.
"""

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    false,
)

from squire_pipelines.domain.outcomes import PullRequestState
from squire_pipelines.domain.signals import CollectionStatus
from squire_pipelines.domain.tasks import AttemptStatus, TaskKind, TaskStatus
from squire_pipelines.ledger.accounting_tables import archived_tasks, archives, budgets, task_words
from squire_pipelines.ledger.columns import CleanText, UtcDateTime, metadata, names_in_sql, one_of

__all__ = [
    "CleanText",
    "UtcDateTime",
    "archived_tasks",
    "archives",
    "attempts",
    "audit",
    "budgets",
    "collections",
    "deliveries",
    "full_metadata",
    "metadata",
    "model_calls",
    "outcomes",
    "plans",
    "signals",
    "task_dependencies",
    "task_events",
    "task_words",
    "tasks",
]


deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("source", CleanText, nullable=False),
    Column("delivery_id", CleanText, nullable=False),
    Column("body_sha256", String(64), nullable=False),
    Column("event", CleanText, nullable=False),
    Column("action", CleanText),
    Column("repository", String(140)),
    Column("body", LargeBinary, nullable=False),
    Column("trace_id", String(32), nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("requested_at", UtcDateTime),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("collected_at", UtcDateTime),
    Column("applied_at", UtcDateTime),
    Column("error", CleanText),
    Column("updated_at", UtcDateTime, nullable=False),
    UniqueConstraint("source", "delivery_id", "body_sha256"),
    Index("ix_deliveries_open", "collected_at", "id"),
    Index("ix_deliveries_unapplied", "applied_at", "id"),
    Index(None, "updated_at"),
    Index(None, "repository", "id"),
    Index(None, "received_at"),
    sqlite_autoincrement=True,
)

collections = Table(
    "collections",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("repository", String(140), nullable=False),
    Column("source", String(40), nullable=False),
    Column("status", String(20), nullable=False),
    Column("signals", Integer, nullable=False),
    Column("changed", Integer, nullable=False),
    Column("truncated", Boolean, nullable=False),
    Column("error_code", CleanText),
    Column("error", CleanText),
    Column("started_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime, nullable=False),
    Column("trace_id", String(32), nullable=False),
    Column("run_id", String(40)),
    Column("planned_at", UtcDateTime),
    Column("requests", Integer),
    Column("quota_cost", Integer),
    Column("quota_remaining", Integer),
    Column("updated_at", UtcDateTime, nullable=False),
    one_of("status", CollectionStatus),
    Index(None, "repository", "source", "id"),
    Index("ix_collections_unplanned", "planned_at", "id"),
    Index(None, "updated_at"),
    Index(None, "ended_at", "id"),
    sqlite_autoincrement=True,
)

signals = Table(
    "signals",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("repository", String(140), nullable=False),
    Column("kind", String(40), nullable=False),
    Column("key", CleanText, nullable=False),
    Column("version", CleanText, nullable=False),
    Column("title", CleanText, nullable=False),
    Column("url", CleanText, nullable=False),
    Column("signal", JSON, nullable=False),
    Column("first_seen_at", UtcDateTime, nullable=False),
    Column("last_seen_at", UtcDateTime, nullable=False),
    Column("gone_at", UtcDateTime),
    Column("updated_at", UtcDateTime, nullable=False),
    UniqueConstraint("repository", "kind", "key"),
    Index(None, "repository", "gone_at"),
    Index(None, "updated_at"),
    Index(None, "last_seen_at", "id"),
    Index(None, "repository", "last_seen_at", "id"),
    Index(None, "kind", "last_seen_at", "id"),
    sqlite_autoincrement=True,
)

plans = Table(
    "plans",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("repository", String(140), nullable=False),
    Column("planner", CleanText, nullable=False),
    Column("signals_digest", String(64), nullable=False),
    Column("plan", JSON, nullable=False),
    Column("findings", JSON, nullable=False),
    Column("passed", Boolean, nullable=False),
    Column("tasks_proposed", Integer, nullable=False),
    Column("tasks_created", Integer),
    Column("trace_id", String(32), nullable=False),
    Column("run_id", String(40)),
    Column("created_at", UtcDateTime, nullable=False),
    Column("admitted_at", UtcDateTime),
    Column("model", CleanText),
    Column("prompt_version", String(40)),
    Column("updated_at", UtcDateTime, nullable=False),
    Index(None, "repository", "created_at"),
    Index(None, "updated_at"),
    Index(None, "created_at", "id"),
)

tasks = Table(
    "tasks",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("repository", String(140), nullable=False),
    Column("status", String(20), nullable=False),
    Column("kind", String(40), nullable=False),
    Column("title", CleanText, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("spec", JSON, nullable=False),
    Column("branch", String(120), nullable=False),
    Column("base_branch", CleanText, nullable=False),
    Column("plan_id", String(32), ForeignKey("plans.id")),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("max_attempts", Integer, nullable=False),
    Column("not_before", UtcDateTime),
    Column("cancel_requested_at", UtcDateTime),
    Column("cause", String(40)),
    Column("message", CleanText),
    Column("trace_id", String(32), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("ready_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Column("updated_at", UtcDateTime, nullable=False),
    one_of("status", TaskStatus),
    UniqueConstraint("repository", "fingerprint"),
    Index(None, "created_at", "id"),
    CheckConstraint(
        f"(status IN ({names_in_sql(s for s in TaskStatus if s.is_final)})) = (ended_at IS NOT NULL)",
        name="final_has_ended",
    ),
    Index(None, "repository", "created_at", "id"),
    one_of("kind", TaskKind),
    # In the order of changes, the last two are looked up in the words' table for each task that is passed.
    Index(None, "updated_at", "id", "priority", "created_at"),
    Index(None, "priority", "created_at", "id"),
    Index(None, "repository", "priority", "created_at", "id"),
    Index(None, "status", "kind", "created_at", "id"),
    Index(None, "status", "kind", "updated_at", "id", "priority", "created_at"),
    Index(None, "status", "kind", "priority", "created_at", "id"),
    Index(None, "repository", "status", "kind", "created_at", "id"),
    Index(None, "repository", "status", "kind", "updated_at", "id"),
    Index(None, "repository", "status", "kind", "priority", "created_at", "id"),
    Index(None, "plan_id"),
)

task_dependencies = Table(
    "task_dependencies",
    metadata,
    Column("task_id", String(32), ForeignKey("tasks.id"), primary_key=True),
    Column("depends_on", String(32), ForeignKey("tasks.id"), primary_key=True),
    Index(None, "depends_on"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("task_id", String(32), ForeignKey("tasks.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("repository", String(140), nullable=False),
    Column("status", String(20), nullable=False),
    Column("trace_id", String(32), nullable=False),
    Column("run_id", String(40)),
    Column("lease_token", String(40)),
    Column("lease_until", UtcDateTime),
    Column("claim_until", UtcDateTime, nullable=False),
    Column("base_sha", String(64)),
    Column("head_sha", String(64)),
    Column("agent", CleanText),
    Column("runner", String(20)),
    Column("sandboxed", Boolean),
    Column("image", CleanText),
    Column("limits", JSON),
    Column("staged_ending", JSON),
    Column("cause", String(40)),
    Column("transient", Boolean),
    Column("message", CleanText),
    Column("evidence", JSON),
    Column("verdict", JSON),
    Column("pr_number", Integer),
    Column("pr_url", CleanText),
    Column("input_tokens", Integer),
    Column("output_tokens", Integer),
    Column("cost_usd", Float),
    Column("queued_at", UtcDateTime, nullable=False),
    Column("claimed_at", UtcDateTime),
    Column("agent_started_at", UtcDateTime),
    Column("agent_ended_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Column("model", CleanText),
    Column("prompt_version", String(40)),
    Column("agent_version", CleanText),
    Column("timings", JSON),
    Column("not_before", UtcDateTime),
    Column("verification", JSON),
    Column("previous_id", String(40)),
    Column("updated_at", UtcDateTime, nullable=False),
    one_of("status", AttemptStatus),
    CheckConstraint("(status = 'ended') = (cause IS NOT NULL)", name="ended_has_cause"),
    UniqueConstraint("task_id", "number"),
    Index(None, "status", "lease_until"),
    Index(None, "repository", "status"),
    Index(None, "updated_at"),
    Index(None, "repository", "queued_at", "id"),
    Index(None, "queued_at", "id"),
    Index(None, "ended_at"),
)

task_events = Table(
    "task_events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("task_id", String(32), ForeignKey("tasks.id"), nullable=False),
    Column("attempt_id", String(40)),
    Column("subject", String(10), nullable=False),
    Column("before", String(20)),
    Column("after", String(20), nullable=False),
    Column("actor", CleanText, nullable=False),
    Column("reason", CleanText, nullable=False),
    Column("trace_id", String(32), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Index(None, "task_id", "id"),
    Index(None, "at"),
    sqlite_autoincrement=True,
)

outcomes = Table(
    "outcomes",
    metadata,
    Column("task_id", String(32), ForeignKey("tasks.id"), primary_key=True),
    Column("repository", String(140), nullable=False),
    Column("pr_number", Integer, nullable=False),
    Column("pr_url", CleanText, nullable=False),
    Column("head_sha", String(64), nullable=False),
    Column("state", String(20), nullable=False),
    Column("checks", String(20)),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("merged_at", UtcDateTime),
    Column("closed_at", UtcDateTime),
    Column("forge_updated_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("polled_at", UtcDateTime),
    Column("review_state", String(20)),
    one_of("state", PullRequestState),
    UniqueConstraint("repository", "pr_number"),
    Index(None, "state", "polled_at"),
    Index(None, "updated_at"),
)

model_calls = Table(
    "model_calls",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("purpose", CleanText, nullable=False),
    Column("repository", String(140)),
    Column("task_id", String(32)),
    Column("attempt_id", String(40)),
    Column("model", CleanText, nullable=False),
    Column("ok", Boolean, nullable=False),
    Column("status", Integer),
    Column("input_tokens", Integer, nullable=False),
    Column("output_tokens", Integer, nullable=False),
    Column("cost_usd", Float),
    Column("latency_s", Float, nullable=False),
    Column("error", CleanText),
    Column("trace_id", String(32), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("call_id", String(80)),
    Column("cached_tokens", Integer),
    Column("estimated", Boolean, nullable=False, server_default=false()),
    Index(None, "attempt_id"),
    Index(None, "at"),
    UniqueConstraint("call_id"),
    sqlite_autoincrement=True,
)

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", CleanText, nullable=False),
    Column("action", CleanText, nullable=False),
    Column("subject", CleanText, nullable=False),
    Column("detail", JSON, nullable=False),
    Column("trace_id", String(32)),
    Index(None, "at"),
    sqlite_autoincrement=True,
)


def full_metadata() -> MetaData:
    """All tables, and the indexes that need a word to each kind of database.

    Kept apart since naming Postgres makes SQLAlchemy import all of its dialect, which only migrations need.
    """
    name = "uq_attempts_one_open"
    if name not in {index.name for index in attempts.indexes}:
        # At most one attempt of a task is under way, whatever the code does.
        under_way = attempts.c.status != "ended"
        Index(name, attempts.c.task_id, unique=True, sqlite_where=under_way, postgresql_where=under_way)
        for known, names in (
            ("cause", ("cause", "created_at", "id")),
            ("cause", ("cause", "updated_at", "id")),
            ("cause", ("cause", "priority", "created_at", "id")),
            ("cause", ("repository", "cause", "created_at", "id")),
            ("cause", ("repository", "cause", "updated_at", "id")),
            ("ended_at", ("ended_at", "id", "priority", "created_at")),  # all that an order of those that ended needs
        ):
            there = tasks.c[known].is_not(None)
            Index(None, *(tasks.c[each] for each in names), sqlite_where=there, postgresql_where=there)
        # Hardly any: a task changes for the last time as it ends.
        late = tasks.c.updated_at != tasks.c.ended_at
        columns = (tasks.c.updated_at, tasks.c.id)
        Index("ix_tasks_changed_later", *columns, sqlite_where=late, postgresql_where=late)
    return metadata
