"""Columns named by what they hold, and what the warehouse needs to publish merges and what they broke."""

from collections.abc import Iterable

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

_RENAMED = (
    ("outcomes", "told_reason", "announced_reason"),
    ("outcomes", "answered", "answered_task_id"),
    ("merges", "told", "announced_reason"),
    ("merges", "judged", "judged_facts"),
    ("base_watches", "told", "announced_reason"),
    ("dashboards", "written", "written_digest"),
    ("dashboards", "seen", "stored_digest"),
    ("head_reports", "reported", "reported_digest"),
    ("head_reports", "tried", "tried_digest"),
)
_PUBLISHED = ("merges", "base_watches")


def upgrade() -> None:
    """Apply. Rows stay as they are, but for those whose task is gone, which nobody would archive."""
    _rename((table, old, new) for table, old, new in _RENAMED)
    tasks = sa.table("tasks", sa.column("id"))
    for name in _PUBLISHED:
        table = sa.table(name, sa.column("task_id"))
        op.execute(sa.delete(table).where(table.c.task_id.not_in(sa.select(tasks.c.id))))
        op.create_index(op.f(f"ix_{name}_updated_at"), name, ["updated_at"], unique=False)


def downgrade() -> None:
    """Undo. The columns have their old names, and all rows stay."""
    for name in _PUBLISHED:
        op.drop_index(op.f(f"ix_{name}_updated_at"), table_name=name)
    _rename((table, new, old) for table, old, new in _RENAMED)


def _rename(columns: Iterable[tuple[str, str, str]]) -> None:
    # Both databases rename in place, with what refers to the column; Alembic would copy SQLite's tables.
    for table, old, new in columns:
        op.execute(f"ALTER TABLE {table} RENAME COLUMN {old} TO {new}")
