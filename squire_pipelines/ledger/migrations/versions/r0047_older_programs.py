"""Which older programs may go on with the ledger's schema: beside its revision, where a program looks that is older."""

import sqlalchemy as sa
from alembic import op

revision = "0047"
down_revision = "0046"
branch_labels = None
depends_on = None

_COLUMNS = ("oldest_program", "oldest_program_of")


def upgrade() -> None:
    """Apply. Programs from before this do not look there, and go on with no newer schema than their own."""
    for name in _COLUMNS:
        op.add_column("alembic_version", sa.Column(name, sa.String(32), nullable=True))


def downgrade() -> None:
    """Take back."""
    for name in reversed(_COLUMNS):
        op.drop_column("alembic_version", name)
