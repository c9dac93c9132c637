"""The agent `command`: any command line of the user's own. It gets no model, and its exit code is its word. Pure."""

from pathlib import PurePosixPath

from squire_pipelines.agents.adapters.protocol import (
    AgentConfig,
    LaunchSpec,
    Parser,
    SessionFailure,
    SessionResult,
    allow,
    deny,
)
from squire_pipelines.errors import ConfigError

_PERMISSIONS = (
    allow("files", "/work, /home/agent, /tmp", "its clone and its scratch, in memory, within their sizes"),
    deny("files", "everything else", "the root is read-only, and it is no file of the host's"),
    allow("commands", "*", "whatever the image has, as an unprivileged user"),
    deny("model", "*", "no socket of the gateway is mounted"),
    deny("network", "*", "the container has none"),
)


class Command:
    """A command line; what it changes in its clone is the result."""

    name = "command"
    needs_gateway = False
    permissions = _PERMISSIONS

    def check(self, order: AgentConfig) -> None:
        """It needs a command line. Raises ConfigError."""
        if not order.command:
            raise ConfigError(
                'agent.kind is "command", but agent.command is empty',
                hint='for example command = ["ruff", "check", "--fix", "."]',
            )

    def title(self, order: AgentConfig) -> str:
        """`command:PROGRAM`."""
        return f"command:{PurePosixPath(order.command[0]).name}"[:100]

    def launch(self, order: AgentConfig) -> LaunchSpec:
        """The command as it is."""
        return LaunchSpec(order.command)

    def parser(self) -> Parser:
        """Its output is nobody's protocol."""
        return lambda _line: ()

    def judge(self, seen: SessionResult) -> SessionFailure | None:
        """By its exit code alone."""
        if seen.exit_code == 0:
            return None
        return SessionFailure("agent", f"the agent ended with exit code {seen.exit_code}", "exit_code")
