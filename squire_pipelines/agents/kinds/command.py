"""The agent `command`: any command line of the user's own. It gets no model, and its exit code is its word. Pure."""

from pathlib import PurePosixPath

from squire_pipelines.agents.kinds.protocol import Judgement, Launch, Order, Parser, Seen, allow, deny
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

    def check(self, order: Order) -> None:
        """It needs a command line. Raises ConfigError."""
        if not order.command:
            message = 'agent.kind is "command", but agent.command is empty'
            raise ConfigError(message, hint='for example command = ["ruff", "check", "--fix", "."]')

    def title(self, order: Order) -> str:
        """`command:PROGRAM`."""
        return f"command:{PurePosixPath(order.command[0]).name}"[:100]

    def launch(self, order: Order) -> Launch:
        """The command as it is."""
        return Launch(order.command)

    def parser(self) -> Parser:
        """Its output is nobody's protocol."""
        return lambda _line: ()

    def judge(self, seen: Seen) -> Judgement | None:
        """By its exit code alone."""
        if seen.exit_code == 0:
            return None
        return Judgement("agent", f"the agent ended with exit code {seen.exit_code}", "exit_code")
