"""Second runs of failed checks, by head and workflow run."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "check_reruns",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("repository", sa.String(length=140), nullable=False),
        sa.Column("head_sha", sa.String(length=64), nullable=False),
        sa.Column("workflow_run", sa.BigInteger(), nullable=False),
        sa.Column("check_runs", sa.JSON(), nullable=False),
        sa.Column("checks", sa.Text(), nullable=False),
        sa.Column("failure", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("requested_at", _TIME, nullable=False),
        sa.Column("wait_until", _TIME, nullable=False),
        sa.Column("settled_at", _TIME, nullable=True),
        sa.Column("trace_id", sa.String(length=32), nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.CheckConstraint(
            "state IN ('waiting', 'passed', 'failed', 'refused', 'unknown')", name=op.f("ck_check_reruns_state_known")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_check_reruns")),
        sa.UniqueConstraint(
            "repository", "head_sha", "workflow_run", name=op.f("uq_check_reruns_repository_head_sha_workflow_run")
        ),
        sqlite_autoincrement=True,
    )
    for columns in ("repository state", "updated_at", "settled_at"):
        op.create_index(f"ix_check_reruns_{columns.replace(' ', '_')}", "check_reruns", columns.split())


def downgrade() -> None:
    """Undo."""
    op.drop_table("check_reruns")
