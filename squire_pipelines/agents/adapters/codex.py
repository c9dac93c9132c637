"""Defines the agent `codex`: Codex without a terminal, over OpenAI's responses. Pure.

Checked against 0.171.0. A repository stays untrusted, so that its own configuration, hooks and servers do not run.
"""

import json
from collections.abc import Iterable

from squire_pipelines.agents.adapters.event_reader import EventReader
from squire_pipelines.agents.adapters.json_lines import Event, count_of, part_of, parts_of, plain_text, text_of
from squire_pipelines.agents.adapters.program_agent import PLACEHOLDER_KEY, ProgramAgent, confined, off
from squire_pipelines.agents.adapters.protocol import AgentConfig, LaunchSpec, Marker, Parser, allow, deny
from squire_pipelines.agents.adapters.transcript import MAX_MESSAGE_CHARS, Entry

_KEY = "CODEX_PROVIDER_KEY"
_UNTRUSTED = "the project stays untrusted: not read"
# What is a call to a tool among the items of a turn, and the field that has its input.
_TOOLS = {
    "command_execution": "command",
    "file_change": "changes",
    "mcp_tool_call": "arguments",
    "web_search": "query",
}


def configuration(config: AgentConfig) -> str:
    """Return `config.toml`: the gateway as a provider of our own, which is asked by plain HTTP and not a websocket."""
    # JSON's texts are TOML's as well.
    return f"""\
model = {json.dumps(config.model or "")}
model_provider = "squire"
check_for_update_on_startup = false
project_doc_max_bytes = 0
web_search = "disabled"

[model_providers.squire]
name = "Squire gateway"
base_url = "{config.base_url}/v1"
wire_api = "responses"
env_key = "{_KEY}"
stream_max_retries = 2

[analytics]
enabled = false

[history]
persistence = "none"
"""


class CodexAgent(ProgramAgent):
    """Codex's `exec`, with the prompt as standard input."""

    name = "codex"
    program = "codex"
    label = "Codex"
    example = "gpt-5-codex"
    protocols = ("openai",)
    ends_after_last_word = True
    permissions = (
        allow("tools", "*", "all of its own, without asking and without its own sandbox: the container is one"),
        deny("tools", "web_search", 'web_search = "disabled": it runs at the provider'),
        *confined(commands="shell"),
        off(".codex/config.toml, .codex/hooks.json", _UNTRUSTED),
        off("AGENTS.md", "project_doc_max_bytes=0: not in the prompt"),
        off(".agents/skills", "skills.include_instructions=false: not in the prompt"),
    )

    def launch(self, config: AgentConfig) -> LaunchSpec:
        """Start one session that keeps nothing."""
        program = self.command(config)
        return LaunchSpec(
            argv=(
                *program,
                "exec",
                "--json",
                "--dangerously-bypass-approvals-and-sandbox",
                "--ephemeral",
                *("-c", "project_doc_max_bytes=0"),
                *("-c", "skills.include_instructions=false"),
                "-",
            ),
            environment={"CODEX_HOME": f"{Marker.FILES}/codex", _KEY: PLACEHOLDER_KEY},
            files={"codex/config.toml": configuration(config)},
            version=(*program, "--version"),
            stdin=Marker.PROMPT,
        )

    def parser(self) -> Parser:
        """Read its events."""
        return _CodexReader().parser


class _CodexReader(EventReader):
    """Reads one session, whose id only the first event has."""

    def entries(self, event: Event) -> Iterable[Entry]:
        """Yield what an event says. A plain `error` may be overcome: only a failed turn ends the session."""
        match event.get("type"):
            case "thread.started":
                self.belongs_to(text_of(event, "thread_id"))
                yield self.began()
            case "item.completed":
                yield from self._item(part_of(event, "item"))
            case "turn.completed":
                usage = part_of(event, "usage")
                cached = count_of(usage, "cached_input_tokens")
                yield self.step(
                    input_tokens=max(0, count_of(usage, "input_tokens") - cached),
                    cache_read_tokens=cached,
                    output_tokens=count_of(usage, "output_tokens"),
                    reasoning_tokens=count_of(usage, "reasoning_output_tokens"),
                    reason="the turn's usage",
                )
                yield self.ended()
            case "error":
                yield self.note(text_of(event, "message") or "an error")
            case "turn.failed":
                yield self.failed("turn_failed", text_of(part_of(event, "error"), "message"), provider=True)

    def _item(self, item: Event) -> Iterable[Entry]:
        kind = text_of(item, "type")
        if kind == "agent_message":
            yield from self.says(text_of(item, "text"))
        elif kind == "error":
            yield self.note(text_of(item, "message"))
        elif kind in _TOOLS:
            failed = text_of(item, "status") in {"failed", "declined"} or item.get("exit_code") not in (None, 0)
            output = text_of(item, "aggregated_output") or plain_text(part_of(item, "result").get("content"))
            error = text_of(part_of(item, "error"), "message")
            paths = ", ".join(text_of(change, "path") for change in parts_of(item, "changes"))
            yield self.tool(
                text_of(item, "tool") or kind,
                item.get(_TOOLS[kind]),
                (error or output) if failed else output,
                failed=failed,
                title=paths[:MAX_MESSAGE_CHARS],
            )
