"""Answers of models that could not become a plan."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")


def upgrade() -> None:
    """Apply. None was kept before this."""
    op.create_table(
        "plan_answers",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("plan_id", sa.String(length=32), nullable=False),
        sa.Column("provider", sa.String(length=40), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("chars", sa.Integer(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_plan_answers")),
    )
    op.create_index(op.f("ix_plan_answers_plan_id"), "plan_answers", ["plan_id"])
    op.create_index(op.f("ix_plan_answers_created_at"), "plan_answers", ["created_at"])


def downgrade() -> None:
    """Undo. The answers are lost."""
    op.drop_table("plan_answers")
