"""The tables of what was said on issues about proposed tasks, and of remarks that were shown to be heard."""

from sqlalchemy import BigInteger, Column, Integer, String, Table

from squire_pipelines.ledger.columns import CleanText, UtcDateTime, metadata

announcements = Table(
    "announcements",
    metadata,
    Column("task_id", String(32), primary_key=True),
    Column("repository", String(140), nullable=False),
    Column("number", Integer, nullable=False),
    Column("comment_id", BigInteger),
    Column("tries", Integer, nullable=False),
    Column("again_at", UtcDateTime),
    Column("error", CleanText),
    Column("updated_at", UtcDateTime, nullable=False),
)

heard_remarks = Table(
    "heard_remarks",
    metadata,
    Column("task_id", String(32), primary_key=True),
    Column("tries", Integer, nullable=False),
    Column("again_at", UtcDateTime),
    Column("error", CleanText),
    Column("updated_at", UtcDateTime, nullable=False),
)
"""A row for each task on remarks; `again_at` is empty where nothing is left to try."""
