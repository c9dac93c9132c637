"""The first tables."""

import sqlalchemy as sa
from alembic import op

from squire_pipelines.ledger.tables import UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("trace_id", sa.String(length=32), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    op.create_index(op.f("ix_audit_at"), "audit", ["at"], unique=False)
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
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=False),
        sa.Column("trace_id", sa.String(length=32), nullable=False),
        sa.Column("run_id", sa.String(length=40), nullable=True),
        sa.Column("planned_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint(
            "status IN ('fresh', 'unchanged', 'stale', 'failed')", name=op.f("ck_collections_status_known")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_collections")),
    )
    op.create_index(
        op.f("ix_collections_repository_source_id"), "collections", ["repository", "source", "id"], unique=False
    )
    op.create_index("ix_collections_unplanned", "collections", ["planned_at", "id"], unique=False)
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
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.Column("requested_at", UtcDateTime(), nullable=True),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("collected_at", UtcDateTime(), nullable=True),
        sa.Column("applied_at", UtcDateTime(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
        sa.UniqueConstraint(
            "source", "delivery_id", "body_sha256", name=op.f("uq_deliveries_source_delivery_id_body_sha256")
        ),
    )
    op.create_index("ix_deliveries_open", "deliveries", ["collected_at", "id"], unique=False)
    op.create_index("ix_deliveries_unapplied", "deliveries", ["applied_at", "id"], unique=False)
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
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_calls")),
    )
    op.create_index(op.f("ix_model_calls_attempt_id"), "model_calls", ["attempt_id"], unique=False)
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
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("admitted_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_plans")),
    )
    op.create_index(op.f("ix_plans_repository_created_at"), "plans", ["repository", "created_at"], unique=False)
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
        sa.Column("first_seen_at", UtcDateTime(), nullable=False),
        sa.Column("last_seen_at", UtcDateTime(), nullable=False),
        sa.Column("gone_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signals")),
        sa.UniqueConstraint("repository", "kind", "key", name=op.f("uq_signals_repository_kind_key")),
    )
    op.create_index(op.f("ix_signals_repository_gone_at"), "signals", ["repository", "gone_at"], unique=False)
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
        sa.Column("not_before", UtcDateTime(), nullable=True),
        sa.Column("cancel_requested_at", UtcDateTime(), nullable=True),
        sa.Column("cause", sa.String(length=40), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("trace_id", sa.String(length=32), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("ready_at", UtcDateTime(), nullable=True),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "status IN ('proposed', 'ready', 'running', 'succeeded', 'failed', 'cancelled')",
            name=op.f("ck_tasks_status_known"),
        ),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name=op.f("fk_tasks_plan_id_plans")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tasks")),
        sa.UniqueConstraint("repository", "fingerprint", name=op.f("uq_tasks_repository_fingerprint")),
    )
    op.create_index(op.f("ix_tasks_created_at_id"), "tasks", ["created_at", "id"], unique=False)
    op.create_index(op.f("ix_tasks_repository_status"), "tasks", ["repository", "status"], unique=False)
    op.create_index(
        op.f("ix_tasks_status_priority_ready_at"), "tasks", ["status", "priority", "ready_at"], unique=False
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
        sa.Column("lease_until", UtcDateTime(), nullable=True),
        sa.Column("claim_until", UtcDateTime(), nullable=False),
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
        sa.Column("queued_at", UtcDateTime(), nullable=False),
        sa.Column("claimed_at", UtcDateTime(), nullable=True),
        sa.Column("agent_started_at", UtcDateTime(), nullable=True),
        sa.Column("agent_ended_at", UtcDateTime(), nullable=True),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint("(status = 'ended') = (cause IS NOT NULL)", name=op.f("ck_attempts_ended_has_cause")),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'publishing', 'ended')", name=op.f("ck_attempts_status_known")
        ),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_attempts_task_id_tasks")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempts")),
        sa.UniqueConstraint("task_id", "number", name=op.f("uq_attempts_task_id_number")),
    )
    op.create_index(op.f("ix_attempts_repository_status"), "attempts", ["repository", "status"], unique=False)
    op.create_index(op.f("ix_attempts_status_lease_until"), "attempts", ["status", "lease_until"], unique=False)
    op.create_index(
        "uq_attempts_one_open",
        "attempts",
        ["task_id"],
        unique=True,
        sqlite_where=sa.text("status != 'ended'"),
        postgresql_where=sa.text("status != 'ended'"),
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
        sa.Column("opened_at", UtcDateTime(), nullable=False),
        sa.Column("merged_at", UtcDateTime(), nullable=True),
        sa.Column("closed_at", UtcDateTime(), nullable=True),
        sa.Column("forge_updated_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("polled_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint("state IN ('open', 'merged', 'closed', 'reverted')", name=op.f("ck_outcomes_state_known")),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_outcomes_task_id_tasks")),
        sa.PrimaryKeyConstraint("task_id", name=op.f("pk_outcomes")),
        sa.UniqueConstraint("repository", "pr_number", name=op.f("uq_outcomes_repository_pr_number")),
    )
    op.create_index(op.f("ix_outcomes_state_polled_at"), "outcomes", ["state", "polled_at"], unique=False)
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
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_task_events_task_id_tasks")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task_events")),
    )
    op.create_index(op.f("ix_task_events_task_id_id"), "task_events", ["task_id", "id"], unique=False)


def downgrade() -> None:
    """Undo."""
    op.drop_index(op.f("ix_task_events_task_id_id"), table_name="task_events")
    op.drop_table("task_events")
    op.drop_table("task_dependencies")
    op.drop_index(op.f("ix_outcomes_state_polled_at"), table_name="outcomes")
    op.drop_table("outcomes")
    op.drop_index(
        "uq_attempts_one_open",
        table_name="attempts",
        sqlite_where=sa.text("status != 'ended'"),
        postgresql_where=sa.text("status != 'ended'"),
    )
    op.drop_index(op.f("ix_attempts_status_lease_until"), table_name="attempts")
    op.drop_index(op.f("ix_attempts_repository_status"), table_name="attempts")
    op.drop_table("attempts")
    op.drop_index(op.f("ix_tasks_status_priority_ready_at"), table_name="tasks")
    op.drop_index(op.f("ix_tasks_repository_status"), table_name="tasks")
    op.drop_index(op.f("ix_tasks_created_at_id"), table_name="tasks")
    op.drop_table("tasks")
    op.drop_index(op.f("ix_signals_repository_gone_at"), table_name="signals")
    op.drop_table("signals")
    op.drop_index(op.f("ix_plans_repository_created_at"), table_name="plans")
    op.drop_table("plans")
    op.drop_index(op.f("ix_model_calls_attempt_id"), table_name="model_calls")
    op.drop_table("model_calls")
    op.drop_index("ix_deliveries_unapplied", table_name="deliveries")
    op.drop_index("ix_deliveries_open", table_name="deliveries")
    op.drop_table("deliveries")
    op.drop_index("ix_collections_unplanned", table_name="collections")
    op.drop_index(op.f("ix_collections_repository_source_id"), table_name="collections")
    op.drop_table("collections")
    op.drop_index(op.f("ix_audit_at"), table_name="audit")
    op.drop_table("audit")
