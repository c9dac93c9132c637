"""Defines the agent `qwen`: Qwen Code without a terminal, over OpenAI's or Anthropic's protocol. Pure.

Checked against 0.15.10. It ends with 0 and a success when its provider failed. It rewrites a repository's own settings
even where it does not read them, and takes variables from `.env` in spite of `--bare`: both are taken out of the clone.
"""

from squire_pipelines.agents.adapters.claude_events import StreamReader
from squire_pipelines.agents.adapters.program_agent import PLACEHOLDER_KEY, ProgramAgent, confined, off
from squire_pipelines.agents.adapters.protocol import AgentConfig, LaunchSpec, Marker, Parser, allow

# Of the variables in a file `.env`, `BASH_ENV` is a file that is run before each command.
_RESTORE = (".qwen/settings.json", ".qwen/.env", ".env")
_TAKEN_OUT = "taken out of the clone before the start"


class QwenAgent(ProgramAgent):
    """Qwen Code without a terminal, with the prompt as standard input."""

    name = "qwen"
    program = "qwen"
    label = "Qwen Code"
    example = "qwen3-coder-plus"
    protocols = ("openai", "anthropic")
    ends_after_last_word = True
    counts_exit_code = False
    permissions = (
        allow("tools", "*", "all of its own, without asking, since nobody is there (--yolo)"),
        *confined(commands="run_shell_command"),
        off("hooks, MCP servers, extensions, QWEN.md, skills", "--bare: nothing is run or read"),
        off(", ".join(_RESTORE), f"{_TAKEN_OUT}: it would rewrite or obey them in spite of --bare"),
    )

    def launch(self, config: AgentConfig) -> LaunchSpec:
        """Start one session, by the provider's protocol."""
        program = self.command(config)
        speaks_openai = config.protocol != "anthropic"
        kind = "openai" if speaks_openai else "anthropic"
        return LaunchSpec(
            argv=(
                *program,
                *("-m", config.model or ""),
                *("-o", "stream-json"),
                *("--auth-type", kind),
                "--yolo",
                "--bare",
            ),
            environment={
                f"{kind.upper()}_BASE_URL": f"{config.base_url}/v1" if speaks_openai else config.base_url,
                f"{kind.upper()}_API_KEY": PLACEHOLDER_KEY,
                "QWEN_HOME": f"{Marker.FILES}/qwen",
            },
            stdin=Marker.PROMPT,
            version=(*program, "--version"),
            exclude=(".qwen/settings.json.orig",),
            restore=_RESTORE,
        )

    def parser(self) -> Parser:
        """Read its stream of events, which has the form of Claude Code's."""
        return StreamReader().parser
