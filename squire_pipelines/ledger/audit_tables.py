"""The tables of the audit trail: its rows, the batches that seal them, and the settings whose changes it tells.

Triggers keep rows and batches from being changed.
"""

from sqlalchemy import JSON, Column, Index, Integer, String, Table, UniqueConstraint

from squire_pipelines.ledger.columns import CleanText, RowId, UtcDateTime, metadata

audit = Table(
    "audit",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", CleanText, nullable=False),
    Column("action", CleanText, nullable=False),
    Column("subject", CleanText, nullable=False),
    Column("detail", JSON, nullable=False),
    Column("trace_id", String(32)),
    Column("batch", RowId),
    Index(None, "at"),
    Index(None, "batch", "id"),
    sqlite_autoincrement=True,
)

audit_batches = Table(
    "audit_batches",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=False),
    Column("first_id", RowId, nullable=False),
    Column("last_id", RowId, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("members", JSON, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("sealed_at", UtcDateTime, nullable=False),
    Column("archived_at", UtcDateTime),
    # Two batches that follow the same one would be two chains.
    UniqueConstraint("previous"),
    UniqueConstraint("digest"),
    Index(None, "sealed_at"),
)

settings_seen = Table(
    "settings_seen",
    metadata,
    Column("key", CleanText, primary_key=True),
    Column("salt", String(32), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
)
