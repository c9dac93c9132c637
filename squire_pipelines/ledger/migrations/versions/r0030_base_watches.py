"""What became of base branches after merges of ours, and which reverts were proposed."""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")
_VERDICTS = "verdict IN ('waiting', 'passed', 'red_before', 'elsewhere', 'broken', 'unknown')"


def upgrade() -> None:
    """Apply. Bases are watched from the next merge on."""
    op.create_table(
        "base_watches",
        sa.Column("task_id", sa.String(length=32), nullable=False),
        sa.Column("repository", sa.String(length=140), nullable=False),
        sa.Column("pr_number", sa.Integer(), nullable=False),
        sa.Column("merge_sha", sa.String(length=64), nullable=True),
        sa.Column("verdict", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("look_at", _TIME, nullable=True),
        sa.Column("revert_tries", sa.Integer(), nullable=True),
        sa.Column("revert_number", sa.Integer(), nullable=True),
        sa.Column("revert_url", sa.Text(), nullable=True),
        sa.Column("revert_error", sa.Text(), nullable=True),
        sa.Column("told", sa.Text(), nullable=True),
        sa.Column("tell_tries", sa.Integer(), nullable=True),
        sa.Column("tell_again_at", _TIME, nullable=True),
        sa.Column("tell_error", sa.Text(), nullable=True),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.CheckConstraint(_VERDICTS, name=op.f("ck_base_watches_verdict_known")),
        sa.PrimaryKeyConstraint("task_id", name=op.f("pk_base_watches")),
    )


def downgrade() -> None:
    """Undo. A revert that was proposed stays on GitHub, where its branch shows it."""
    op.drop_table("base_watches")
