"""What a runner is, and which one to take."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import structlog

from squire_pipelines.agents import engine
from squire_pipelines.agents.docker_runner import DockerRunner
from squire_pipelines.agents.local_runner import LocalRunner
from squire_pipelines.agents.model import AttemptInputs, RunResult
from squire_pipelines.errors import ConfigError, EngineError
from squire_pipelines.settings import AgentSettings

_log = structlog.get_logger(__name__)


class AgentRunner(Protocol):
    """Runs one attempt's agent over a folder that `workspace.write_inputs` has written."""

    @property
    def is_sandbox(self) -> bool:
        """Whether the agent is kept from the rest of the machine."""
        ...

    def run(
        self, inputs: AttemptInputs, *, heartbeat: Callable[[], bool], gateway_socket: Path | None = None
    ) -> RunResult:
        """Run the agent to its end and take its result over.

        Whatever happens to the agent or the engine is an ending in the result. What `heartbeat` raises, and every
        interrupt, passes through after the agent was removed.

        Args:
            inputs: The attempt, whose folder is written.
            heartbeat: Called about once a second in the caller's thread; False asks to cancel.
            gateway_socket: The Unix socket at which the gateway listens.

        Raises:
            ConfigError: The limits contradict each other, or the installation lacks the worker's files.
        """
        ...

    def close(self) -> None:
        """Let go of the connection to the engine, if there is one."""
        ...


def check_agent(agent: AgentSettings) -> None:
    """Refuse settings with which no agent can start. Raises ConfigError."""
    if agent.kind == "command" and not agent.command:
        message = 'agent.kind is "command", but agent.command is empty'
        raise ConfigError(message, hint='for example command = ["ruff", "check", "--fix", "."]')
    if agent.kind == "opencode" and not agent.model:
        message = 'agent.kind is "opencode", but agent.model is not set'
        raise ConfigError(message, hint='name a model, or have a command do the work: kind = "command"')


def choose_runner(
    agent: AgentSettings,
    *,
    redact: Callable[[str], str] = str,
    hosts: tuple[str, ...] | None = None,
    timeout_s: float = 30.0,
) -> AgentRunner:
    """The runner that the settings ask for; the caller closes it.

    `auto` is Docker where an engine answers. Without one it is the local runner for a command of the user's own, but
    never for OpenCode: what a model writes is run unconfined only by somebody who asked for `local`.

    Raises:
        EngineError: No engine answers, and the local runner is not what was asked for.
        ConfigError: The installation lacks the worker's files.
    """
    if agent.runner == "local":
        return LocalRunner(redact=redact)
    try:
        return DockerRunner(engine.connect(timeout_s, hosts=hosts), redact=redact)
    except EngineError as error:
        if agent.runner == "docker":
            raise
        if agent.kind == "opencode":
            raise EngineError(
                error.message,
                hint=f'{engine.HINT}, or set agent.runner = "local" to run it without a sandbox',
                context=error.context,
            ) from error
        _log.warning("agent.no_sandbox", reason=error.message)
        return LocalRunner(redact=redact)
