"""The audit trail: who did what that matters for security. Rows are added and never changed."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime

from pydantic import JsonValue
from sqlalchemy import insert, select

from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import audit


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One row of the audit trail."""

    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    detail: Mapping[str, JsonValue]
    trace_id: str | None


def record_audit(
    tx: Transaction,
    *,
    actor: str,
    action: str,
    subject: str,
    trace_id: str,
    detail: Mapping[str, JsonValue] | None = None,
) -> None:
    """Record that somebody did something that matters for security, by the command or event of that trace."""
    tx.execute(
        insert(audit).values(
            at=tx.now, actor=actor, action=action, subject=subject, detail=dict(detail or {}), trace_id=trace_id
        )
    )


def audit_page(
    tx: Transaction,
    *,
    action: str | None = None,
    actor: str | None = None,
    since: datetime | None = None,
    before: int | None = None,
    limit: int = 100,
) -> tuple[AuditEntry, ...]:
    """Return a page of the audit trail, newest first; `before` is the id of the last row of the page before."""
    query = select(*(audit.c[field.name] for field in fields(AuditEntry))).order_by(audit.c.id.desc()).limit(limit)
    if action is not None:
        query = query.where(audit.c.action == action)
    if actor is not None:
        query = query.where(audit.c.actor == actor)
    if since is not None:
        query = query.where(audit.c.at >= since)
    if before is not None:
        query = query.where(audit.c.id < before)
    return tuple(AuditEntry(*row) for row in tx.execute(query))
