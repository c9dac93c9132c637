"""What Squire reports on the commits that it pushed, and where a repository takes it."""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")


def upgrade() -> None:
    """Apply. Open pull requests get their report at the next look."""
    op.create_table(
        "head_reports",
        sa.Column("repository", sa.String(length=140), nullable=False),
        sa.Column("head_sha", sa.String(length=40), nullable=False),
        sa.Column("task_id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("place", sa.String(length=16), nullable=True),
        sa.Column("place_at", _TIME, nullable=True),
        sa.Column("check_run_id", sa.BigInteger(), nullable=True),
        sa.Column("reported", sa.String(length=64), nullable=True),
        sa.Column("tried", sa.String(length=64), nullable=False),
        sa.Column("reports", sa.Integer(), nullable=False),
        sa.Column("settled", sa.Boolean(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("again_at", _TIME, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("repository", "head_sha", name=op.f("pk_head_reports")),
    )
    op.create_index("head_reports_settled", "head_reports", ["settled", "task_id"])


def downgrade() -> None:
    """Undo. Reports that are on GitHub are found there again."""
    op.drop_index("head_reports_settled", table_name="head_reports")
    op.drop_table("head_reports")
