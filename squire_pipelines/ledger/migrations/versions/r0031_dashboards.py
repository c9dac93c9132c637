"""The dashboard of each repository, and the boxes in it that were ticked and acted upon."""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")


def upgrade() -> None:
    """Apply. There was no dashboard before this."""
    op.create_table(
        "dashboards",
        sa.Column("repository", sa.String(length=140), nullable=False),
        sa.Column("epoch", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("written", sa.String(length=64), nullable=True),
        sa.Column("seen", sa.String(length=64), nullable=True),
        sa.Column("woken", sa.Boolean(), nullable=False),
        sa.Column("looked_at", _TIME, nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("again_at", _TIME, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("repository", name=op.f("pk_dashboards")),
    )
    op.create_table(
        "dashboard_ticks",
        sa.Column("repository", sa.String(length=140), nullable=False),
        sa.Column("task_id", sa.String(length=32), nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("use", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("ticked_by", sa.Text(), nullable=True),
        sa.Column("ticked_at", _TIME, nullable=False),
        sa.Column("refusal", sa.Text(), nullable=True),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("repository", "task_id", "action", "use", name=op.f("pk_dashboard_ticks")),
    )


def downgrade() -> None:
    """Undo. The issues stay; boxes of theirs that are ticked do nothing."""
    op.drop_table("dashboard_ticks")
    op.drop_table("dashboards")
