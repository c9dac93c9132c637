"""Deliveries keep their sender, signature and fate; what they did, what was refused and what is missing has tables."""

import zlib

import sqlalchemy as sa
from alembic import op

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")
_COLUMNS = ("body_encoding", "sender", "hook_id", "signature", "filtered_by", "set_aside_at", "replayed_at")
_DELIVERIES = sa.table("deliveries", sa.column("id"), sa.column("body"), sa.column("body_encoding"))


def upgrade() -> None:
    """Apply. Deliveries that are there already stay as they came: whole, unsigned and not filtered."""
    op.add_column("deliveries", sa.Column("body_encoding", sa.String(length=10), nullable=True))
    op.add_column("deliveries", sa.Column("sender", sa.Text(), nullable=True))
    op.add_column("deliveries", sa.Column("hook_id", sa.String(length=40), nullable=True))
    op.add_column("deliveries", sa.Column("signature", sa.String(length=200), nullable=True))
    op.add_column("deliveries", sa.Column("filtered_by", sa.Text(), nullable=True))
    op.add_column("deliveries", sa.Column("apply_tries", sa.Integer(), server_default="0", nullable=False))
    op.add_column("deliveries", sa.Column("set_aside_at", _TIME, nullable=True))
    op.add_column("deliveries", sa.Column("replays", sa.Integer(), server_default="0", nullable=False))
    op.add_column("deliveries", sa.Column("replayed_at", _TIME, nullable=True))
    op.create_table(
        "delivery_effects",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("delivery", sa.Integer(), nullable=False),
        sa.Column("effect", sa.String(length=40), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("trace_id", sa.String(length=32), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(["delivery"], ["deliveries.id"], name=op.f("fk_delivery_effects_delivery_deliveries")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery_effects")),
        sa.UniqueConstraint("delivery", "effect", "subject", name=op.f("uq_delivery_effects_delivery_effect_subject")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_delivery_effects_at"), "delivery_effects", ["at"], unique=False)
    op.create_table(
        "delivery_refusals",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("minute", _TIME, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery_refusals")),
        sa.UniqueConstraint(
            "minute", "source", "status", "reason", name=op.f("uq_delivery_refusals_minute_source_status_reason")
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_delivery_refusals_updated_at"), "delivery_refusals", ["updated_at"], unique=False)
    op.create_table(
        "delivery_checks",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("hook", sa.Text(), nullable=False),
        sa.Column("since", _TIME, nullable=False),
        sa.Column("listed", sa.Integer(), nullable=False),
        sa.Column("missing", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("redelivered", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("trace_id", sa.String(length=32), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery_checks")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_delivery_checks_hook_id"), "delivery_checks", ["hook", "id"], unique=False)
    op.create_index(op.f("ix_delivery_checks_at"), "delivery_checks", ["at"], unique=False)


def downgrade() -> None:
    """Undo. Effects, counts and checks are lost; bodies are as they came again."""
    op.drop_index(op.f("ix_delivery_checks_at"), table_name="delivery_checks")
    op.drop_index(op.f("ix_delivery_checks_hook_id"), table_name="delivery_checks")
    op.drop_table("delivery_checks")
    op.drop_index(op.f("ix_delivery_refusals_updated_at"), table_name="delivery_refusals")
    op.drop_table("delivery_refusals")
    op.drop_index(op.f("ix_delivery_effects_at"), table_name="delivery_effects")
    op.drop_table("delivery_effects")
    _decompress()
    for column in (*_COLUMNS, "apply_tries", "replays"):
        op.drop_column("deliveries", column)


def _decompress() -> None:
    bind = op.get_bind()
    ids = bind.execute(sa.select(_DELIVERIES.c.id).where(_DELIVERIES.c.body_encoding == "zlib")).scalars().all()
    for number in ids:
        of_it = _DELIVERIES.c.id == number
        body = bind.execute(sa.select(_DELIVERIES.c.body).where(of_it)).scalar_one()
        bind.execute(sa.update(_DELIVERIES).where(of_it).values(body=zlib.decompress(body)))
