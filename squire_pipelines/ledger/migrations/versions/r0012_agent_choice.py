"""Which agent an attempt got, and why."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. Attempts before this got the one agent of their repository's settings."""
    op.add_column("attempts", sa.Column("choice", sa.JSON(), nullable=True))


def downgrade() -> None:
    """Undo. The choices are lost; the names of the models stay."""
    op.drop_column("attempts", "choice")
