"""An agent for Squire, small enough to read: it asks its model once for the new text of one file.

This module runs on the host and is trusted. `program.py` runs in the container, with only Python and the gateway.
"""

import json
from importlib.resources import files

from squire_pipelines.agents.adapters.protocol import (
    AgentConfig,
    LaunchSpec,
    Marker,
    Parser,
    Permission,
    SessionFailure,
    SessionResult,
    allow,
    deny,
)
from squire_pipelines.agents.adapters.transcript import Entry, Problem, Step, ToolCall
from squire_pipelines.errors import ConfigError


class OneShot:
    """`kind = "oneshot"`, with `model` and `options = { file = "README.md" }`."""

    name = "oneshot"
    needs_gateway = True
    permissions: tuple[Permission, ...] = (
        allow("files", "the one that options.file names", "its text is replaced by the model's answer"),
        deny("commands", "*", "the program starts none"),
        allow("model", "one call", "through the gateway"),
    )

    def check(self, order: AgentConfig) -> None:
        """Raises ConfigError for settings that it cannot work with; Squire asks before anything is claimed."""
        if not order.model or not isinstance(order.options.get("file"), str):
            message = "the agent oneshot needs agent.model and agent.options.file"
            raise ConfigError(message, hint='for example options = { file = "README.md" }')

    def title(self, order: AgentConfig) -> str:
        """As the ledger and the pull request name it."""
        return f"oneshot:{order.model}"[:100]

    def launch(self, order: AgentConfig) -> LaunchSpec:
        """The program goes into the container as a file of the attempt: the image need not know it."""
        return LaunchSpec(
            argv=("python3", "-I", f"{Marker.FILES}/program.py"),
            environment={"ONESHOT_FILE": str(order.options["file"]), "ONESHOT_MODEL": str(order.model)},
            files={"program.py": (files(__package__) / "program.py").read_text(encoding="utf-8")},
        )

    def parser(self) -> Parser:
        """The program prints one JSON object a line; anything else is not its own."""
        return _parse

    def judge(self, seen: SessionResult) -> SessionFailure | None:
        """A model that could not be asked is the provider's fault, so that the task is tried again."""
        failure = seen.totals.fatal_error
        if failure is not None:
            return SessionFailure(
                "provider" if failure.provider else "agent", f"oneshot: {failure.message}", failure.name
            )
        return None if seen.exit_code == 0 else SessionFailure("agent", f"exit code {seen.exit_code}", "exit_code")


def _parse(line: str) -> tuple[Entry, ...]:
    try:
        event = json.loads(line)
        match event["event"]:
            case "answer":
                return (Step(input_tokens=event["input"], output_tokens=event["output"]),)
            case "wrote":
                return (ToolCall(tool="write", status="completed", input=str(event["file"])[:4000]),)
            case "failed":
                return (Problem(name="ModelFailed", message=str(event["why"])[:500], provider=True),)
    except (ValueError, KeyError, TypeError, RecursionError):
        pass  # not an event of ours
    return ()
