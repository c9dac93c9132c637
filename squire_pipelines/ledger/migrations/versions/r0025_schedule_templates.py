"""The template by which a schedule's request was made."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. Of the schedules that are there, nobody knows."""
    op.add_column("schedules", sa.Column("template", sa.Text(), nullable=True))


def downgrade() -> None:
    """Undo. The words of the template stay in the request."""
    op.drop_column("schedules", "template")
