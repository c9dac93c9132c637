"""Defines the agent `copilot`: Copilot CLI without a terminal or a login, over OpenAI's or Anthropic's protocol. Pure.

Checked against 1.0.102. It would unpack itself into HOME at each start; in its image it has done so once. It trusts the
folder, and then runs the repository's hooks and servers, where COPILOT_ALLOW_ALL is "true": permissions come by its
flag instead. It blanks the key's text out of everything that it prints, names of fields too.
"""

from collections.abc import Iterable

from squire_pipelines.agents.adapters.event_reader import EventReader
from squire_pipelines.agents.adapters.json_lines import Event, count_of, part_of, text_of, time_of
from squire_pipelines.agents.adapters.program_agent import PLACEHOLDER_KEY, ProgramAgent, confined, off
from squire_pipelines.agents.adapters.protocol import AgentConfig, LaunchSpec, Marker, Parser, allow, deny
from squire_pipelines.agents.adapters.transcript import Entry

# Without its tools for skills and agents, the repository's are not in the prompt either.
_TOOLS = ("bash", "read_bash", "stop_bash", "list_bash", "view", "create", "edit", "grep", "glob")
_UNTRUSTED = "the folder is not trusted: not run"


class CopilotAgent(ProgramAgent):
    """Copilot without a terminal, with the prompt as standard input."""

    name = "copilot"
    program = "copilot"
    label = "Copilot"
    example = "gpt-5-mini"
    protocols = ("openai", "anthropic")
    permissions = (
        deny("tools", "*", "what is not named below is not offered to the model (--available-tools)"),
        *(allow("tools", tool, "without asking, since nobody is there") for tool in _TOOLS),
        deny("tools", "shell(git push)", "publishing is the host's, after its policy"),
        *confined(commands="bash"),
        off(".github/hooks, .mcp.json, .claude/settings.json", _UNTRUSTED),
        off("AGENTS.md, .github/copilot-instructions.md, CLAUDE.md", "--no-custom-instructions: not in the prompt"),
        off(
            ".github/skills, .agents/skills, .claude/skills, .github/agents, .claude/agents, .claude/commands",
            "--available-tools: not in the prompt without the tools for them",
        ),
    )

    def launch(self, config: AgentConfig) -> LaunchSpec:
        """Start one session, by the provider's protocol."""
        program = self.command(config)
        speaks_openai = config.protocol != "anthropic"
        return LaunchSpec(
            argv=(
                *program,
                *("--output-format", "json"),
                "--allow-all",
                "--no-ask-user",
                "--no-auto-update",
                "--no-custom-instructions",
                "--disable-builtin-mcps",
                f"--available-tools={','.join(_TOOLS)}",
                "--deny-tool=shell(git push)",
            ),
            environment={
                "COPILOT_PROVIDER_BASE_URL": f"{config.base_url}/v1" if speaks_openai else config.base_url,
                "COPILOT_PROVIDER_TYPE": "openai" if speaks_openai else "anthropic",
                **({"COPILOT_PROVIDER_WIRE_API": "completions"} if speaks_openai else {}),
                "COPILOT_PROVIDER_API_KEY": PLACEHOLDER_KEY,
                "COPILOT_MODEL": config.model or "",
                "COPILOT_OFFLINE": "true",
                "COPILOT_AUTO_UPDATE": "false",
                "COPILOT_HOME": f"{Marker.FILES}/copilot",
            },
            stdin=Marker.PROMPT,
            version=(*program, "--version"),
        )

    def parser(self) -> Parser:
        """Read its events."""
        return _CopilotReader().parser


class _CopilotReader(EventReader):
    def entries(self, event: Event) -> Iterable[Entry]:
        """Yield what an event says: its facts are in `data`, but for the last one's."""
        data, self.at = part_of(event, "data"), time_of(event)
        match event.get("type"):
            case "assistant.message":
                yield self.step(output_tokens=count_of(data, "outputTokens"))
                yield from self.says(text_of(data, "content"))
            case "tool.execution_start":
                self.tool_began(text_of(data, "toolCallId"), text_of(data, "toolName"), data.get("arguments"))
            case "tool.execution_complete":
                failed = data.get("success") is not True
                error, result = text_of(part_of(data, "error"), "message"), part_of(data, "result").get("content")
                yield self.tool_ended(text_of(data, "toolCallId"), error if failed else result, failed=failed)
            case "session.error":
                status = data.get("statusCode")
                name = f"{text_of(data, 'errorType') or 'error'}{f' {status}' if isinstance(status, int) else ''}"
                yield self.failed(name, text_of(data, "message"), provider=True)
