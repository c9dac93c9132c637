"""The tables of what arrives from GitHub and is read there: deliveries, readings, and who may do what."""

from sqlalchemy import Boolean, Column, Index, Integer, LargeBinary, String, Table, UniqueConstraint

from squire_pipelines.domain.signals import CollectionStatus
from squire_pipelines.ledger.columns import CleanText, UtcDateTime, metadata, one_of

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
    Column("collected_trace_id", String(32)),
    UniqueConstraint("source", "delivery_id", "body_sha256"),
    Index("ix_deliveries_open", "collected_at", "id"),
    Index("ix_deliveries_unapplied", "applied_at", "id"),
    Index(None, "updated_at"),
    Index(None, "repository", "id"),
    Index(None, "received_at"),
    Index(None, "trace_id"),
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
    Column("looks", Integer),
    one_of("status", CollectionStatus),
    Index(None, "repository", "source", "id"),
    Index("ix_collections_unplanned", "planned_at", "id"),
    Index(None, "updated_at"),
    Index(None, "ended_at", "id"),
    Index(None, "trace_id"),
    sqlite_autoincrement=True,
)

collaborators = Table(
    "collaborators",
    metadata,
    Column("repository", String(140), primary_key=True),
    Column("login", String(100), primary_key=True),
    Column("permission", String(20), nullable=False),
    Column("note", CleanText, nullable=False),
    Column("asked_at", UtcDateTime, nullable=False),
    Index(None, "asked_at"),
)
