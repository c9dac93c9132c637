"""The table of the doors of attempts: where a container on another machine finds whoever supervises it now."""

from sqlalchemy import Column, Index, Integer, String, Table

from squire_pipelines.ledger.columns import CleanText, UtcDateTime, metadata

attempt_doors = Table(
    "attempt_doors",
    metadata,
    Column("unit", String(100), primary_key=True),
    Column("attempt_id", String(40), nullable=False),
    Column("host", CleanText, nullable=False),
    Column("port", Integer, nullable=False),
    Column("token_sha256", String(64), nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Index(None, "attempt_id"),
)
"""A row for each container that is supervised through a door, until its attempt's end.

No foreign key: a process of an older version, which ends an attempt, knows of no doors.
"""
