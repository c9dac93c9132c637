"""Append-only records: model calls and the audit trail."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import JsonValue
from sqlalchemy import insert, select

from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import audit, model_calls


@dataclass(frozen=True, slots=True)
class ModelCallRow:
    """One call to a model. `purpose` is `plan` or `agent`; tokens are counts, latency is in seconds.

    `call_id` names the call in the log from which it was taken; `estimated` says that its tokens were worked out from
    the text that passed. `at` is when it ended, by default the transaction's moment.
    """

    purpose: str
    model: str
    ok: bool
    input_tokens: int
    output_tokens: int
    latency_s: float
    trace_id: str
    repository: str | None = None
    task_id: str | None = None
    attempt_id: str | None = None
    status: int | None = None
    cost_usd: float | None = None
    error: str | None = None
    call_id: str | None = None
    cached_tokens: int | None = None
    estimated: bool = False
    at: datetime | None = None


def record_model_call(tx: Transaction, call: ModelCallRow) -> bool:
    """Keep one model call; whether it is new. One whose `call_id` is known already changes nothing."""
    if call.call_id is not None:
        known = select(model_calls.c.id).where(model_calls.c.call_id == call.call_id)
        if tx.execute(known).one_or_none() is not None:
            return False
    values = {name: getattr(call, name) for name in ModelCallRow.__slots__}
    values["at"] = call.at or tx.now
    tx.execute(insert(model_calls).values(**values))
    return True


def record_audit(
    tx: Transaction,
    *,
    actor: str,
    action: str,
    subject: str,
    detail: Mapping[str, JsonValue] | None = None,
    trace_id: str | None = None,
) -> None:
    """Keep that somebody did something that matters for security."""
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
) -> list[dict[str, Any]]:
    """A page of the audit trail, newest first; `before` is the id of the last row of the page before."""
    query = select(audit).order_by(audit.c.id.desc()).limit(limit)
    if action is not None:
        query = query.where(audit.c.action == action)
    if actor is not None:
        query = query.where(audit.c.actor == actor)
    if since is not None:
        query = query.where(audit.c.at >= since)
    if before is not None:
        query = query.where(audit.c.id < before)
    return [dict(row) for row in tx.execute(query).mappings()]
