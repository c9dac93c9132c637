"""When a person told a waiting task to start before the others, whatever the caps say."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")


def upgrade() -> None:
    """Apply. Nobody said so of any task before this."""
    op.add_column("tasks", sa.Column("start_requested_at", _TIME, nullable=True))


def downgrade() -> None:
    """Undo. Tasks wait for their turn again."""
    op.drop_column("tasks", "start_requested_at")
