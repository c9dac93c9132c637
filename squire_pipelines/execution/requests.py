"""Tasks that people ask for: they are made at once, and start as the settings of their repository let them.

What such a task says is `planning.request_spec`; its rows are `ledger.task_creation`.
"""

from squire_pipelines.domain.plans import ApprovalRule
from squire_pipelines.domain.tasks import Risk
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.task_creation import CreatedTask, RequestedTask, create_requested
from squire_pipelines.settings.model import Settings


def approval_rule(settings: Settings) -> ApprovalRule:
    """Return which tasks start without a person's approval, by the settings that hold in a repository."""
    planner = settings.planner
    return ApprovalRule(planner.approve == "auto", planner.min_confidence, Risk(planner.max_risk))


def create_request(
    tx: Transaction, settings: Settings, request: RequestedTask, *, trace_id: str, hold: bool = False
) -> CreatedTask:
    """Create the task of a request; it is proposed where `hold` or the settings want a person to approve it.

    Args:
        tx: A transaction that writes.
        settings: Those that hold in its repository.
        request: What is asked for.
        trace_id: Of the command or delivery.
        hold: Whether it is to wait for `squire tasks start`.

    Raises:
        NotFoundError, RefusedError: See `create_requested`.
    """
    ready = not hold and approval_rule(settings).covers(request.spec)
    return create_requested(tx, request, ready=ready, max_attempts=settings.dispatch.max_attempts, trace_id=trace_id)
