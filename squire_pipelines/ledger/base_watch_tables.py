"""The table of the base branches that are watched after a merge, and of the reverts that Squire proposed."""

from sqlalchemy import Column, Index, Integer, String, Table

from squire_pipelines.domain.base_checks import BaseVerdict
from squire_pipelines.ledger.columns import CleanText, UtcDateTime, metadata, one_of

base_watches = Table(
    "base_watches",
    metadata,
    Column("task_id", String(32), primary_key=True),
    Column("repository", String(140), nullable=False),
    Column("pr_number", Integer, nullable=False),
    Column("merge_sha", String(64)),
    Column("verdict", String(20), nullable=False),
    Column("reason", CleanText, nullable=False),
    Column("look_at", UtcDateTime),
    Column("revert_tries", Integer),
    Column("revert_number", Integer),
    Column("revert_url", CleanText),
    Column("revert_error", CleanText),
    Column("announced_reason", CleanText),
    Column("tell_tries", Integer),
    Column("tell_again_at", UtcDateTime),
    Column("tell_error", CleanText),
    Column("updated_at", UtcDateTime, nullable=False),
    one_of("verdict", BaseVerdict),
    Index(None, "updated_at"),
)
