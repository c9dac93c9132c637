"""Writes what is said on an issue about a task that is proposed for it. Pure."""

from collections.abc import Sequence

from squire_pipelines.domain.cost_prediction import PredictedCost
from squire_pipelines.domain.tasks import TaskSpec
from squire_pipelines.publishing.escaping import code, one_line, quote

_MAX_PROMPT = 4_000


def announcement_text(
    task_id: str,
    spec: TaskSpec,
    costs: Sequence[PredictedCost],
    *,
    order: str,
    approve_label: str,
    reject_label: str,
    is_withheld: bool = False,
) -> str:
    """Return the comment's text, which notifies nobody and causes nothing: see `escaping`.

    Args:
        task_id: Of the proposed task.
        spec: What would be done.
        order: The agent's order as people read it, which is shown where the plan says nothing of its approach.
        costs: With each agent that the first attempt may get.
        approve_label: The label on the issue that approves it.
        reject_label: Likewise, that rejects it.
        is_withheld: Whether the task's own words are left out, since they look as if they held a secret.
    """
    title = f"the task {task_id}" if is_withheld else one_line(spec.title)
    if is_withheld:
        work = f"What would be done is not shown here: it may hold a secret. `squire tasks show {task_id}` has it."
    else:
        work = quote(spec.implementation.approach.strip() or order, limit=_MAX_PROMPT)
    agents = "\n".join(f"- by {code(cost.agent)}; cost: {one_line(str(cost))}" for cost in costs)
    confidence = f"{spec.confidence:.0%} sure, {spec.risk} risk"
    return f"""**Squire proposes to work on this**: {title} ({confidence})

{work}

{agents}

Nothing starts before somebody who may write to this repository says so:

- to approve: set the label {code(approve_label)}, or comment `/squire approve {task_id}`
- to reject: set the label {code(reject_label)}, or comment `/squire reject {task_id} why`

Comments are read where a webhook brings them; labels always are.
"""
