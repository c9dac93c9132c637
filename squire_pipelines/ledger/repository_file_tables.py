"""Tables of what repositories say of themselves: their own settings, and whether they want Squire at all."""

from sqlalchemy import JSON, Column, Integer, String, Table

from squire_pipelines.domain.onboarding import OnboardingState
from squire_pipelines.ledger.columns import CleanText, UtcDateTime, metadata, one_of

repository_files = Table(
    "repository_files",
    metadata,
    Column("repository", String(140), primary_key=True),
    Column("commit_sha", String(64)),
    Column("blob_sha", String(64)),
    Column("content", CleanText),
    Column("settings", JSON(none_as_null=True)),
    Column("origins", JSON(none_as_null=True)),
    Column("presets", JSON(none_as_null=True)),
    Column("problem", CleanText),
    Column("hint", CleanText),
    Column("place", CleanText),
    Column("read_at", UtcDateTime, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
    Column("issue_number", Integer),
    Column("issue_digest", String(64)),
    Column("updated_at", UtcDateTime, nullable=False),
)

onboardings = Table(
    "onboardings",
    metadata,
    Column("repository", String(140), primary_key=True),
    Column("state", String(20), nullable=False),
    Column("pr_number", Integer, nullable=False),
    Column("pr_url", CleanText, nullable=False),
    Column("asked_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    one_of("state", OnboardingState),
)
