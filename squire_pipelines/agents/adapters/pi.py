"""Defines the agent `pi`: pi without a terminal, over OpenAI's or Anthropic's protocol. Pure.

Checked against 0.73.1. It ends with 0 whatever happened. No flag switches the repository's `.pi/settings.json` off,
whose `shellCommandPrefix` is a command that runs with each of the agent's: it is taken out of the clone.
"""

import json
from collections.abc import Iterable

from squire_pipelines.agents.adapters.event_reader import EventReader
from squire_pipelines.agents.adapters.json_lines import Event, cost_of, count_of, part_of, parts_of, text_of
from squire_pipelines.agents.adapters.program_agent import PLACEHOLDER_KEY, ProgramAgent, confined, off
from squire_pipelines.agents.adapters.protocol import AgentConfig, LaunchSpec, Marker, Parser, allow
from squire_pipelines.agents.adapters.transcript import Entry

_SYSTEM = (
    "You are a coding agent at work in a clone of a git repository, which is your working directory. Read files before "
    "you change them, change them with your tools, and verify what you did with commands. Nobody can answer a question."
)
_END = "Be brief: say at the end what you changed and how you verified it."


class PiAgent(ProgramAgent):
    """pi's print mode, with the prompt as standard input."""

    name = "pi"
    program = "pi"
    label = "pi"
    example = "gpt-5-mini"
    protocols = ("openai", "anthropic")
    counts_exit_code = False
    permissions = (
        allow("tools", "read, bash, edit, write", "all of its own, without asking, since nobody is there"),
        *confined(commands="bash"),
        off(".pi/extensions, .pi/skills, .pi/prompts, .pi/themes", "-ne -ns -np --no-themes: not loaded"),
        off("AGENTS.md, CLAUDE.md", "-nc: not in the prompt"),
        off(".pi/SYSTEM.md, .pi/APPEND_SYSTEM.md", "--system-prompt, --append-system-prompt: ours instead"),
        off(".pi/settings.json", "taken out of the clone before the start: no flag switches it off"),
    )

    def launch(self, config: AgentConfig) -> LaunchSpec:
        """Start one session that keeps nothing, by the provider's protocol."""
        program, model = self.command(config), config.model or ""
        speaks_openai = config.protocol != "anthropic"
        provider = {
            "baseUrl": f"{config.base_url}/v1" if speaks_openai else config.base_url,
            "api": "openai-completions" if speaks_openai else "anthropic-messages",
            "apiKey": PLACEHOLDER_KEY,
            "models": [{"id": model}],
        }
        return LaunchSpec(
            argv=(
                *program,
                "-p",
                *("--mode", "json"),
                *("--provider", "squire"),
                *("--model", model),
                "--no-session",
                "--offline",
                *("-ne", "-ns", "-np", "--no-themes", "-nc"),
                *("--system-prompt", _SYSTEM),
                *("--append-system-prompt", _END),
            ),
            environment={"PI_CODING_AGENT_DIR": f"{Marker.FILES}/pi", "PI_OFFLINE": "1", "PI_TELEMETRY": "0"},
            files={"pi/models.json": json.dumps({"providers": {"squire": provider}}, indent=1)},
            version=(*program, "--version"),
            stdin=Marker.PROMPT,
            restore=(".pi/settings.json",),
        )

    def parser(self) -> Parser:
        """Read its events."""
        return _PiReader().parser


class _PiReader(EventReader):
    def entries(self, event: Event) -> Iterable[Entry]:
        """Yield what an event says; the messages that `turn_end` and `agent_end` repeat are left out."""
        match event.get("type"):
            case "session":
                self.belongs_to(text_of(event, "id"))
                yield self.began()
            case "message_end":
                message = part_of(event, "message")
                if message.get("role") == "assistant":
                    yield from self._message(message)
            case "tool_execution_start":
                self.tool_began(text_of(event, "toolCallId"), text_of(event, "toolName"), event.get("args"))
            case "tool_execution_end":
                output = part_of(event, "result").get("content")
                yield self.tool_ended(text_of(event, "toolCallId"), output, failed=event.get("isError") is True)
            case "auto_retry_end" if event.get("success") is False:
                yield self.failed("retries_failed", text_of(event, "finalError"), provider=True)

    def _message(self, message: Event) -> Iterable[Entry]:
        usage, reason = part_of(message, "usage"), text_of(message, "stopReason")
        yield self.step(
            input_tokens=count_of(usage, "input"),
            output_tokens=count_of(usage, "output"),
            cache_read_tokens=count_of(usage, "cacheRead"),
            cache_write_tokens=count_of(usage, "cacheWrite"),
            cost_usd=cost_of(part_of(usage, "cost"), "total"),
            reason=reason,
        )
        for block in parts_of(message, "content"):
            if block.get("type") == "text":
                yield from self.says(text_of(block, "text"))
        if reason in {"error", "aborted"}:
            yield self.failed(reason, text_of(message, "errorMessage"), provider=reason == "error")
