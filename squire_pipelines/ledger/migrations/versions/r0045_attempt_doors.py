"""Where the doors of attempts are, by which containers on other machines reach whoever supervises them."""

import sqlalchemy as sa
from alembic import op

revision = "0045"
down_revision = "0044"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "attempt_doors",
        sa.Column("unit", sa.String(100), nullable=False),
        sa.Column("attempt_id", sa.String(40), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("token_sha256", sa.String(64), nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("unit", name=op.f("pk_attempt_doors")),
    )
    op.create_index(op.f("ix_attempt_doors_attempt_id"), "attempt_doors", ["attempt_id"])


def downgrade() -> None:
    """Undo. A container that is under way finds nobody any more."""
    op.drop_table("attempt_doors")
