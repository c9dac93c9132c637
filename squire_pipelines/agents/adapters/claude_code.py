"""Defines the agent `claude-code`: Claude Code without a terminal, over Anthropic's protocol. Pure.

Checked against 2.1.197. `--setting-sources user --strict-mcp-config` leaves nothing of the repository's configuration;
its `--safe-mode` is not enough, since the repository's `apiKeyHelper` still runs.
"""

from squire_pipelines.agents.adapters.claude_events import StreamReader
from squire_pipelines.agents.adapters.program_agent import PLACEHOLDER_KEY, ProgramAgent, confined, off
from squire_pipelines.agents.adapters.protocol import AgentConfig, LaunchSpec, Marker, Parser, allow, deny

# No agents of the agent's, no schedules, no web: a tool that is not named is not there.
_TOOLS = ("Bash", "Edit", "Glob", "Grep", "Read", "TodoWrite", "Write")
_SOURCES = "--setting-sources user"
_RETRIES = 4


class ClaudeCodeAgent(ProgramAgent):
    """Claude Code's print mode, with the prompt as standard input."""

    name = "claude-code"
    program = "claude"
    label = "Claude Code"
    example = "claude-haiku-4-5"
    protocols = ("anthropic",)
    ends_after_last_word = True
    permissions = (
        deny("tools", "*", "what is not named below is not offered to the model (--tools)"),
        *(allow("tools", tool, "without asking, since nobody is there") for tool in _TOOLS),
        *confined(commands="Bash"),
        off(".claude/settings.json, settings.local.json", f"{_SOURCES}: hooks, apiKeyHelper and permissions"),
        off(".mcp.json", "--strict-mcp-config: no server is started"),
        off("CLAUDE.md, .claude/skills, .claude/agents, .claude/commands", f"{_SOURCES}: not in the prompt"),
    )

    def launch(self, config: AgentConfig) -> LaunchSpec:
        """Start one session that keeps nothing, with side calls to the same model."""
        program, model = self.command(config), config.model or ""
        return LaunchSpec(
            argv=(
                *program,
                "-p",
                *("--output-format", "stream-json", "--verbose"),
                *("--model", model),
                *("--permission-mode", "bypassPermissions"),
                *_SOURCES.split(),
                "--strict-mcp-config",
                "--no-session-persistence",
                f"--tools={','.join(_TOOLS)}",
            ),
            environment={
                "ANTHROPIC_BASE_URL": config.base_url,
                "ANTHROPIC_API_KEY": PLACEHOLDER_KEY,
                "ANTHROPIC_DEFAULT_HAIKU_MODEL": model,
                "CLAUDE_CONFIG_DIR": f"{Marker.FILES}/claude",
                "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
                "CLAUDE_CODE_MAX_RETRIES": str(_RETRIES),
                "DISABLE_AUTOUPDATER": "1",
                "IS_SANDBOX": "1",
            },
            version=(*program, "--version"),
            stdin=Marker.PROMPT,
        )

    def parser(self) -> Parser:
        """Read its stream of events."""
        return StreamReader().parser
