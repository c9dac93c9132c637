"""How far Squire's own merges of its pull requests have come."""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")
_PROGRESS = "progress IN ('waiting', 'requested', 'armed', 'refused', 'taken_back', 'merged')"


def upgrade() -> None:
    """Apply. Squire has merged nothing before this."""
    op.create_table(
        "merges",
        sa.Column("task_id", sa.String(length=32), nullable=False),
        sa.Column("repository", sa.String(length=140), nullable=False),
        sa.Column("pr_number", sa.Integer(), nullable=False),
        sa.Column("progress", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("way", sa.String(length=20), nullable=True),
        sa.Column("method", sa.String(length=20), nullable=True),
        sa.Column("head_sha", sa.String(length=64), nullable=True),
        sa.Column("asked_at", _TIME, nullable=True),
        sa.Column("refusals", sa.Integer(), nullable=True),
        sa.Column("judged", sa.Text(), nullable=True),
        sa.Column("look_at", _TIME, nullable=True),
        sa.Column("told", sa.Text(), nullable=True),
        sa.Column("tell_tries", sa.Integer(), nullable=True),
        sa.Column("tell_again_at", _TIME, nullable=True),
        sa.Column("tell_error", sa.Text(), nullable=True),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.CheckConstraint(_PROGRESS, name=op.f("ck_merges_progress_known")),
        sa.CheckConstraint("way IN ('direct', 'auto_merge', 'merge_queue')", name=op.f("ck_merges_way_known")),
        sa.PrimaryKeyConstraint("task_id", name=op.f("pk_merges")),
    )


def downgrade() -> None:
    """Undo. What was asked of GitHub stays asked there."""
    op.drop_table("merges")
