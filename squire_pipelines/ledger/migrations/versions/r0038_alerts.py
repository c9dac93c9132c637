"""Alerts, the messages about them to each target, and what is silenced until when."""

import sqlalchemy as sa
from alembic import op

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")


def upgrade() -> None:
    """Apply. There were no alerts in the ledger before this."""
    op.create_table(
        "alerts",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("rule", sa.String(length=40), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("severity", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("hint", sa.Text(), nullable=False),
        sa.Column("began_at", _TIME, nullable=False),
        sa.Column("seen_at", _TIME, nullable=False),
        sa.Column("cleared_at", _TIME, nullable=True),
        sa.Column("notified_at", _TIME, nullable=True),
        sa.Column("notified_severity", sa.String(length=20), nullable=True),
        sa.Column("notifications", sa.Integer(), nullable=False),
        sa.Column("ended_at", _TIME, nullable=True),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alerts")),
    )
    op.create_index(op.f("ix_alerts_ended_at"), "alerts", ["ended_at"], unique=False)
    op.create_index(op.f("ix_alerts_updated_at"), "alerts", ["updated_at"], unique=False)
    op.create_table(
        "alert_messages",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("target", sa.String(length=60), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("again_at", _TIME, nullable=False),
        sa.Column("claim_until", _TIME, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("is_drop_reported", sa.Boolean(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("ended_at", _TIME, nullable=True),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.CheckConstraint(
            "state IN ('queued', 'sending', 'sent', 'dropped')", name=op.f("ck_alert_messages_state_known")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_messages")),
    )
    op.create_index(
        op.f("ix_alert_messages_state_target_created_at"),
        "alert_messages",
        ["state", "target", "created_at"],
        unique=False,
    )
    op.create_table(
        "alert_silences",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("match", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("until", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_silences")),
    )


def downgrade() -> None:
    """Undo. Messages that were not sent are lost."""
    op.drop_table("alert_silences")
    op.drop_index(op.f("ix_alert_messages_state_target_created_at"), table_name="alert_messages")
    op.drop_table("alert_messages")
    op.drop_index(op.f("ix_alerts_updated_at"), table_name="alerts")
    op.drop_index(op.f("ix_alerts_ended_at"), table_name="alerts")
    op.drop_table("alerts")
