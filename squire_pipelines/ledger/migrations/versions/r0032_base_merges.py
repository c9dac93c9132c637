"""Which base a pull request of ours has, and what came of merging it."""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")


def upgrade() -> None:
    """Apply. The base is known from the next time that GitHub is asked."""
    op.add_column("outcomes", sa.Column("base_ref", sa.Text(), nullable=True))
    op.add_column("outcomes", sa.Column("base_sha", sa.String(length=64), nullable=True))
    op.create_table(
        "base_merges",
        sa.Column("task_id", sa.String(length=32), nullable=False),
        sa.Column("head_sha", sa.String(length=64), nullable=False),
        sa.Column("base_sha", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("result_sha", sa.String(length=64), nullable=True),
        sa.Column("conflicts", sa.Text(), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("again_at", _TIME, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("labelled", sa.Boolean(), nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("task_id", "head_sha", "base_sha", name=op.f("pk_base_merges")),
    )


def downgrade() -> None:
    """Undo. Heads that came by a merge of the base count as somebody else's then."""
    op.drop_table("base_merges")
    op.drop_column("outcomes", "base_sha")
    op.drop_column("outcomes", "base_ref")
