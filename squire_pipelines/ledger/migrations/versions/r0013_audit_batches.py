"""Batches that seal the rows of the audit trail, triggers that keep both, and the settings whose changes it tells."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")
_ROW = ("id", "at", "actor", "action", "subject", "trace_id")
_BATCH = ("id", "first_id", "last_id", "rows", "previous", "digest", "sealed_at")
_CHANGED, _SEALED = "audit: rows are never changed", "audit_batches: batches are never changed"
_REMOVED = "audit: only rows that are in the archive are deleted"
_DROPPED = "audit_batches: batches are never deleted"
_ARCHIVED = "SELECT 1 FROM audit_batches WHERE id = OLD.batch AND archived_at IS NOT NULL"


def upgrade() -> None:
    """Apply. Rows that are there are sealed by the next sealing, as they are then."""
    op.create_table(
        "audit_batches",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("first_id", sa.Integer(), nullable=False),
        sa.Column("last_id", sa.Integer(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("members", sa.JSON(), nullable=False),
        sa.Column("previous", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("sealed_at", _TIME, nullable=False),
        sa.Column("archived_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_batches")),
        sa.UniqueConstraint("previous", name=op.f("uq_audit_batches_previous")),
        sa.UniqueConstraint("digest", name=op.f("uq_audit_batches_digest")),
    )
    op.create_index("ix_audit_batches_sealed_at", "audit_batches", ["sealed_at"])
    op.create_table(
        "settings_seen",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("salt", sa.String(length=32), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("seen_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_settings_seen")),
    )
    _drop_trigger("audit_append_only", "audit")
    op.add_column("audit", sa.Column("batch", sa.Integer(), nullable=True))
    op.create_index("ix_audit_batch_id", "audit", ["batch", "id"])
    sealing = f"OLD.batch IS NULL AND NEW.batch IS NOT NULL AND {_unchanged(_ROW, 'detail')}"
    archiving = f"OLD.archived_at IS NULL AND NEW.archived_at IS NOT NULL AND {_unchanged(_BATCH, 'members')}"
    if _is_sqlite():
        for name, event, condition, message in (
            ("audit_append_only", "UPDATE ON audit", f"WHEN NOT ({sealing})", _CHANGED),
            ("audit_no_delete", "DELETE ON audit", f"WHEN NOT EXISTS ({_ARCHIVED})", _REMOVED),
            ("audit_batches_append_only", "UPDATE ON audit_batches", f"WHEN NOT ({archiving})", _SEALED),
            ("audit_batches_no_delete", "DELETE ON audit_batches", "", _DROPPED),
        ):
            op.execute(f"CREATE TRIGGER {name} BEFORE {event} {condition} BEGIN SELECT RAISE(ABORT, '{message}'); END")
        return
    for function, body in (
        ("squire_audit_batches_refuse", _raise(_SEALED)),
        ("squire_audit_batches_keep", _raise(_DROPPED)),
        # A condition of a trigger may not look into another table.
        ("squire_audit_keep", f"IF EXISTS ({_ARCHIVED}) THEN RETURN OLD; END IF; {_raise(_REMOVED)}"),
    ):
        op.execute(f"CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$")
    for name, event, condition, function in (
        ("audit_append_only", "UPDATE ON audit", f"WHEN (NOT ({sealing}))", "squire_audit_refuse"),
        ("audit_no_delete", "DELETE ON audit", "", "squire_audit_keep"),
        (
            "audit_batches_append_only",
            "UPDATE ON audit_batches",
            f"WHEN (NOT ({archiving}))",
            "squire_audit_batches_refuse",
        ),
        ("audit_batches_no_delete", "DELETE ON audit_batches", "", "squire_audit_batches_keep"),
    ):
        op.execute(f"CREATE TRIGGER {name} BEFORE {event} FOR EACH ROW {condition} EXECUTE FUNCTION {function}()")


def downgrade() -> None:
    """Undo. The chain is lost: rows are as plain as they were."""
    for name in ("audit_append_only", "audit_no_delete"):
        _drop_trigger(name, "audit")
    op.drop_index("ix_audit_batch_id", table_name="audit")
    op.drop_column("audit", "batch")
    op.drop_table("audit_batches")
    op.drop_table("settings_seen")
    if _is_sqlite():
        message = f"SELECT RAISE(ABORT, '{_CHANGED}')"
        op.execute(f"CREATE TRIGGER audit_append_only BEFORE UPDATE ON audit  BEGIN {message}; END")
        return
    for function in ("squire_audit_batches_refuse", "squire_audit_batches_keep", "squire_audit_keep"):
        op.execute(f"DROP FUNCTION {function}()")
    op.execute(
        "CREATE TRIGGER audit_append_only BEFORE UPDATE ON audit FOR EACH ROW EXECUTE FUNCTION squire_audit_refuse()"
    )


def _is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


def _unchanged(columns: tuple[str, ...], json_column: str) -> str:
    """Return the condition that these columns stay as they are; Postgres compares no JSON but as text."""
    is_same = "IS" if _is_sqlite() else "IS NOT DISTINCT FROM"
    cast = "" if _is_sqlite() else "::text"
    same = [f'NEW."{column}" {is_same} OLD."{column}"' for column in columns]
    return " AND ".join([*same, f"NEW.{json_column}{cast} {is_same} OLD.{json_column}{cast}"])


def _raise(message: str) -> str:
    return f"RAISE EXCEPTION '{message}' USING ERRCODE = 'check_violation';"


def _drop_trigger(name: str, table: str) -> None:
    op.execute(f"DROP TRIGGER {name}" if _is_sqlite() else f"DROP TRIGGER {name} ON {table}")
