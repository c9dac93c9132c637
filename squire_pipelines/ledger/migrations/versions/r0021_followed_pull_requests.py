"""Where each pull request of ours stands, what GitHub says of merging it, and whether it was left to people."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")
_COLUMNS: dict[str, sa.types.TypeEngine[Any]] = {
    "follow_state": sa.String(20),
    "follow_reason": sa.Text(),
    "follow_since": _TIME,
    "checks_since": _TIME,
    "mergeability": sa.String(20),
    "review_decision": sa.String(20),
    "draft": sa.Boolean(),
    "landed": sa.Boolean(),
    "handed_over": sa.Text(),
    "told_reason": sa.Text(),
    "answered": sa.String(32),
    "taken_up_at": _TIME,
    "taken_up_head": sa.String(64),
}


def upgrade() -> None:
    """Apply. What is not known of earlier pull requests is learned at the next look."""
    for name, kind in _COLUMNS.items():
        op.add_column("outcomes", sa.Column(name, kind, nullable=True))


def downgrade() -> None:
    """Undo. Pull requests are recorded, and nothing more is done on them."""
    for name in reversed(_COLUMNS):
        op.drop_column("outcomes", name)
