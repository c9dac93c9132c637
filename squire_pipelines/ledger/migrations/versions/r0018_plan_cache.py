"""Plans that models made, for whoever asks the same again."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")


def upgrade() -> None:
    """Apply. Nothing was kept before this."""
    op.add_column("plans", sa.Column("cache_hit", sa.Boolean(), nullable=True))
    op.create_table(
        "plan_cache",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("holder", sa.String(length=32), nullable=False),
        sa.Column("until", _TIME, nullable=False),
        sa.Column("plan", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("provider", sa.String(length=40), nullable=True),
        sa.Column("prompt_version", sa.String(length=40), nullable=True),
        sa.Column("error_code", sa.String(length=40), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("hint", sa.Text(), nullable=True),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.CheckConstraint("state IN ('asking', 'answered', 'failed')", name=op.f("ck_plan_cache_state_known")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_plan_cache")),
    )
    op.create_index(op.f("ix_plan_cache_until"), "plan_cache", ["until"])


def downgrade() -> None:
    """Undo. Models are asked again."""
    op.drop_table("plan_cache")
    op.drop_column("plans", "cache_hit")
