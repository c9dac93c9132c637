"""GitHub's limits by credential and kind, which all processes obey."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")

_KINDS = "kind IN ('core', 'graphql', 'search', 'content')"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "github_limits",
        sa.Column("credential", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("blocked_until", _TIME, nullable=True),
        sa.Column("strikes", sa.Integer(), server_default="0", nullable=False),
        sa.Column("quota", sa.Integer(), nullable=True),
        sa.Column("remaining", sa.Integer(), nullable=True),
        sa.Column("reset_at", _TIME, nullable=True),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.CheckConstraint(_KINDS, name=op.f("ck_github_limits_kind_known")),
        sa.PrimaryKeyConstraint("credential", "kind", name=op.f("pk_github_limits")),
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("github_limits")
