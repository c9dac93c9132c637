"""The table of what came of merging a base's head into the head of a pull request of ours."""

from sqlalchemy import Boolean, Column, Integer, String, Table

from squire_pipelines.ledger.columns import CleanText, UtcDateTime, metadata

base_merges = Table(
    "base_merges",
    metadata,
    Column("task_id", String(32), primary_key=True),
    Column("head_sha", String(64), primary_key=True),
    Column("base_sha", String(64), primary_key=True),
    Column("state", String(20), nullable=False),
    Column("result_sha", String(64)),
    Column("conflicts", CleanText),
    Column("tries", Integer, nullable=False),
    Column("again_at", UtcDateTime),
    Column("error", CleanText),
    Column("labelled", Boolean),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)
