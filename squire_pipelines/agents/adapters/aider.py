"""Defines the agent `aider`: aider's answer to one message, over OpenAI's or Anthropic's protocol. Pure.

Checked against 0.86.2. It prints no events and ends with 0 whatever happened: it is judged by what the gateway saw. No
flag keeps it from reading the clone's configuration, which names commands that it runs: that is taken out of the clone.
"""

from squire_pipelines.agents.adapters.program_agent import PLACEHOLDER_KEY, ProgramAgent, off
from squire_pipelines.agents.adapters.protocol import AgentConfig, LaunchSpec, Marker, Parser, allow, deny

_FILES = f"{Marker.FILES}/aider"
_RESTORE = (
    ".env",
    ".aider.conf.yml",
    ".aider.model.settings.yml",
    ".aider.model.metadata.json",
    ".aider.input.history",
    # Python objects, which run what they like when they are read.
    ".aider.tags.cache.v3",
    ".aider.tags.cache.v4",
)
# What it would download at its start: any content that is new enough, and not empty, is believed.
_PRICES = ".aider/caches/model_prices_and_context_window.json"


class AiderAgent(ProgramAgent):
    """aider with one message, which is a file of any length."""

    name = "aider"
    program = "aider"
    label = "aider"
    example = "gpt-5-mini"
    protocols = ("openai", "anthropic")
    counts_exit_code = False
    permissions = (
        allow("files", "*", "of its clone, without asking, since nobody is there (--yes-always)"),
        deny(
            "commands", "*", "it runs none: what its model suggests needs a person's yes (--no-suggest-shell-commands)"
        ),
        deny("network", "*", "the container has none"),
        allow("model", "*", "through the gateway, which has the key and counts"),
        off("setup.cfg, tox.ini, .flake8", "--no-auto-lint: no linter is run, which would load their plugins"),
        off(", ".join(_RESTORE), "taken out of the clone before the start: no flag switches them off"),
    )

    def launch(self, config: AgentConfig) -> LaunchSpec:
        """Start one message, by the provider's protocol; commits are the worker's."""
        program, speaks_openai = self.command(config), config.protocol != "anthropic"
        kind = "openai" if speaks_openai else "anthropic"
        model = f"{kind}/{config.model or ''}"
        return LaunchSpec(
            argv=(
                *program,
                *("--model", model),
                *("--weak-model", model),
                *("--message-file", f"{Marker.INPUTS}/prompt.md"),
                "--yes-always",
                *("--no-auto-commits", "--no-dirty-commits", "--no-gitignore"),
                *("--no-auto-lint", "--no-suggest-shell-commands", "--no-detect-urls"),
                *("--analytics-disable", "--no-check-update", "--no-show-release-notes", "--no-show-model-warnings"),
                *("--no-pretty", "--no-fancy-input"),
                *("--aiderignore", f"{_FILES}/ignore"),
                *("--chat-history-file", f"{_FILES}/chat.md"),
                *("--input-history-file", f"{_FILES}/input"),
            ),
            environment={
                f"{kind.upper()}_API_BASE": f"{config.base_url}/v1" if speaks_openai else config.base_url,
                f"{kind.upper()}_API_KEY": PLACEHOLDER_KEY,
                "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            },
            files={"aider/ignore": ""},
            home={_PRICES: '{"of": {}}'},
            version=(*program, "--version"),
            exclude=(".aider*",),
            restore=_RESTORE,
        )

    def parser(self) -> Parser:
        """Read nothing from its output, which is for people."""
        return lambda _line: ()
