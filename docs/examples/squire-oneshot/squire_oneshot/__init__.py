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
from squire_pipelines.agents.adapters.transcript import Entry, ModelStep, SessionError, ToolCall
from squire_pipelines.errors import ConfigError

_MOST_TOKENS = 8000


class OneShot:
    """`kind = "oneshot"`, with `model` and `options = { file = "README.md" }`."""

    name = "oneshot"
    protocol_version = 2
    protocols: tuple[str, ...] = ("openai",)
    permissions: tuple[Permission, ...] = (
        allow("files", "the one that options.file names", "its text is replaced by the model's answer"),
        deny("commands", "*", "the program starts none"),
        allow("model", "one call", "through the gateway"),
    )

    def check(self, config: AgentConfig) -> None:
        """Raise ConfigError for settings that it cannot work with; Squire asks before it claims an attempt."""
        if not config.model or not isinstance(config.options.get("file"), str):
            raise ConfigError(
                "the agent oneshot needs agent.model and agent.options.file",
                hint='for example options = { file = "README.md" }',
            )

    def title(self, config: AgentConfig) -> str:
        """Return its name in the ledger and the pull request."""
        return f"oneshot:{config.model}"[:100]

    def launch(self, config: AgentConfig) -> LaunchSpec:
        """Send the program into the container as a file of the attempt: the image need not have it.

        It reads the prompt as standard input, which has no length to mind, and its settings in HOME. The clone's own
        settings, which the program would prefer, are taken out before it starts; what it leaves is never committed.
        """
        settings = {
            "url": f"{config.base_url}/v1/chat/completions",
            "model": config.model,
            "file": config.options["file"],
            "max_tokens": min(config.caps.tokens or _MOST_TOKENS, _MOST_TOKENS),
            "log": ".oneshot.log",
        }
        return LaunchSpec(
            argv=("python3", "-I", f"{Marker.FILES}/program.py"),
            files={"program.py": (files(__package__) / "program.py").read_text(encoding="utf-8")},
            version=("python3", "-I", f"{Marker.FILES}/program.py", "--version"),
            stdin=Marker.PROMPT,
            home={".config/oneshot.json": json.dumps(settings)},
            exclude=(".oneshot.log*",),
            restore=(".oneshot.json",),
        )

    def parser(self) -> Parser:
        """Read one JSON object a line, which the program prints; anything else is not its own."""
        return _parse

    def judge(self, result: SessionResult) -> SessionFailure | None:
        """Say whose fault it is that the model could not be asked.

        What the gateway saw is surer than what the program says: what the user has to change is not tried again.
        """
        seen = result.gateway
        if seen is not None and seen.user_fault is not None:
            return SessionFailure("configuration", f"oneshot: {seen.user_fault}", "provider_refused")
        if seen is not None and seen.empty_answers and not seen.answers:
            return SessionFailure("provider", "oneshot: the model answered nothing", "empty_answer")
        failure = result.totals.fatal_error
        if failure is not None:
            return SessionFailure(
                "provider" if failure.provider else "agent", f"oneshot: {failure.message}", failure.name
            )
        return None if result.exit_code == 0 else SessionFailure("agent", f"exit code {result.exit_code}", "exit_code")


def _parse(line: str) -> tuple[Entry, ...]:
    try:
        event = json.loads(line)
        match event["event"]:
            case "answer":
                return (ModelStep(input_tokens=event["input"], output_tokens=event["output"]),)
            case "wrote":
                return (ToolCall(tool="write", status="completed", input=str(event["file"])[:4000]),)
            case "failed":
                return (SessionError(name="ModelFailed", message=str(event["why"])[:500], provider=True),)
    except (ValueError, KeyError, TypeError, RecursionError):
        pass  # not an event of ours
    return ()
