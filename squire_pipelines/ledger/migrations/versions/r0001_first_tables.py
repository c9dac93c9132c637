"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")
_INDEXES = {
    "audit": ("at",),
    "collections": ("repository source id",),
    "model_calls": ("attempt_id",),
    "plans": ("repository created_at",),
    "signals": ("repository gone_at",),
    "tasks": ("created_at id", "repository status", "status priority ready_at"),
    "attempts": ("repository status", "status lease_until"),
    "outcomes": ("state polled_at",),
    "task_events": ("task_id id",),
}
_TABLES = (
    "audit",
    "collections",
    "deliveries",
    "model_calls",
    "plans",
    "signals",
    "tasks",
    "attempts",
    "outcomes",
    "task_dependencies",
    "task_events",
)


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("trace_id", sa.String(length=32), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    op.create_table(
        "collections",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("repository", sa.String(length=140), nullable=False),
        sa.Column("source", sa.String(length=40), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("signals", sa.Integer(), nullable=False),
        sa.Column("changed", sa.Integer(), nullable=False),
        sa.Column("truncated", sa.Boolean(), nullable=False),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("started_at", _TIME, nullable=False),
        sa.Column("ended_at", _TIME, nullable=False),
        sa.Column("trace_id", sa.String(length=32), nullable=False),
        sa.Column("run_id", sa.String(length=40), nullable=True),
        sa.Column("planned_at", _TIME, nullable=True),
        sa.CheckConstraint(
            "status IN ('fresh', 'unchanged', 'stale', 'failed')", name=op.f("ck_collections_status_known")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_collections")),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("delivery_id", sa.Text(), nullable=False),
        sa.Column("body_sha256", sa.String(length=64), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=True),
        sa.Column("repository", sa.String(length=140), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("trace_id", sa.String(length=32), nullable=False),
        sa.Column("received_at", _TIME, nullable=False),
        sa.Column("requested_at", _TIME, nullable=True),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("collected_at", _TIME, nullable=True),
        sa.Column("applied_at", _TIME, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
        sa.UniqueConstraint(
            "source", "delivery_id", "body_sha256", name=op.f("uq_deliveries_source_delivery_id_body_sha256")
        ),
    )
    op.create_table(
        "model_calls",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("repository", sa.String(length=140), nullable=True),
        sa.Column("task_id", sa.String(length=32), nullable=True),
        sa.Column("attempt_id", sa.String(length=40), nullable=True),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("ok", sa.Boolean(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("input_tokens", sa.Integer(), nullable=False),
        sa.Column("output_tokens", sa.Integer(), nullable=False),
        sa.Column("cost_usd", sa.Float(), nullable=True),
        sa.Column("latency_s", sa.Float(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("trace_id", sa.String(length=32), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_calls")),
    )
    op.create_table(
        "plans",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("repository", sa.String(length=140), nullable=False),
        sa.Column("planner", sa.Text(), nullable=False),
        sa.Column("signals_digest", sa.String(length=64), nullable=False),
        sa.Column("plan", sa.JSON(), nullable=False),
        sa.Column("findings", sa.JSON(), nullable=False),
        sa.Column("passed", sa.Boolean(), nullable=False),
        sa.Column("tasks_proposed", sa.Integer(), nullable=False),
        sa.Column("tasks_created", sa.Integer(), nullable=True),
        sa.Column("trace_id", sa.String(length=32), nullable=False),
        sa.Column("run_id", sa.String(length=40), nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("admitted_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_plans")),
    )
    op.create_table(
        "signals",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("repository", sa.String(length=140), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("signal", sa.JSON(), nullable=False),
        sa.Column("first_seen_at", _TIME, nullable=False),
        sa.Column("last_seen_at", _TIME, nullable=False),
        sa.Column("gone_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signals")),
        sa.UniqueConstraint("repository", "kind", "key", name=op.f("uq_signals_repository_kind_key")),
    )
    op.create_table(
        "tasks",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("repository", sa.String(length=140), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("branch", sa.String(length=120), nullable=False),
        sa.Column("base_branch", sa.Text(), nullable=False),
        sa.Column("plan_id", sa.String(length=32), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("not_before", _TIME, nullable=True),
        sa.Column("cancel_requested_at", _TIME, nullable=True),
        sa.Column("cause", sa.String(length=40), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("trace_id", sa.String(length=32), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("ready_at", _TIME, nullable=True),
        sa.Column("ended_at", _TIME, nullable=True),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.CheckConstraint(
            "status IN ('proposed', 'ready', 'running', 'succeeded', 'failed', 'cancelled')",
            name=op.f("ck_tasks_status_known"),
        ),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name=op.f("fk_tasks_plan_id_plans")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tasks")),
        sa.UniqueConstraint("repository", "fingerprint", name=op.f("uq_tasks_repository_fingerprint")),
    )
    op.create_table(
        "attempts",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("task_id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("repository", sa.String(length=140), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("trace_id", sa.String(length=32), nullable=False),
        sa.Column("run_id", sa.String(length=40), nullable=True),
        sa.Column("lease_token", sa.String(length=40), nullable=True),
        sa.Column("lease_until", _TIME, nullable=True),
        sa.Column("claim_until", _TIME, nullable=False),
        sa.Column("base_sha", sa.String(length=64), nullable=True),
        sa.Column("head_sha", sa.String(length=64), nullable=True),
        sa.Column("agent", sa.Text(), nullable=True),
        sa.Column("runner", sa.String(length=20), nullable=True),
        sa.Column("sandboxed", sa.Boolean(), nullable=True),
        sa.Column("image", sa.Text(), nullable=True),
        sa.Column("limits", sa.JSON(), nullable=True),
        sa.Column("staged_ending", sa.JSON(), nullable=True),
        sa.Column("cause", sa.String(length=40), nullable=True),
        sa.Column("transient", sa.Boolean(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("evidence", sa.JSON(), nullable=True),
        sa.Column("verdict", sa.JSON(), nullable=True),
        sa.Column("pr_number", sa.Integer(), nullable=True),
        sa.Column("pr_url", sa.Text(), nullable=True),
        sa.Column("input_tokens", sa.Integer(), nullable=True),
        sa.Column("output_tokens", sa.Integer(), nullable=True),
        sa.Column("cost_usd", sa.Float(), nullable=True),
        sa.Column("queued_at", _TIME, nullable=False),
        sa.Column("claimed_at", _TIME, nullable=True),
        sa.Column("agent_started_at", _TIME, nullable=True),
        sa.Column("agent_ended_at", _TIME, nullable=True),
        sa.Column("ended_at", _TIME, nullable=True),
        sa.CheckConstraint("(status = 'ended') = (cause IS NOT NULL)", name=op.f("ck_attempts_ended_has_cause")),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'publishing', 'ended')", name=op.f("ck_attempts_status_known")
        ),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_attempts_task_id_tasks")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempts")),
        sa.UniqueConstraint("task_id", "number", name=op.f("uq_attempts_task_id_number")),
    )
    op.create_table(
        "outcomes",
        sa.Column("task_id", sa.String(length=32), nullable=False),
        sa.Column("repository", sa.String(length=140), nullable=False),
        sa.Column("pr_number", sa.Integer(), nullable=False),
        sa.Column("pr_url", sa.Text(), nullable=False),
        sa.Column("head_sha", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("checks", sa.String(length=20), nullable=True),
        sa.Column("opened_at", _TIME, nullable=False),
        sa.Column("merged_at", _TIME, nullable=True),
        sa.Column("closed_at", _TIME, nullable=True),
        sa.Column("forge_updated_at", _TIME, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.Column("polled_at", _TIME, nullable=True),
        sa.CheckConstraint("state IN ('open', 'merged', 'closed', 'reverted')", name=op.f("ck_outcomes_state_known")),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_outcomes_task_id_tasks")),
        sa.PrimaryKeyConstraint("task_id", name=op.f("pk_outcomes")),
        sa.UniqueConstraint("repository", "pr_number", name=op.f("uq_outcomes_repository_pr_number")),
    )
    op.create_table(
        "task_dependencies",
        sa.Column("task_id", sa.String(length=32), nullable=False),
        sa.Column("depends_on", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["depends_on"], ["tasks.id"], name=op.f("fk_task_dependencies_depends_on_tasks")),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_task_dependencies_task_id_tasks")),
        sa.PrimaryKeyConstraint("task_id", "depends_on", name=op.f("pk_task_dependencies")),
    )
    op.create_table(
        "task_events",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.String(length=32), nullable=False),
        sa.Column("attempt_id", sa.String(length=40), nullable=True),
        sa.Column("subject", sa.String(length=10), nullable=False),
        sa.Column("before", sa.String(length=20), nullable=True),
        sa.Column("after", sa.String(length=20), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("trace_id", sa.String(length=32), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_task_events_task_id_tasks")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task_events")),
    )
    for table, indexes in _INDEXES.items():
        for columns in map(str.split, indexes):
            op.create_index(f"ix_{table}_{'_'.join(columns)}", table, columns)
    op.create_index("ix_collections_unplanned", "collections", ["planned_at", "id"])
    op.create_index("ix_deliveries_open", "deliveries", ["collected_at", "id"])
    op.create_index("ix_deliveries_unapplied", "deliveries", ["applied_at", "id"])
    is_open = sa.text("status != 'ended'")
    op.create_index(
        "uq_attempts_one_open", "attempts", ["task_id"], unique=True, sqlite_where=is_open, postgresql_where=is_open
    )


def downgrade() -> None:
    """Undo."""
    for table in reversed(_TABLES):
        op.drop_table(table)
