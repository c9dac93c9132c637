"""What people may do in a repository, kept for a time, and what a person decided about a signal by command."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "collaborators",
        sa.Column("repository", sa.String(length=140), nullable=False),
        sa.Column("login", sa.String(length=100), nullable=False),
        sa.Column("permission", sa.String(length=20), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("asked_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("repository", "login", name="pk_collaborators"),
    )
    op.create_index("ix_collaborators_asked_at", "collaborators", ["asked_at"])
    op.add_column("signals", sa.Column("decision", sa.JSON(), nullable=True))


def downgrade() -> None:
    """Take back. What was kept is asked again; decisions are lost, and what they released is held."""
    op.drop_column("signals", "decision")
    op.drop_index("ix_collaborators_asked_at", "collaborators")
    op.drop_table("collaborators")
