"""An audit trail for tests: filled, sealed, and tampered with as somebody can who has the database in their hands."""

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import JsonValue
from sqlalchemy import text

from squire_pipelines.ledger.audit import record_audit
from squire_pipelines.ledger.audit_sealing import seal
from squire_pipelines.ledger.audit_verification import AuditVerdict, verify_ledger
from squire_pipelines.ledger.store import Ledger, Transaction

GUARDED = ("audit", "audit_batches")
TRACE = "ab" * 16


@contextmanager
def unguarded(tx: Transaction) -> Iterator[None]:
    """Let rows of the trail be changed and deleted, which triggers refuse otherwise."""
    if tx.connection.dialect.name == "postgresql":
        for table in GUARDED:
            tx.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
        yield
        for table in GUARDED:
            tx.execute(text(f"ALTER TABLE {table} ENABLE TRIGGER USER"))
        return
    names = ", ".join(f"'{table}'" for table in GUARDED)
    query = f"SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name IN ({names})"  # noqa: S608 - ours
    triggers = tx.execute(text(query)).all()
    for name, _ in triggers:
        tx.execute(text(f"DROP TRIGGER {name}"))
    yield
    for _, sql in triggers:
        tx.connection.exec_driver_sql(sql)


def add_rows(ledger: Ledger, count: int, *, actor: str = "ann") -> None:
    """Add rows in one transaction."""
    with ledger.write() as tx:
        for number in range(count):
            detail: dict[str, JsonValue] = {"number": number, "texts": ["ä", "\ud800", 1.5]}
            record_audit(tx, actor=actor, action="a.done", subject=f"s{number}", detail=detail, trace_id=TRACE)


def add_batches(ledger: Ledger, *sizes: int) -> None:
    """Add batches of so many rows."""
    for size in sizes:
        add_rows(ledger, size)
        assert seal(ledger) == size


def verdict_of(ledger: Ledger, expected: str | None = None) -> AuditVerdict:
    """Verify what is in the ledger."""
    with ledger.read() as tx:
        return verify_ledger(tx, ids_in_order=ledger.is_sqlite, expected=expected)
