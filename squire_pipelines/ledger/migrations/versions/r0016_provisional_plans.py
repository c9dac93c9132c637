"""Plans that wait for a model, by which settings plans were made, and what their conversations used."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")
_NAMES = (
    "provisional",
    "model_failures",
    "ask_again_at",
    "settings_digest",
    "asks",
    "input_tokens",
    "output_tokens",
    "cost_usd",
    "latency_s",
)


def upgrade() -> None:
    """Apply. Of plans before this nobody knows it, and none is provisional."""
    op.add_column("plans", sa.Column("provisional", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("plans", sa.Column("model_failures", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("plans", sa.Column("ask_again_at", _TIME, nullable=True))
    op.add_column("plans", sa.Column("settings_digest", sa.String(length=64), nullable=True))
    for name in ("asks", "input_tokens", "output_tokens"):
        op.add_column("plans", sa.Column(name, sa.Integer(), nullable=True))
    for name in ("cost_usd", "latency_s"):
        op.add_column("plans", sa.Column(name, sa.Float(), nullable=True))


def downgrade() -> None:
    """Undo. What waits for a model is final then."""
    for name in reversed(_NAMES):
        op.drop_column("plans", name)
