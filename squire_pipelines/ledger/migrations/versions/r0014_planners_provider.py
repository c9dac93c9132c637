"""Which provider's model made a plan, what of a call its cache got, and what is reserved at providers."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. Of plans and calls before this nobody knows it."""
    op.add_column("plans", sa.Column("provider", sa.String(length=40), nullable=True))
    op.add_column("budgets", sa.Column("provider_usd", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("model_calls", sa.Column("cache_write_tokens", sa.Integer(), nullable=True))


def downgrade() -> None:
    """Undo. The names and the numbers are lost."""
    op.drop_column("model_calls", "cache_write_tokens")
    op.drop_column("budgets", "provider_usd")
    op.drop_column("plans", "provider")
