"""Running an attempt's agent with its gateway beside it, and where its Job is made when a cluster runs it."""

from dataclasses import replace

from squire_pipelines.agents.kubernetes.options import ClusterOptions
from squire_pipelines.agents.model import AttemptInputs, RunResult
from squire_pipelines.agents.runners import AgentRunner
from squire_pipelines.execution.door_registry import LedgerDoorRegistry, worker_address
from squire_pipelines.execution.gateway_session import open_gateway
from squire_pipelines.execution.lease import LeasedAttempt
from squire_pipelines.execution.stored_work import shared_log


def cluster_options(leased: LeasedAttempt) -> ClusterOptions | None:
    """Return how the attempt's Job is made in a cluster; None where its agent runs elsewhere."""
    if leased.agent.runner != "kubernetes":
        return None
    settings = leased.settings
    return ClusterOptions(
        settings.kubernetes,
        LedgerDoorRegistry(leased),
        address=worker_address(settings),
        tenant=settings.tenant_of(leased.task.repository),
        patience_s=leased.agent.engine_patience_s,
    )


def run_with_gateway(leased: LeasedAttempt, inputs: AttemptInputs, runner: AgentRunner) -> RunResult:
    """Run the agent and return how its run ended, given what the gateway knows of its calls.

    Raises:
        ConfigError: The settings name no usable provider, or a transport that the runner does not have.
        NotReachableError: The gateway did not start.
        EngineError, ImageMissingError: A container could not be made.
        LeaseLostError: The attempt is another run's.
    """
    with (
        open_gateway(leased, leased.settings, runner) as session,
        shared_log(leased.settings, leased.attempt.id, inputs.folder.log),
    ):
        result = runner.run(
            inputs,
            heartbeat=lambda: leased.go_on() and not (session is not None and session.is_overdue),
            gateway_socket=session.socket if session else None,
            gateway_seen=session.seen if session else None,
        )
    return result if session is None else replace(result, ending=session.revise(result.ending))
