"""Calls of models, by planners and agents: rows that are added and never changed."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, insert, select

from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import model_calls
from squire_pipelines.ledger.tenants import of_tenant


@dataclass(frozen=True, slots=True)
class ModelCallRow:
    """One call to a model. `purpose` is `plan` or `agent`; tokens are counts, latency is in seconds.

    `call_id` names the call in the log from which it was taken; `estimated` says that its tokens were worked out from
    the text that passed; `web_search` that the model's provider could search the web for it; `provider` is
    the name of the one that was called. `stated_usd` is what the provider says that the call costs, and
    `cost_difference_usd` how much that is above our own calculation. `at` is when it ended, by default the
    transaction's moment.
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
    reasoning_tokens: int | None = None
    stated_usd: float | None = None
    cost_difference_usd: float | None = None
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


@dataclass(frozen=True, slots=True)
class CallCosts:
    """What the calls of one attempt, or those to one provider, add up to.

    `calls` have a model's answer or a part of one; of `estimated` nobody reported the tokens, and of `unpriced` nobody
    knows the price. `stated_usd` is what the providers say of `stated` calls, and `difference_usd` how much that is
    above our own calculation of those of them whose price is known.
    """

    calls: int
    estimated: int
    unpriced: int
    stated: int
    cost_usd: float
    stated_usd: float
    difference_usd: float


def costs_of_attempts(tx: Transaction, attempt_ids: Sequence[str]) -> dict[str, CallCosts]:
    """Return what the calls of each attempt add up to; an attempt without calls is left out."""
    return _costs(tx, model_calls.c.attempt_id, model_calls.c.attempt_id.in_(attempt_ids))


def costs_by_provider(tx: Transaction, since: datetime, *, tenant: str | None = None) -> dict[str, CallCosts]:
    """Return what the calls since a moment, of all tenants or of one, add up to at each provider that states costs."""
    row = model_calls.c
    whose = of_tenant(tenant, row.repository, row.at)
    costs = _costs(tx, row.provider, and_(row.at >= since, row.stated_usd.is_not(None), *whose))
    return {name or "": of_one for name, of_one in costs.items()}


def _costs(tx: Transaction, key: ColumnElement[Any], condition: ColumnElement[bool]) -> dict[str, CallCosts]:
    columns = model_calls.c
    has_tokens = columns.input_tokens + columns.output_tokens > 0
    rows = tx.execute(
        select(
            key.label("key"),
            func.sum(case((has_tokens, 1), else_=0)),
            func.sum(case((columns.estimated, 1), else_=0)),
            func.sum(case((and_(has_tokens, columns.cost_usd.is_(None)), 1), else_=0)),
            func.count(columns.stated_usd),
            *(
                func.coalesce(func.sum(columns[name]), 0.0)
                for name in ("cost_usd", "stated_usd", "cost_difference_usd")
            ),
        )
        .where(condition)
        .group_by(key)
    )
    return {row[0]: CallCosts(*row[1:]) for row in rows}
