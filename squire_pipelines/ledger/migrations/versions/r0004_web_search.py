"""Whether a model's provider could search the web for a call."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. No call before this was told."""
    op.add_column("model_calls", sa.Column("web_search", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    """Undo. The mark is lost."""
    op.drop_column("model_calls", "web_search")
