"""Who is signed in to the board, which logins failed there, and which processes serve on which machines."""

import sqlalchemy as sa
from alembic import op

revision = "0046"
down_revision = "0045"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "board_sessions",
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("tenant", sa.String(32), nullable=True),
        sa.Column("login_proof", sa.String(64), nullable=True),
        sa.Column("messages", sa.JSON(), nullable=False),
        sa.Column("begun_at", _TIME, nullable=False),
        sa.Column("used_at", _TIME, nullable=False),
        sa.Column("ends_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_board_sessions")),
    )
    op.create_table(
        "login_failures",
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("tries_left", sa.Float(), nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("address", name=op.f("pk_login_failures")),
    )
    op.create_table(
        "server_processes",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("home", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("version", sa.String(40), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("secret_marks", sa.JSON(), nullable=False),
        sa.Column("salt", sa.String(32), nullable=False),
        sa.Column("started_at", _TIME, nullable=False),
        sa.Column("seen_at", _TIME, nullable=False),
        sa.CheckConstraint("kind IN ('receiver', 'board', 'steward')", name=op.f("ck_server_processes_kind_known")),
        sa.CheckConstraint("role IN ('serving', 'active', 'waiting')", name=op.f("ck_server_processes_role_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_server_processes")),
    )
    op.create_index(op.f("ix_server_processes_kind"), "server_processes", ["kind"])


def downgrade() -> None:
    """Undo. Whoever is signed in to the board has to sign in again."""
    op.drop_table("server_processes")
    op.drop_table("login_failures")
    op.drop_table("board_sessions")
