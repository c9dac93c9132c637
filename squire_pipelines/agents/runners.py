"""Defines what a runner is, and chooses one by the settings."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Protocol

from squire_pipelines.agents import engine, worker_files
from squire_pipelines.agents.adapters.protocol import GatewaySeen
from squire_pipelines.agents.docker_runner import DockerRunner, EngineOptions
from squire_pipelines.agents.kubernetes.options import ClusterOptions
from squire_pipelines.agents.local_runner import LocalRunner
from squire_pipelines.agents.logs import OutputOptions
from squire_pipelines.agents.model import AttemptInputs, GatewaySocket, RunResult
from squire_pipelines.errors import ConfigError, EngineError
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.sections.agents import AgentSettings

_log = get_logger(Component.AGENT)
_DAY_S = 86400.0


class AgentRunner(Protocol):
    """Runs one attempt's agent over a folder that `workspace.write_inputs` has written."""

    name: str
    """By which the settings and the ledger call it."""

    is_sandbox: bool
    """Whether the agent is kept from the rest of the machine."""

    def run(
        self,
        inputs: AttemptInputs,
        *,
        heartbeat: Callable[[], bool],
        gateway_socket: GatewaySocket | None = None,
        gateway_seen: Callable[[], GatewaySeen] | None = None,
    ) -> RunResult:
        """Run the agent to its end and take its result over.

        Whatever happens to the agent or the engine is an ending in the result. What `heartbeat` raises, and every
        interrupt, passes through after the agent was removed; only a LeaseLostError leaves a container to its new
        holder.

        Args:
            inputs: The attempt, whose folder is written.
            heartbeat: Called about once a second in the caller's thread; False asks to cancel.
            gateway_socket: The Unix socket at which the gateway listens, here or in a volume of the engine's.
            gateway_seen: Says what the gateway has seen of the agent's calls, by which the agent's own rule judges.

        Raises:
            ConfigError: The limits contradict each other, or the installation lacks the worker's files.
        """
        ...

    def close(self) -> None:
        """Close the connection to the engine, if there is one."""
        ...


def choose_runner(
    agent: AgentSettings,
    *,
    redact: Callable[[str], str] = str,
    echo: Callable[[str], object] | None = None,
    hosts: tuple[str, ...] | None = None,
    timeout_s: float = 30.0,
    warm: Path | None = None,
    keep_until: datetime | None = None,
    cluster: ClusterOptions | None = None,
) -> AgentRunner:
    """Return the runner that the settings ask for; the caller closes it.

    Args:
        agent: The settings.
        redact: Takes secrets out of each line of the agent's output.
        echo: Sees the output as it is recorded.
        hosts: Where to look for engines; the usual places by default.
        timeout_s: Of each request to the engine.
        warm: The folder of the pool of warm containers, used where the settings ask for one.
        keep_until: Until when containers are kept, while the repository is debugged.
        cluster: How Jobs of a cluster are made, for the runner `kubernetes`.

    `auto` is Docker where an engine answers. Without one it is the local runner for a command of the user's own, but
    never for OpenCode: what a model writes runs unconfined only where the settings say `local`.

    Raises:
        EngineError: No engine answers, and the local runner is not what was asked for.
        ConfigError: The installation lacks the worker's files, the seccomp profile is none, or there is no way to the
            cluster.
    """
    output = OutputOptions(redact, echo, agent.log_overflow == "truncate", agent.slow_start_s, agent.linger_s)
    if agent.runner == "local":
        return LocalRunner(output=output)
    if agent.runner == "kubernetes":
        return _cluster_runner(cluster, output)
    options = EngineOptions(
        seccomp=worker_files.seccomp_profile(agent.seccomp),
        runtime=agent.runtime,
        patience_s=agent.engine_patience_s,
        keep_failed_s=agent.log_retention_days * _DAY_S if agent.keep_failed_containers else None,
        keep_until=keep_until,
        warm=warm if agent.warm_pool.size else None,
    )
    try:
        client = engine.connect(timeout_s, hosts=hosts, image=agent.worker_image)
    except EngineError as error:
        if agent.runner == "docker":
            raise
        if agent.kind != "command":
            raise EngineError(
                error.message,
                hint=f'{engine.HINT}, or set agent.runner = "local" to run it without a sandbox',
                context=error.context,
            ) from error
        _log.warning("agent.no_sandbox", reason=error.message)
        return LocalRunner(output=output)
    return DockerRunner(client, output=output, options=options)


def _cluster_runner(cluster: ClusterOptions | None, output: OutputOptions) -> AgentRunner:
    if cluster is None:
        raise ConfigError('agent.runner = "kubernetes" is for runs of workers', hint="set workers.broker_url")
    # Only where the settings ask for it: the library comes with an extra.
    try:
        from squire_pipelines.agents.kubernetes.api import connect  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigError(
            f'agent.runner = "kubernetes" needs {error.name}, which is not installed',
            hint="install Squire with its extra: pip install 'squire-pipelines[kubernetes]'",
        ) from error
    from squire_pipelines.agents.kubernetes.runner import KubernetesRunner  # noqa: PLC0415

    return KubernetesRunner(connect(cluster.settings), cluster, output=output)
