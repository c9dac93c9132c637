"""Defines the agent `command`: any command line of the user's own, without a model, judged by its exit code. Pure."""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from squire_pipelines.agents.adapters.protocol import (
    AgentConfig,
    LaunchSpec,
    Parser,
    Permission,
    SessionFailure,
    SessionResult,
    allow,
    deny,
)
from squire_pipelines.agents.adapters.transcript import Entry, ModelText
from squire_pipelines.errors import ConfigError

_VERDICT = re.compile(r"Remark \d{1,3}: (done|declined)\b")
_MAX_VERDICTS = 100

_PERMISSIONS = (
    allow("files", "/work, /home/agent, /tmp", "its clone and its scratch, in memory, within their sizes"),
    deny("files", "everything else", "the root is read-only, and nothing of the host's files is there"),
    allow("commands", "*", "whatever the image has, as an unprivileged user"),
    deny("model", "*", "no socket of the gateway is mounted"),
    deny("network", "*", "the container has none"),
)


class CommandAgent:
    """A command line; what it changes in its clone is the result."""

    name = "command"
    protocol_version = 2
    protocols: tuple[str, ...] = ()
    permissions: tuple[Permission, ...] = _PERMISSIONS

    def check(self, config: AgentConfig) -> None:
        """Require a command line. Raises ConfigError."""
        if not config.command:
            raise ConfigError(
                'agent.kind is "command", but agent.command is empty',
                hint="""set one, as with `squire config set agent.command '["ruff", "check", "--fix", "."]'`""",
            )

    def title(self, config: AgentConfig) -> str:
        """Return `command:PROGRAM`."""
        return f"command:{PurePosixPath(config.command[0]).name}"[:100]

    def launch(self, config: AgentConfig) -> LaunchSpec:
        """Return the command as it is."""
        return LaunchSpec(config.command)

    def parser(self) -> Parser:
        """Read of its output what it says of remarks alone: the rest follows no protocol.

        A line `Remark 1: done` or `Remark 1: declined: the reason` is answered to reviewers as an agent's word.
        """
        verdicts: list[str] = []

        def read(line: str) -> Iterable[Entry]:
            if _VERDICT.match(line) is None or len(verdicts) >= _MAX_VERDICTS:
                return ()
            verdicts.append(line)
            return (ModelText(text="\n".join(verdicts)),)

        return read

    def judge(self, result: SessionResult) -> SessionFailure | None:
        """Judge by the exit code alone."""
        if result.exit_code == 0:
            return None
        return SessionFailure("agent", f"the agent ended with exit code {result.exit_code}", "exit_code")
