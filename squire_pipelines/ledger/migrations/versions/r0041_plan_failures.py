"""How often in a row no plan could be made after a repository's newest one, since when and why."""

import sqlalchemy as sa
from alembic import op

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")


def upgrade() -> None:
    """Apply. Of failures until now nobody knows."""
    op.add_column("plans", sa.Column("failures", sa.Integer(), server_default="0", nullable=False))
    op.add_column("plans", sa.Column("failure", sa.Text(), nullable=True))
    op.add_column("plans", sa.Column("failed_at", _TIME, nullable=True))


def downgrade() -> None:
    """Undo."""
    for name in ("failed_at", "failure", "failures"):
        op.drop_column("plans", name)
