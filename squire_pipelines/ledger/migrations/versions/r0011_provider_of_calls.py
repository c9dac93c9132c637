"""Which of the settings' providers a call of a model went to."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. Of calls before this nobody knows it."""
    op.add_column("model_calls", sa.Column("provider", sa.String(length=40), nullable=True))


def downgrade() -> None:
    """Undo. The names are lost."""
    op.drop_column("model_calls", "provider")
