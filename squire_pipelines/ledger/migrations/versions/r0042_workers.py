"""Workers that take runs from a queue, the runs that they have taken, and which worker an attempt was claimed by."""

import sqlalchemy as sa
from alembic import op

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "workers",
        sa.Column("name", sa.String(60), nullable=False),
        sa.Column("session", sa.String(32), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("version", sa.String(40), nullable=False),
        sa.Column("schema_revision", sa.String(20), nullable=False),
        sa.Column("queues", sa.JSON(), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("can_adopt", sa.JSON(), nullable=False),
        sa.Column("refusal", sa.Text(), nullable=True),
        sa.Column("started_at", _TIME, nullable=False),
        sa.Column("seen_at", _TIME, nullable=False),
        sa.Column("draining_at", _TIME, nullable=True),
        sa.Column("ended_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("name", name="pk_workers"),
    )
    op.create_index("ix_workers_seen_at", "workers", ["seen_at"])
    op.create_table(
        "worker_runs",
        sa.Column("run_id", sa.String(40), nullable=False),
        sa.Column("worker", sa.String(60), nullable=True),
        sa.Column("session", sa.String(32), nullable=True),
        sa.Column("queue", sa.Text(), nullable=True),
        sa.Column("taken_at", _TIME, nullable=False),
        sa.Column("ended_at", _TIME, nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("stop_requested_at", _TIME, nullable=True),
        sa.ForeignKeyConstraint(["worker"], ["workers.name"], name="fk_worker_runs_worker_workers"),
        sa.PrimaryKeyConstraint("run_id", name="pk_worker_runs"),
    )
    op.create_index("ix_worker_runs_worker_ended_at", "worker_runs", ["worker", "ended_at"])
    op.create_index("ix_worker_runs_ended_at", "worker_runs", ["ended_at"])
    op.add_column("attempts", sa.Column("worker", sa.String(60), nullable=True))


def downgrade() -> None:
    """Undo."""
    op.drop_column("attempts", "worker")
    op.drop_table("worker_runs")
    op.drop_table("workers")
