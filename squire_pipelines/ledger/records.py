"""Append-only records: model calls and the audit trail."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue
from sqlalchemy import insert

from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import audit, model_calls


@dataclass(frozen=True, slots=True)
class ModelCallRow:
    """One call to a model. `purpose` is `plan` or `agent`; tokens are counts, latency is in seconds."""

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


def record_model_call(tx: Transaction, call: ModelCallRow) -> None:
    """Keep one model call."""
    values = {name: getattr(call, name) for name in ModelCallRow.__slots__}
    tx.execute(insert(model_calls).values(**values, at=tx.now))


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
