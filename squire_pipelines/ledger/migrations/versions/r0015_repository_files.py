"""Repositories' own settings as they were read, and the pull requests that ask for their consent."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")


def upgrade() -> None:
    """Apply. No repository's file was read before this."""
    op.create_table(
        "repository_files",
        sa.Column("repository", sa.String(length=140), nullable=False),
        sa.Column("commit_sha", sa.String(length=64), nullable=True),
        sa.Column("blob_sha", sa.String(length=64), nullable=True),
        sa.Column("content", sa.Text(), nullable=True),
        sa.Column("settings", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("origins", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("presets", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("hint", sa.Text(), nullable=True),
        sa.Column("place", sa.Text(), nullable=True),
        sa.Column("read_at", _TIME, nullable=False),
        sa.Column("changed_at", _TIME, nullable=False),
        sa.Column("issue_number", sa.Integer(), nullable=True),
        sa.Column("issue_digest", sa.String(length=64), nullable=True),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("repository", name=op.f("pk_repository_files")),
    )
    op.create_table(
        "onboardings",
        sa.Column("repository", sa.String(length=140), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("pr_number", sa.Integer(), nullable=False),
        sa.Column("pr_url", sa.Text(), nullable=False),
        sa.Column("asked_at", _TIME, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.CheckConstraint("state IN ('open', 'merged', 'closed')", name=op.f("ck_onboardings_state_known")),
        sa.PrimaryKeyConstraint("repository", name=op.f("pk_onboardings")),
    )


def downgrade() -> None:
    """Undo. Files are read again; which repositories were asked is lost."""
    op.drop_table("onboardings")
    op.drop_table("repository_files")
