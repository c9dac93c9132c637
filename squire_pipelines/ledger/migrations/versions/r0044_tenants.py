"""Whose a repository was when, and what each tenant is owed of the slots."""

import sqlalchemy as sa
from alembic import op

revision = "0044"
down_revision = "0043"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")


def upgrade() -> None:
    """Apply. Where there were no tenants, nothing is recorded: all belongs to the first one that a repository gets."""
    op.create_table(
        "repository_tenants",
        sa.Column("repository", sa.Text(), nullable=False),
        sa.Column("since", _TIME, nullable=False),
        sa.Column("until", _TIME, nullable=True),
        sa.Column("tenant", sa.String(length=32), nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("repository", "since", name=op.f("pk_repository_tenants")),
    )
    op.create_table(
        "tenant_credits",
        sa.Column("tenant", sa.String(length=32), nullable=False),
        sa.Column("credit", sa.Float(), nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("tenant", name=op.f("pk_tenant_credits")),
    )


def downgrade() -> None:
    """Undo. Which rows were whose is lost; they stay."""
    op.drop_table("tenant_credits")
    op.drop_table("repository_tenants")
