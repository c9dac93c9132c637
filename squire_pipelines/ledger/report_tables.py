"""The table of what Squire reports on the commits that it pushed."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Table

from squire_pipelines.ledger.columns import CleanText, UtcDateTime, metadata

head_reports = Table(
    "head_reports",
    metadata,
    Column("repository", String(140), primary_key=True),
    Column("head_sha", String(40), primary_key=True),
    Column("task_id", String(32), nullable=False),
    Column("number", Integer, nullable=False),
    Column("place", String(16)),
    Column("place_at", UtcDateTime),
    Column("check_run_id", BigInteger),
    Column("reported_digest", String(64)),
    Column("tried_digest", String(64), nullable=False),
    Column("reports", Integer, nullable=False),
    Column("settled", Boolean, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("again_at", UtcDateTime),
    Column("error", CleanText),
    Column("updated_at", UtcDateTime, nullable=False),
    Index("head_reports_settled", "settled", "task_id"),
)
