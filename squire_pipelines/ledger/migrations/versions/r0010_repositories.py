"""Repositories as GitHub knows them, and readings that a look made unnecessary."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")
_STATES = "state IN ('present', 'renamed', 'replaced', 'archived', 'duplicate', 'missing', 'forbidden')"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "repositories",
        sa.Column("repository", sa.String(length=140), nullable=False),
        sa.Column("github_id", sa.BigInteger(), nullable=True),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("digest", sa.String(length=64), nullable=True),
        sa.Column("looked_at", _TIME, nullable=True),
        sa.Column("read_at", _TIME, nullable=True),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.CheckConstraint(_STATES, name=op.f("ck_repositories_state_known")),
        sa.PrimaryKeyConstraint("repository", name=op.f("pk_repositories")),
    )
    op.create_index("ix_repositories_github_id", "repositories", ["github_id"])
    op.add_column("collections", sa.Column("looks", sa.Integer(), nullable=True))


def downgrade() -> None:
    """Undo."""
    op.drop_column("collections", "looks")
    op.drop_table("repositories")
