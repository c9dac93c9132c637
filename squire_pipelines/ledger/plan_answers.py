"""Answers of models that could not become a plan: kept for a while, so that people can see what was wrong with them."""

from collections.abc import Sequence

from sqlalchemy import delete, insert, select

from squire_pipelines.domain.plan_making import RefusedAnswer
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import plan_answers

MAX_KEPT = 1_000
"""Of all plans together: the newest ones."""

_FIELDS = tuple(RefusedAnswer.model_fields)


def record(tx: Transaction, plan_id: str, answers: Sequence[RefusedAnswer]) -> None:
    """Store what models answered for a plan; of all answers the newest `MAX_KEPT` stay."""
    if not answers:
        return
    rows = [{**answer.model_dump(), "plan_id": plan_id, "created_at": tx.now} for answer in answers]
    tx.execute(insert(plan_answers), rows)
    row = plan_answers.c
    oldest = tx.execute(select(row.id).order_by(row.id.desc()).offset(MAX_KEPT - 1).limit(1)).scalar_one_or_none()
    if oldest is not None:
        tx.execute(delete(plan_answers).where(row.id < oldest))


def of_plan(tx: Transaction, plan_id: str) -> tuple[RefusedAnswer, ...]:
    """Return the answers that could not be taken for a plan, in the order in which they came."""
    columns = [plan_answers.c[name] for name in _FIELDS]
    rows = tx.execute(select(*columns).where(plan_answers.c.plan_id == plan_id).order_by(plan_answers.c.id))
    return tuple(RefusedAnswer(**row) for row in rows.mappings())
