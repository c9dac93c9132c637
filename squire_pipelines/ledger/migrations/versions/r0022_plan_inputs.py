"""What plans were made from."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")


def upgrade() -> None:
    """Apply. Nothing was kept before this."""
    op.create_table(
        "plan_inputs",
        sa.Column("plan_id", sa.String(length=32), nullable=False),
        sa.Column("inputs", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("plan_id", name=op.f("pk_plan_inputs")),
    )
    op.create_index(op.f("ix_plan_inputs_created_at"), "plan_inputs", ["created_at"])


def downgrade() -> None:
    """Undo. The inputs are lost."""
    op.drop_table("plan_inputs")
