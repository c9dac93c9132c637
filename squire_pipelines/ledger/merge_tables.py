"""The table of Squire's own merges: how far each has come, and what was said of it."""

from sqlalchemy import Column, Index, Integer, String, Table

from squire_pipelines.domain.merging import MergeProgress, MergeWay
from squire_pipelines.ledger.columns import CleanText, UtcDateTime, metadata, one_of

merges = Table(
    "merges",
    metadata,
    Column("task_id", String(32), primary_key=True),
    Column("repository", String(140), nullable=False),
    Column("pr_number", Integer, nullable=False),
    Column("progress", String(20), nullable=False),
    Column("reason", CleanText, nullable=False),
    Column("way", String(20)),
    Column("method", String(20)),
    Column("head_sha", String(64)),
    Column("asked_at", UtcDateTime),
    Column("refusals", Integer),
    Column("judged_facts", CleanText),
    Column("look_at", UtcDateTime),
    Column("announced_reason", CleanText),
    Column("tell_tries", Integer),
    Column("tell_again_at", UtcDateTime),
    Column("tell_error", CleanText),
    Column("updated_at", UtcDateTime, nullable=False),
    one_of("progress", MergeProgress),
    one_of("way", MergeWay),
    Index(None, "updated_at"),
)
