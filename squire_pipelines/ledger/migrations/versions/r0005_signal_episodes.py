"""Episodes of signals and their events; each signal that is known begins with one."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")
_TRACE = "0" * 32
"""The trace of rows that this migration wrote: what led to them is not known any more."""

_EPISODES = """
INSERT INTO signal_episodes (
    repository, kind, key, number, version, title, url, branch, on_default_branch, opened_at, closed_at, updated_at
)
SELECT repository, kind, key, 1, version, title, url, {branch}, {on_default_branch}, first_seen_at, gone_at, updated_at
FROM signals ORDER BY id
"""
_OPENED = """
INSERT INTO signal_events (episode_id, change, version, trace_id, at)
SELECT id, 'opened', version, :trace, opened_at FROM signal_episodes ORDER BY id
"""
_GONE = """
INSERT INTO signal_events (episode_id, change, version, trace_id, at)
SELECT id, 'gone', version, :trace, closed_at FROM signal_episodes WHERE closed_at IS NOT NULL ORDER BY id
"""


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "signal_episodes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("repository", sa.String(length=140), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("branch", sa.Text(), nullable=True),
        sa.Column("on_default_branch", sa.Boolean(), nullable=True),
        sa.Column("pull_request", sa.Integer(), nullable=True),
        sa.Column("waits_for", sa.Text(), nullable=True),
        sa.Column("opened_at", _TIME, nullable=False),
        sa.Column("closed_at", _TIME, nullable=True),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signal_episodes")),
        sa.UniqueConstraint(
            "repository", "kind", "key", "number", name=op.f("uq_signal_episodes_repository_kind_key_number")
        ),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "signal_events",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("episode_id", sa.Integer(), nullable=False),
        sa.Column("change", sa.String(length=10), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("waits_for", sa.Text(), nullable=True),
        sa.Column("trace_id", sa.String(length=32), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.CheckConstraint(
            "change IN ('opened', 'changed', 'gone', 'reopened')", name=op.f("ck_signal_events_change_known")
        ),
        sa.ForeignKeyConstraint(
            ["episode_id"], ["signal_episodes.id"], name=op.f("fk_signal_events_episode_id_signal_episodes")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signal_events")),
        sqlite_autoincrement=True,
    )
    for columns in ("repository kind closed_at", "updated_at", "closed_at"):
        op.create_index(f"ix_signal_episodes_{columns.replace(' ', '_')}", "signal_episodes", columns.split())
    for columns in ("episode_id id", "at"):
        op.create_index(f"ix_signal_events_{columns.replace(' ', '_')}", "signal_events", columns.split())
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    branch, default = "signal -> 'details' ->> 'branch'", "signal -> 'details' ->> 'on_default_branch'"
    on_default_branch = default if is_sqlite else f"CAST({default} AS BOOLEAN)"
    op.execute(_EPISODES.format(branch=branch, on_default_branch=on_default_branch))
    for statement in (_OPENED, _GONE):
        op.get_bind().execute(sa.text(statement), {"trace": _TRACE})


def downgrade() -> None:
    """Undo."""
    op.drop_table("signal_events")
    op.drop_table("signal_episodes")
