"""Defines the agent `gemini`: Gemini CLI without a terminal, over Gemini's own protocol. Pure.

Checked against 0.61.0. Its exit code is the provider's status modulo 256. The folder stays untrusted, so that the
repository's hooks and servers do not run; what it would put into the prompt has no flag.
"""

import json
from collections.abc import Iterable
from typing import Any

from squire_pipelines.agents.adapters.event_reader import EventReader
from squire_pipelines.agents.adapters.json_lines import Event, count_of, part_of, text_of, time_of
from squire_pipelines.agents.adapters.program_agent import PLACEHOLDER_KEY, ProgramAgent, confined, off
from squire_pipelines.agents.adapters.protocol import AgentConfig, LaunchSpec, Marker, Parser, allow, deny
from squire_pipelines.agents.adapters.transcript import MAX_TEXT_CHARS, Entry

_NO_TOOLS = ("google_web_search", "web_fetch", "save_memory")
_RESTORE = (
    ".env",
    "GEMINI.md",
    ".gemini/settings.json",
    ".gemini/.env",
    ".gemini/agents",
    ".gemini/commands",
    ".gemini/extensions",
    ".gemini/hooks",
    ".gemini/skills",
    ".agents/skills",
)

SETTINGS: dict[str, Any] = {
    "security": {"auth": {"selectedType": "gemini-api-key"}},
    "general": {"enableAutoUpdate": False, "enableAutoUpdateNotification": False, "checkpointing": {"enabled": False}},
    "privacy": {"usageStatisticsEnabled": False},
    "telemetry": {"enabled": False},
    "tools": {"exclude": list(_NO_TOOLS)},
    # It also reads GEMINI.md of folders whose files are used. No commit can have a file of this name.
    "context": {"fileName": ".git/no-context-file"},
}
"""The user's settings in the container."""


class GeminiAgent(ProgramAgent):
    """Gemini CLI without a terminal, with the prompt as standard input."""

    name = "gemini"
    program = "gemini"
    label = "Gemini CLI"
    example = "gemini-2.5-flash"
    protocols = ("gemini",)
    ends_after_last_word = True
    permissions = (
        allow("tools", "*", "all of its own but those below, without asking, since nobody is there (--yolo)"),
        *(deny("tools", tool, "there is no network, and nothing is kept (tools.exclude)") for tool in _NO_TOOLS),
        *confined(commands="run_shell_command"),
        off("hooks, MCP servers", "the folder is not trusted (--skip-trust asks nothing): not run"),
        off("**/GEMINI.md", "another name is set for such files, which no repository can have (context.fileName)"),
        off(", ".join(_RESTORE), "taken out of the clone before the start: no flag switches them all off"),
    )

    def launch(self, config: AgentConfig) -> LaunchSpec:
        """Start one session; the model is in the path of each call."""
        program = self.command(config)
        return LaunchSpec(
            argv=(
                *program,
                *("-m", config.model or ""),
                *("-o", "stream-json"),
                "--yolo",
                "--skip-trust",
            ),
            environment={
                "GEMINI_API_KEY": PLACEHOLDER_KEY,
                "GOOGLE_GEMINI_BASE_URL": config.base_url,
                # A file `.env` of the repository's sets no variable that is set.
                "GEMINI_CLI_TRUST_WORKSPACE": "false",
            },
            stdin=Marker.PROMPT,
            home={".gemini/settings.json": json.dumps(SETTINGS, indent=1)},
            version=(*program, "--version"),
            restore=_RESTORE,
        )

    def parser(self) -> Parser:
        """Read its events."""
        return _GeminiReader().parser


class _GeminiReader(EventReader):
    """Reads one session. What the model says comes in pieces, which are one text until anything else comes."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces = ""

    def entries(self, event: Event) -> Iterable[Entry]:
        """Yield what an event says."""
        self.at, kind = time_of(event), event.get("type")
        if kind == "message":
            if event.get("role") == "assistant" and len(self._pieces) <= MAX_TEXT_CHARS:
                self._pieces += text_of(event, "content")
            return
        text, self._pieces = self._pieces, ""
        yield from self.says(text)
        match kind:
            case "init":
                self.belongs_to(text_of(event, "session_id"))
                yield self.began(text_of(event, "model"))
            case "tool_use":
                self.tool_began(text_of(event, "tool_id"), text_of(event, "tool_name"), event.get("parameters"))
            case "tool_result":
                failed = event.get("status") != "success"
                output = text_of(part_of(event, "error"), "message") if failed else event.get("output")
                yield self.tool_ended(text_of(event, "tool_id"), output, failed=failed)
            case "error":
                yield self.note(text_of(event, "message") or "an error")
            case "result":
                yield from self._result(event)

    def _result(self, event: Event) -> Iterable[Entry]:
        stats = part_of(event, "stats")
        if count_of(stats, "total_tokens", "total"):
            cached = count_of(stats, "cached")
            fresh = count_of(stats, "input") if "input_tokens" in stats else max(0, count_of(stats, "input") - cached)
            yield self.step(
                input_tokens=fresh,
                cache_read_tokens=cached,
                output_tokens=count_of(stats, "output_tokens", "output"),
                reason="the session's usage",
            )
        if event.get("status") != "success":
            error = part_of(event, "error")
            yield self.failed(text_of(error, "type"), text_of(error, "message"), provider=True)
        else:
            yield self.ended()
