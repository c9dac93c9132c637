"""How pull requests of ours ended: by whom, with which commits of others, and which of them Squire closed itself."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")
_COLUMNS: dict[str, sa.types.TypeEngine[Any]] = {
    "ending": sa.String(length=20),
    "ending_reason": sa.Text(),
    "ended_by": sa.Text(),
    "ended_by_pr": sa.Integer(),
    "merge_sha": sa.String(length=64),
    "people_commits": sa.Integer(),
    "people_added": sa.Integer(),
    "people_removed": sa.Integer(),
    "expired_at": _TIME,
    "expired_reason": sa.Text(),
    "judged_at": _TIME,
}


def upgrade() -> None:
    """Apply. How one ended is found out for those of the last week; of older ones it stays unknown."""
    for name, kind in _COLUMNS.items():
        op.add_column("outcomes", sa.Column(name, kind, nullable=True))


def downgrade() -> None:
    """Undo. That a pull request was merged, closed or reverted is still known."""
    for name in reversed(_COLUMNS):
        op.drop_column("outcomes", name)
