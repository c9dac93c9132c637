"""The ledger's tables as SQLAlchemy Core objects. Migrations create them; a test compares the two.

Conventions: ids are text; times are UTC (`UtcDateTime`); JSON columns hold what a pydantic model of `domain` dumps.
What comes from outside has no length (`CleanText`), since Postgres refuses a longer value where SQLite takes it.
"""

import re
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.types import TypeDecorator, TypeEngine

from squire_pipelines.domain.outcomes import PullRequestState
from squire_pipelines.domain.signals import CollectionStatus
from squire_pipelines.domain.tasks import AttemptStatus, TaskStatus

_UNSTORABLE = re.compile("[\\x00\\ud800-\\udfff]")


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC: `timestamptz` on Postgres, on SQLite text of fixed width, which sorts as time does."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Text where the database has no type for it."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(String(27))
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Refuse naive datetimes: nobody could say what they mean."""
        if value is None:
            return None
        if value.tzinfo is None:
            message = f"a naive datetime cannot be stored: {value!r}"
            raise ValueError(message)
        moment = value.astimezone(UTC)
        return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if dialect.name == "sqlite" else moment

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - the library's signature
        """Always aware, always UTC."""
        if value is None:
            return None
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        return moment.astimezone(UTC)


class CleanText(TypeDecorator[str]):
    """Text from outside (log lines, titles, messages). What a database cannot store becomes U+FFFD.

    Postgres refuses NUL, and no encoder takes half a surrogate pair: the end of an attempt must not fail over them.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - the library's signature
        """Replace what cannot be stored."""
        return None if value is None else _UNSTORABLE.sub("\ufffd", value)


def _one_of(column: str, values: type) -> CheckConstraint:
    names = ", ".join(f"'{value}'" for value in values)  # type: ignore[attr-defined]
    return CheckConstraint(f"{column} IN ({names})", name=f"{column}_known")


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

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
    UniqueConstraint("source", "delivery_id", "body_sha256"),
    Index("ix_deliveries_open", "collected_at", "id"),
    Index("ix_deliveries_unapplied", "applied_at", "id"),
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
    _one_of("status", CollectionStatus),
    Index(None, "repository", "source", "id"),
    Index("ix_collections_unplanned", "planned_at", "id"),
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
    UniqueConstraint("repository", "kind", "key"),
    Index(None, "repository", "gone_at"),
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
    Index(None, "repository", "created_at"),
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
    _one_of("status", TaskStatus),
    UniqueConstraint("repository", "fingerprint"),
    Index(None, "status", "priority", "ready_at"),
    Index(None, "repository", "status"),
    Index(None, "created_at", "id"),
)

task_dependencies = Table(
    "task_dependencies",
    metadata,
    Column("task_id", String(32), ForeignKey("tasks.id"), primary_key=True),
    Column("depends_on", String(32), ForeignKey("tasks.id"), primary_key=True),
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
    _one_of("status", AttemptStatus),
    CheckConstraint("(status = 'ended') = (cause IS NOT NULL)", name="ended_has_cause"),
    UniqueConstraint("task_id", "number"),
    Index(None, "status", "lease_until"),
    Index(None, "repository", "status"),
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
    _one_of("state", PullRequestState),
    UniqueConstraint("repository", "pr_number"),
    Index(None, "state", "polled_at"),
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
    Index(None, "attempt_id"),
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
)


def full_metadata() -> MetaData:
    """All tables, and the index that needs a word to each kind of database.

    Kept apart since naming Postgres makes SQLAlchemy import all of its dialect, which only migrations need.
    """
    name = "uq_attempts_one_open"
    if name not in {index.name for index in attempts.indexes}:
        # At most one attempt of a task is under way, whatever the code does.
        under_way = attempts.c.status != "ended"
        Index(name, attempts.c.task_id, unique=True, sqlite_where=under_way, postgresql_where=under_way)
    return metadata
