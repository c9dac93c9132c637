"""The tables of the work itself: tasks, what they wait for and what held them, the tries at them, each step of both."""

from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.engine.default import DefaultExecutionContext

from squire_pipelines.domain.tasks import AttemptStatus, TaskKind, TaskStatus
from squire_pipelines.ledger.columns import CleanText, RowId, UtcDateTime, metadata, names_in_sql, one_of
from squire_pipelines.ledger.words import words_of


def _split_title(context: DefaultExecutionContext) -> str:
    """Return the words that the database's index of titles has: each word once, with a space between two."""
    parameters: dict[str, Any] = context.get_current_parameters()  # type: ignore[no-untyped-call] # the library's own
    return " ".join(words_of(parameters["title"]))


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
    Column("title_words", Text, nullable=False, default=_split_title),
    Column("start_requested_at", UtcDateTime),
    Column("schedule_id", String(32)),
    one_of("status", TaskStatus),
    UniqueConstraint("repository", "fingerprint"),
    Index(None, "created_at", "id"),
    CheckConstraint(
        f"(status IN ({names_in_sql(s for s in TaskStatus if s.is_final)})) = (ended_at IS NOT NULL)",
        name="final_has_ended",
    ),
    Index(None, "repository", "created_at", "id"),
    one_of("kind", TaskKind),
    Index(None, "updated_at", "id"),
    Index(None, "priority", "created_at", "id"),
    Index(None, "repository", "priority", "created_at", "id"),
    Index(None, "status", "kind", "created_at", "id"),
    Index(None, "status", "kind", "updated_at", "id"),
    Index(None, "status", "kind", "priority", "created_at", "id"),
    Index(None, "repository", "status", "kind", "created_at", "id"),
    Index(None, "repository", "status", "kind", "updated_at", "id"),
    Index(None, "repository", "status", "kind", "priority", "created_at", "id"),
    Index(None, "plan_id"),
    Index(None, "repository", "branch"),
    Index(None, "trace_id"),
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
    Column("choice", JSON),
    Column("startable_at", UtcDateTime),
    Column("worker", String(60)),
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

dispatch_holds = Table(
    "dispatch_holds",
    metadata,
    Column("subject", CleanText, primary_key=True),
    Column("since", UtcDateTime, nullable=False),
    Column("until", UtcDateTime),
    Column("updated_at", UtcDateTime, nullable=False),
)
"""What Squire's own rules hold, a row for each subject of `dispatch_holds`; `until` is empty while they do."""

task_events = Table(
    "task_events",
    metadata,
    Column("id", RowId, primary_key=True),
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
