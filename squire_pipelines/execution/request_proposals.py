"""A model's proposal for a person's request: paid from planning's budget, with what is known of the repository."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from squire_pipelines.domain.tasks import TaskSpec
from squire_pipelines.errors import GitHubError
from squire_pipelines.execution.repository_context import RepositoryReader
from squire_pipelines.execution.requests import create_request
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.lookup import repository_info
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.ledger.task_creation import CreatedTask, RequestedTask
from squire_pipelines.planning.account import PlanAccount
from squire_pipelines.planning.plan_context import PlanContext
from squire_pipelines.planning.request_proposals import RequestProposal, propose
from squire_pipelines.secrets.lookup import find_secret
from squire_pipelines.settings.model import Settings


async def propose_for(
    settings: Settings,
    ledger: Ledger,
    repository: str,
    request: TaskSpec,
    *,
    open_client: Callable[[], GitHubClient] | None,
    trace_id: str,
) -> RequestProposal:
    """Ask the planner's model how to ask better; see `propose`.

    Args:
        settings: Those that hold in the repository.
        ledger: Has the budgets, in which the conversation is reserved before it and settled after.
        repository: `owner/name`.
        request: What a person asks for.
        open_client: Opens what asks GitHub about the repository; None where there is no access.
        trace_id: Of the command.

    Raises:
        ConfigError: The installation's own instructions cannot be used.
        PlanningError: No model gave an answer that can be taken, or a budget has no room.
        LedgerError: The ledger cannot be written.
    """
    account = PlanAccount(ledger, settings, repository, trace_id=trace_id)
    return await propose(
        settings,
        repository,
        request,
        context=await _context(settings, ledger, repository, open_client),
        find_key=partial(find_secret, sources=settings.secret_sources),
        on_call=account.settle,
        reserve=account.reserve,
    )


def create_proposed(
    tx: Transaction,
    settings: Settings,
    request: RequestedTask,
    specs: Sequence[TaskSpec],
    *,
    trace_id: str,
    hold: bool = False,
) -> tuple[CreatedTask, ...]:
    """Create the tasks that a person took in the place of a request; see `create_request`.

    Args:
        tx: A transaction that writes.
        settings: Those that hold in its repository.
        request: What was asked for; each task has its author, and waits for what it waits for.
        specs: Each after those that it depends on.
        trace_id: Of the command.
        hold: Whether they are to wait for `squire tasks start`.
    """
    created: dict[str, CreatedTask] = {}
    for spec in specs:
        depends_on = (*request.depends_on, *(created[key].id for key in spec.depends_on))
        ordered = spec.model_copy(update={"verification": request.spec.verification})  # a person's word, too
        own = replace(request, spec=ordered, depends_on=depends_on)
        created[spec.key] = create_request(tx, settings, own, trace_id=trace_id, hold=hold)
    return tuple(created.values())


async def _context(
    settings: Settings, ledger: Ledger, repository: str, open_client: Callable[[], GitHubClient] | None
) -> PlanContext | None:
    """Return what is known of the repository, None where GitHub cannot be asked: the proposal is made without it."""
    if open_client is None or not settings.planner.context_bytes:
        return None
    try:
        async with open_client() as client:
            info = await repository_info(client, repository)
    except GitHubError:
        return None
    return await RepositoryReader(settings, ledger, repository, info).read()
