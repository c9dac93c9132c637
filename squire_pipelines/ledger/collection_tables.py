"""The tables of what is read at GitHub: readings, and who may do what."""

from sqlalchemy import Boolean, Column, Index, Integer, String, Table

from squire_pipelines.domain.signals import CollectionStatus
from squire_pipelines.ledger.columns import CleanText, RowId, UtcDateTime, metadata, one_of

collections = Table(
    "collections",
    metadata,
    Column("id", RowId, primary_key=True),
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
