"""The rows of a trace are found by an index, and a delivery says by which trace it was read."""

import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None

_TABLES = ("deliveries", "collections", "plans", "tasks", "model_calls")


def upgrade() -> None:
    """Apply."""
    op.add_column("deliveries", sa.Column("collected_trace_id", sa.String(32)))
    for table in _TABLES:
        op.create_index(op.f(f"ix_{table}_trace_id"), table, ["trace_id"], unique=False)


def downgrade() -> None:
    """Undo."""
    for table in _TABLES:
        op.drop_index(op.f(f"ix_{table}_trace_id"), table_name=table)
    op.drop_column("deliveries", "collected_trace_id")
