"""Ticks of a dashboard without what nobody read of them: the audit trail and the tasks' history have it."""

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")
_TABLE = "dashboard_ticks"


def upgrade() -> None:
    """Apply. Which ticks were acted upon stays known."""
    for name in ("refusal", "ticked_at", "ticked_by"):
        op.drop_column(_TABLE, name)


def downgrade() -> None:
    """Undo. Who ticked a box, and why it was refused, is not known of ticks from before."""
    op.add_column(_TABLE, sa.Column("ticked_by", sa.Text(), nullable=True))
    op.add_column(_TABLE, sa.Column("refusal", sa.Text(), nullable=True))
    # What must be there has a value for the rows that are.
    ticked_at = sa.Column("ticked_at", _TIME, nullable=False, server_default="1970-01-01T00:00:00.000000Z")
    op.add_column(_TABLE, ticked_at)
