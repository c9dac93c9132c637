"""Whether an attempt can start as its task and the settings want it, and with which limits."""

from squire_pipelines.agents.limits import effective_limits
from squire_pipelines.agents.runners import check_agent
from squire_pipelines.domain.endings import Cause, Ending, Evidence
from squire_pipelines.domain.tasks import AttemptStatus
from squire_pipelines.errors import ConfigError
from squire_pipelines.ledger import attempts, tasks
from squire_pipelines.ledger.attempts import Attempt
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tasks import Task
from squire_pipelines.sections import AgentSettings, LimitSettings
from squire_pipelines.settings import Settings


def limits_of(ledger: Ledger, agent: AgentSettings, task: Task, attempt: Attempt) -> LimitSettings:
    """Return what this attempt's container may use. Raises ConfigError when the task asks for more than it may."""
    after_oom = False
    if attempt.previous_id is not None:
        with ledger.read() as tx:
            after_oom = attempts.get(tx, attempt.previous_id).cause == Cause.OUT_OF_MEMORY
    return effective_limits(agent, task.spec.limits, after_oom=after_oom)


def why_not_startable(ledger: Ledger, settings: Settings, attempt_id: str) -> Ending | None:
    """Return why a queued attempt cannot start; None when it can, or has been claimed already."""
    with ledger.read() as tx:
        attempt = attempts.get(tx, attempt_id)
        task = tasks.get(tx, attempt.task_id)
    if attempt.status is not AttemptStatus.QUEUED:
        return None
    agent = settings.agent_for(task.repository)
    try:
        check_agent(agent)
        limits_of(ledger, agent, task, attempt)
    except ConfigError as error:
        return Ending(cause=Cause.NOT_STARTABLE, message=str(error), evidence=Evidence(error_code=error.code))
    return None
