"""Calls of models, by planners and agents: rows that are added and never changed."""

from dataclasses import dataclass, fields
from datetime import datetime

from sqlalchemy import func, insert, select

from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import model_calls


@dataclass(frozen=True, slots=True)
class ModelCallRow:
    """One call to a model. `purpose` is `plan` or `agent`; tokens are counts, latency is in seconds.

    `call_id` names the call in the log from which it was taken; `estimated` says that its tokens were worked out from
    the text that passed; `web_search` that the model's provider could search the web for it; `provider` is
    the name of the one that was called. `at` is when it ended, by default the transaction's moment.
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
    cache_write_tokens: int | None = None
    estimated: bool = False
    web_search: bool = False
    provider: str | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """What an attempt's model calls add up to; None where there was no call, or nobody knows a price."""

    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None


def record_model_call(tx: Transaction, call: ModelCallRow) -> bool:
    """Store one model call; whether it is new. One whose `call_id` is known already changes nothing."""
    if call.call_id is not None:
        known = select(model_calls.c.id).where(model_calls.c.call_id == call.call_id)
        if tx.execute(known).one_or_none() is not None:
            return False
    values = {name: getattr(call, name) for name in ModelCallRow.__slots__}
    values["at"] = call.at or tx.now
    tx.execute(insert(model_calls).values(**values))
    return True


def usage_of_attempt(tx: Transaction, attempt_id: str) -> TokenUsage:
    """Return what the attempt's model calls add up to so far."""
    sums = [func.sum(model_calls.c[field.name]) for field in fields(TokenUsage)]
    return TokenUsage(*tx.execute(select(*sums).where(model_calls.c.attempt_id == attempt_id)).one())
