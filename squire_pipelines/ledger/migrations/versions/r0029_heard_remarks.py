"""Which remarks were shown to be heard, and when the first of how many reviews of a pull request was written."""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")


def upgrade() -> None:
    """Apply. Of pull requests that were judged before, nobody knows when they were reviewed."""
    op.create_table(
        "heard_remarks",
        sa.Column("task_id", sa.String(length=32), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("again_at", _TIME, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("task_id", name=op.f("pk_heard_remarks")),
    )
    op.add_column("outcomes", sa.Column("reviewed_at", _TIME, nullable=True))
    op.add_column("outcomes", sa.Column("reviews", sa.Integer(), nullable=True))


def downgrade() -> None:
    """Undo. Remarks that are being worked on are reacted to once more, which changes nothing on GitHub."""
    op.drop_column("outcomes", "reviews")
    op.drop_column("outcomes", "reviewed_at")
    op.drop_table("heard_remarks")
