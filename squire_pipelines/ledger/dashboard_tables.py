"""The tables of the dashboards: the issue of each repository, and the boxes that were acted upon."""

from sqlalchemy import Boolean, Column, Integer, String, Table

from squire_pipelines.ledger.columns import CleanText, UtcDateTime, metadata

dashboards = Table(
    "dashboards",
    metadata,
    Column("repository", String(140), primary_key=True),
    Column("epoch", String(32), nullable=False),
    Column("number", Integer),
    Column("state", String(16), nullable=False),
    Column("written_digest", String(64)),
    Column("stored_digest", String(64)),
    Column("woken", Boolean, nullable=False),
    Column("looked_at", UtcDateTime),
    Column("tries", Integer, nullable=False),
    Column("again_at", UtcDateTime),
    Column("error", CleanText),
    Column("updated_at", UtcDateTime, nullable=False),
)

dashboard_ticks = Table(
    "dashboard_ticks",
    metadata,
    Column("repository", String(140), primary_key=True),
    Column("task_id", String(32), primary_key=True),
    Column("action", String(16), primary_key=True),
    Column("use", Integer, primary_key=True, autoincrement=False),
    Column("updated_at", UtcDateTime, nullable=False),
)
