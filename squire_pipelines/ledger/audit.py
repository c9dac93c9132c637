"""The audit trail: who did what that matters for security. Rows are added and never changed.

A row is written in the transaction of what it tells. `audit_sealing` chains rows afterwards, so that writers never
wait for each other's hashes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import JsonValue
from sqlalchemy import ColumnElement, Select, bindparam, func, insert, select

from squire_pipelines.domain.audit_chain import AuditRow
from squire_pipelines.ledger.columns import clean_text
from squire_pipelines.ledger.prepared_write import PreparedWrite
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import audit
from squire_pipelines.ledger.tenants import audit_of

COLUMNS = tuple(audit.c[name] for name in AuditRow.__slots__)
"""The columns of `AuditRow`, in its order."""

_LOOK_BACK = 20_000
"""How many of the newest rows are searched for one that tells the same."""

_INSERT = PreparedWrite(
    insert(audit)
    .values({column.name: bindparam(column.name) for column in audit.c if column.name not in {"id", "batch"}})
    .inline()  # nobody asks for the new id
)


def record_audit(
    tx: Transaction,
    *,
    actor: str,
    action: str,
    subject: str,
    trace_id: str | None,
    detail: Mapping[str, JsonValue] | None = None,
) -> None:
    """Record that somebody did something that matters for security, by the command or event of that trace.

    Args:
        tx: The transaction of what is told, so that both are there or neither.
        actor: Who: `cli:ann`, `run:…`, a part of Squire.
        action: What, as a noun and a verb: `tasks.approve`, `secret.read`.
        subject: To what.
        trace_id: Of what it was part of; None where that is not known.
        detail: More about it. Never a secret's value.
    """
    values = {
        "at": tx.now,
        "actor": actor,
        "action": action,
        "subject": subject,
        "detail": {key: _storable(value) for key, value in (detail or {}).items()},
        "trace_id": trace_id,
    }
    _INSERT.run(tx.connection, values)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """What `record_audits` records: the fields are those of `record_audit`."""

    actor: str
    action: str
    subject: str
    trace_id: str | None
    detail: Mapping[str, JsonValue]


def record_audits(tx: Transaction, entries: Sequence[AuditEntry]) -> None:
    """Record several acts of one transaction, as `record_audit` does, by one statement."""
    _INSERT.run_all(
        tx.connection,
        [
            {
                "at": tx.now,
                "actor": entry.actor,
                "action": entry.action,
                "subject": entry.subject,
                "detail": {key: _storable(value) for key, value in entry.detail.items()},
                "trace_id": entry.trace_id,
            }
            for entry in entries
        ],
    )


def was_recorded(tx: Transaction, *, action: str, subject: str, detail: Mapping[str, JsonValue]) -> bool:
    """Return whether one of the newest rows tells the same already; `detail` may be a part of what it tells."""
    newest = select(func.max(audit.c.id)).scalar_subquery()
    rows = select(audit.c.detail).where(
        audit.c.id > newest - _LOOK_BACK, audit.c.action == action, audit.c.subject == clean_text(subject)
    )
    known = {key: _storable(value) for key, value in detail.items()}
    return any(known.items() <= (stored or {}).items() for stored in tx.execute(rows).scalars())


def _storable(value: JsonValue) -> JsonValue:
    """Return a value of JSON that both databases and the warehouse can store: no half surrogate pairs, NUL or NaN."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, list):
        return [_storable(part) for part in value]
    if isinstance(value, dict):
        return {clean_text(key): _storable(part) for key, part in value.items()}
    return value


def audit_page(
    tx: Transaction,
    *,
    action: str | None = None,
    actor: str | None = None,
    subject: str | None = None,
    since: datetime | None = None,
    before: int | None = None,
    tenant: str | None = None,
    limit: int = 100,
) -> tuple[AuditRow, ...]:
    """Return a page of the audit trail, newest first.

    Args:
        tx: Of the ledger.
        action: Only this action; with a `*` at its end, those that begin so.
        actor: Only what this person or part did.
        subject: Only what was done to this, whole or as a part of the subject's text.
        since: Only from this time on.
        before: The id of the last row of the page before.
        tenant: Only what tells of this one's tasks, repositories and secrets.
        limit: The most rows.
    """
    conditions: list[ColumnElement[bool]] = [*audit_of(tenant)]
    if action is not None:
        prefix = action.removesuffix("*")
        conditions.append(
            audit.c.action == action if prefix == action else audit.c.action.startswith(prefix, autoescape=True)
        )
    if actor is not None:
        conditions.append(audit.c.actor == actor)
    if subject is not None:
        conditions.append(audit.c.subject.contains(subject, autoescape=True))
    if since is not None:
        conditions.append(audit.c.at >= since)
    if before is not None:
        conditions.append(audit.c.id < before)
    return read_rows(tx, select(*COLUMNS).where(*conditions).order_by(audit.c.id.desc()).limit(limit))


def read_rows(tx: Transaction, query: Select[*tuple[Any, ...]]) -> tuple[AuditRow, ...]:
    """Return the rows of a query for `COLUMNS`."""
    return tuple(AuditRow(*row) for row in tx.execute(query))


def rows_of_batch(tx: Transaction, batch: int) -> Sequence[AuditRow]:
    """Return the rows in the ledger that are said to be in a batch."""
    return read_rows(tx, select(*COLUMNS).where(audit.c.batch == batch).order_by(audit.c.id))
