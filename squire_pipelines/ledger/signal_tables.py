"""Tables about what was seen: signals and their episodes, what happened to each, and which tasks were made for them."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    UniqueConstraint,
)

from squire_pipelines.domain.episodes import EpisodeChange
from squire_pipelines.domain.reruns import RerunState
from squire_pipelines.ledger.columns import CleanText, RowId, UtcDateTime, metadata, one_of

signals = Table(
    "signals",
    metadata,
    Column("id", RowId, primary_key=True),
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
    Column("decision", JSON),
    UniqueConstraint("repository", "kind", "key"),
    Index(None, "repository", "gone_at"),
    Index(None, "updated_at"),
    Index(None, "last_seen_at", "id"),
    Index(None, "repository", "last_seen_at", "id"),
    Index(None, "kind", "last_seen_at", "id"),
    sqlite_autoincrement=True,
)

signal_episodes = Table(
    "signal_episodes",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("repository", String(140), nullable=False),
    Column("kind", String(40), nullable=False),
    Column("key", CleanText, nullable=False),
    Column("number", Integer, nullable=False),
    Column("version", CleanText, nullable=False),
    Column("title", CleanText, nullable=False),
    Column("url", CleanText, nullable=False),
    Column("branch", CleanText),
    Column("on_default_branch", Boolean),
    Column("pull_request", Integer),
    Column("waits_for", CleanText),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("closed_at", UtcDateTime),
    Column("updated_at", UtcDateTime, nullable=False),
    UniqueConstraint("repository", "kind", "key", "number"),
    Index(None, "repository", "kind", "closed_at"),
    Index(None, "updated_at"),
    Index(None, "closed_at"),
    sqlite_autoincrement=True,
)

signal_events = Table(
    "signal_events",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("episode_id", RowId, ForeignKey("signal_episodes.id"), nullable=False),
    Column("change", String(10), nullable=False),
    Column("version", CleanText, nullable=False),
    Column("waits_for", CleanText),
    Column("trace_id", String(32), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    one_of("change", EpisodeChange),
    Index(None, "episode_id", "id"),
    Index(None, "at"),
    sqlite_autoincrement=True,
)

task_signals = Table(
    "task_signals",
    metadata,
    Column("repository", String(140), primary_key=True),
    Column("kind", String(40), primary_key=True),
    Column("key", CleanText, primary_key=True),
    Column("version", CleanText, primary_key=True),
    Column("task_id", String(32), primary_key=True),
    Column("at", UtcDateTime, nullable=False),
)
"""A row for each signal that a task was made for, in the version that it had. It stays while the signal's row does."""

check_reruns = Table(
    "check_reruns",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("repository", String(140), nullable=False),
    Column("head_sha", String(64), nullable=False),
    Column("workflow_run", BigInteger, nullable=False),
    Column("check_runs", JSON, nullable=False),
    Column("checks", CleanText, nullable=False),
    Column("failure", String(20), nullable=False),
    Column("reason", CleanText, nullable=False),
    Column("state", String(20), nullable=False),
    Column("note", CleanText),
    Column("requested_at", UtcDateTime, nullable=False),
    Column("wait_until", UtcDateTime, nullable=False),
    Column("settled_at", UtcDateTime),
    Column("trace_id", String(32), nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    one_of("state", RerunState),
    UniqueConstraint("repository", "head_sha", "workflow_run"),
    Index(None, "repository", "state"),
    Index(None, "updated_at"),
    Index(None, "settled_at"),
    sqlite_autoincrement=True,
)
"""A row for each workflow's run that was run again before an agent was paid for its failed checks."""
