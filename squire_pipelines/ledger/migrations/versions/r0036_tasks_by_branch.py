"""An index by which the tasks on one branch are found, whose attempts are counted together."""

from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_index(op.f("ix_tasks_repository_branch"), "tasks", ["repository", "branch"], unique=False)


def downgrade() -> None:
    """Undo."""
    op.drop_index(op.f("ix_tasks_repository_branch"), table_name="tasks")
