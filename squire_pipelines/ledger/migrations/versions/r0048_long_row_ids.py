"""Ids of 64 bits on Postgres, in all tables that number their rows and in what refers to them.

They had 32, which the audit trail or the tasks' history of a large installation can use up. SQLite has always had 64.

Postgres writes each of these tables anew, with its indexes, and nobody reads or writes it meanwhile:
docs/guide/many-machines.md says for how long, and how much room it takes.
"""

import sqlalchemy as sa
from alembic import op

revision = "0048"
down_revision = "0047"
branch_labels = None
depends_on = None

# Statements that a process has prepared before have results of another type then, which Postgres refuses.
OLDEST_PROGRAM = "0048"

_COLUMNS = {
    "audit": ("id", "batch"),
    "audit_batches": ("id", "first_id", "last_id"),
    "check_reruns": ("id",),
    "collections": ("id",),
    "deliveries": ("id",),
    "delivery_checks": ("id",),
    "delivery_effects": ("id", "delivery"),
    "delivery_refusals": ("id",),
    "model_calls": ("id",),
    "plan_answers": ("id",),
    "schedule_runs": ("id",),
    "signal_episodes": ("id",),
    "signal_events": ("id", "episode_id"),
    "signals": ("id",),
    "task_events": ("id",),
}
_NUMBERED_BY_SQUIRE = "audit_batches"
_TRIGGERS = sa.text(
    "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger "
    "WHERE tgrelid = CAST(:name AS regclass) AND NOT tgisinternal ORDER BY tgname"
)


def upgrade() -> None:
    """Apply. On SQLite there is nothing to do."""
    _set_type("BIGINT")


def downgrade() -> None:
    """Undo; Postgres refuses it where an id has become too large for it."""
    _set_type("INTEGER")


def _set_type(kind: str) -> None:
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        return
    for table, columns in _COLUMNS.items():
        # One statement, so that the table is written once.
        changes = ", ".join(f"ALTER COLUMN {column} TYPE {kind}" for column in columns)
        # Those that guard the audit trail name its columns: they are away while nobody else can write.
        triggers = connection.execute(_TRIGGERS, {"name": table}).all()
        for name, _ in triggers:
            op.execute(f"DROP TRIGGER {name} ON {table}")
        op.execute(f"ALTER TABLE {table} {changes}")
        for _, definition in triggers:
            connection.exec_driver_sql(definition)
        if table != _NUMBERED_BY_SQUIRE:
            op.execute(f"ALTER SEQUENCE {table}_id_seq AS {kind}")
