"""Since when nothing of Squire's own rules held an attempt's task, and what they hold now."""

import sqlalchemy as sa
from alembic import op

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")


def upgrade() -> None:
    """Apply. Of earlier attempts nobody knows it."""
    op.add_column("attempts", sa.Column("startable_at", _TIME, nullable=True))
    op.create_table(
        "dispatch_holds",
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("since", _TIME, nullable=False),
        sa.Column("until", _TIME, nullable=True),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_dispatch_holds")),
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("dispatch_holds")
    op.drop_column("attempts", "startable_at")
