"""What plans were made from: kept for a while, so that another model or prompt can be tried on the same."""

from pydantic import ValidationError
from sqlalchemy import delete, insert, select

from squire_pipelines.domain.recorded_inputs import RecordedInputs
from squire_pipelines.errors import NotFoundError
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import plan_inputs

MAX_KEPT = 200
"""Of all plans together: the newest ones."""

_GONE = "they are kept for `retention.plan_answers_days`, of the newest plans"


def record(tx: Transaction, plan_id: str, inputs: RecordedInputs) -> None:
    """Store what a plan was made from; of all plans the newest `MAX_KEPT` keep theirs."""
    tx.execute(insert(plan_inputs).values(plan_id=plan_id, inputs=inputs.model_dump_json(), created_at=tx.now))
    row = plan_inputs.c
    newest = select(row.plan_id).order_by(row.created_at.desc(), row.plan_id.desc())
    surplus = tuple(tx.execute(newest.offset(MAX_KEPT).limit(MAX_KEPT)).scalars())
    if surplus:
        tx.execute(delete(plan_inputs).where(row.plan_id.in_(surplus)))


def of_plan(tx: Transaction, plan_id: str) -> RecordedInputs:
    """Return what a plan was made from. Raises NotFoundError when that is not kept, or is of another version."""
    text = tx.execute(select(plan_inputs.c.inputs).where(plan_inputs.c.plan_id == plan_id)).scalar_one_or_none()
    if text is None:
        raise NotFoundError(f"what the plan {plan_id} was made from is not kept", hint=_GONE)
    try:
        return RecordedInputs.model_validate_json(text)
    except ValidationError as error:
        raise NotFoundError(f"what the plan {plan_id} was made from was recorded by another version") from error
