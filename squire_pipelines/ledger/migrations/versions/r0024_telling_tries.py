"""How often it was tried in vain to say something on a pull request of ours, when again, and why it failed."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")
_COLUMNS: dict[str, sa.types.TypeEngine[Any]] = {
    "tell_tries": sa.Integer(),
    "tell_again_at": _TIME,
    "tell_error": sa.Text(),
}


def upgrade() -> None:
    """Apply. Whatever is still to be said is tried from the first time on."""
    for name, kind in _COLUMNS.items():
        op.add_column("outcomes", sa.Column(name, kind, nullable=True))


def downgrade() -> None:
    """Undo. What GitHub refuses is tried at each look."""
    for name in reversed(_COLUMNS):
        op.drop_column("outcomes", name)
