"""What a call's provider says that it costs, how far that is from our own calculation, and the tokens of thinking."""

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

_COLUMNS = (("reasoning_tokens", sa.Integer()), ("stated_usd", sa.Float()), ("cost_difference_usd", sa.Float()))


def upgrade() -> None:
    """Apply. Of earlier calls nobody knows it."""
    for name, kind in _COLUMNS:
        op.add_column("model_calls", sa.Column(name, kind, nullable=True))


def downgrade() -> None:
    """Undo."""
    for name, _ in reversed(_COLUMNS):
        op.drop_column("model_calls", name)
