"""Defines the agent `opencode`: its hardened configuration, and its NDJSON events as a transcript. Pure.

Its exit code misleads (0 after some errors), so events, exit code and change are judged together. Checked against 1.18.
It is a program of Bun's, which runs what a `bunfig.toml` where it starts preloads: that is taken out of the clone.
"""

import json
import re
from collections.abc import Iterable
from typing import Any

from squire_pipelines.agents.adapters.event_reader import EventReader
from squire_pipelines.agents.adapters.json_lines import Event, cost_of, count_of, moment_of, number_of, part_of, text_of
from squire_pipelines.agents.adapters.program_agent import PLACEHOLDER_KEY, ProgramAgent, off
from squire_pipelines.agents.adapters.protocol import (
    GATEWAY_ROOT,
    AgentConfig,
    LaunchSpec,
    Marker,
    Parser,
    Permission,
    allow,
    deny,
)
from squire_pipelines.agents.adapters.transcript import MAX_MESSAGE_CHARS, Entry

# OpenCode's permission keys, with everything that is not named denied; "ask" is never used, since nobody is there.
_PERMISSIONS = (
    deny("*", "*", "what is not named below, tools of later versions included"),
    allow("read", "*", "files of its clone"),
    allow("edit", "*", "files of its clone"),
    allow("glob", "*", "names of files in its clone"),
    allow("grep", "*", "text in its clone"),
    allow("list", "*", "folders of its clone"),
    allow("bash", "*", "whatever the image has, as an unprivileged user without a network"),
    deny("bash", "git push", "publishing is the host's, after its policy"),
    deny("bash", "git push *", "likewise"),
    deny("bash", "git remote *", "likewise"),
    deny("bash", "git config *", "git's identity and hooks are set by us"),
    deny("bash", "sudo *", "there is nobody else to become"),
    allow("todowrite", "*", "its own list of steps"),
    allow("todoread", "*", "likewise"),
    deny("external_directory", "*", "files outside of its clone"),
    allow("external_directory", f"{Marker.INPUTS}/skills/*", "the skills that the settings name"),
    allow("external_directory", "/tmp/*", "scratch"),  # noqa: S108 - the container's own
    deny("webfetch", "*", "there is no network"),
    deny("websearch", "*", "likewise"),
    deny("task", "*", "no agents of the agent's: one session, one transcript"),
    deny("skill", "*", "skills are files in the prompt, not OpenCode's own mechanism"),
    deny("question", "*", "nobody can answer"),
    deny("doom_loop", "*", "the same call three times in a row ends in an error"),
)
# A target repository can run code through OpenCode's project configuration and plugins: all of that is off.
_DISABLED = (
    "PROJECT_CONFIG",
    "AUTOUPDATE",
    "MODELS_FETCH",
    "DEFAULT_PLUGINS",
    "EXTERNAL_SKILLS",
    "CLAUDE_CODE",
    "LSP_DOWNLOAD",
    "SHARE",
)
_RESTORE = ("bunfig.toml",)
# Names of OpenCode's errors that are the agent's or its user's and not the model provider's.
_NOT_THE_PROVIDER = frozenset({"MessageAbortedError", "MessageOutputLengthError", "ContextOverflowError"})


def permission_config(permissions: tuple[Permission, ...] = _PERMISSIONS) -> dict[str, Any]:
    """Return the list as OpenCode's `permission` wants it; the last match wins, so the order is kept."""
    config: dict[str, Any] = {}
    for permission in permissions:
        verdict = "allow" if permission.allow else "deny"
        if permission.subject == "*":
            config["*"] = verdict
        else:
            config.setdefault(permission.subject, {})[permission.pattern] = verdict
    return {key: rules if key == "*" or set(rules) != {"*"} else rules["*"] for key, rules in config.items()}


def configuration(model: str, base_url: str = GATEWAY_ROOT) -> dict[str, Any]:
    """Return `opencode.json`: the one provider is the gateway, and nothing is fetched, shared or updated."""
    return {
        "$schema": "https://opencode.ai/config.json",
        "autoupdate": False,
        "share": "disabled",
        "snapshot": False,
        "lsp": False,
        "formatter": False,
        "plugin": [],
        "enabled_providers": ["squire"],
        "provider": {
            "squire": {
                "name": "Squire gateway",
                "npm": "@ai-sdk/openai-compatible",
                "options": {"baseURL": f"{base_url}/v1", "apiKey": PLACEHOLDER_KEY},
                "models": {model: {"name": model}},
            }
        },
        "permission": permission_config(),
        "model": f"squire/{model}",
        "small_model": f"squire/{model}",
    }


# Beside its events, on standard error.
_AUTO_REFUSED = re.compile(
    r"^\W*permission requested: (?P<tool>[\w-]{1,50}) \((?P<pattern>.{0,300})\); auto-rejecting\s*$"
)


class OpenCodeAgent(ProgramAgent):
    """OpenCode's `run`, with the model behind the gateway."""

    name = "opencode"
    program = "opencode"
    label = "OpenCode"
    example = "gpt-5-mini"
    protocols = ("openai",)
    ends_after_last_word = True
    permissions = (
        *_PERMISSIONS,
        off("opencode.json, .opencode, plugins, MCP servers", "OPENCODE_DISABLE_PROJECT_CONFIG: not read"),
        off("CLAUDE.md, .claude", "OPENCODE_DISABLE_CLAUDE_CODE: not read"),
        off(", ".join(_RESTORE), "taken out of the clone before the start: it would run what that preloads"),
    )

    def launch(self, config: AgentConfig) -> LaunchSpec:
        """Start one session without a terminal, with the prompt as standard input.

        The title is ours: a model would be asked for one, which is a third of the tokens of a short session.
        """
        program, model = self.command(config), config.model or ""
        return LaunchSpec(
            argv=(
                *program,
                *("run", "--format", "json"),
                *("--title", "squire"),
                *("-m", f"squire/{model}"),
            ),
            environment={
                **{f"OPENCODE_DISABLE_{name}": "1" for name in _DISABLED},
                "OPENCODE_CONFIG": f"{Marker.FILES}/opencode.json",
            },
            files={"opencode.json": json.dumps(configuration(model, config.base_url), indent=1)},
            stdin=Marker.PROMPT,
            version=(*program, "--version"),
            restore=_RESTORE,
        )

    def parser(self) -> Parser:
        """Read its events, one a line."""
        return _OpenCodeReader().parser


class _OpenCodeReader(EventReader):
    @property
    def parser(self) -> Parser:
        """Read events, and the lines by which it says that it refused a tool, of which it may print no event."""
        events = super().parser

        def parse(line: str) -> Iterable[Entry]:
            if (match := _AUTO_REFUSED.search(line)) is not None:
                error = f"permission requested for {match['pattern']}; refused, since nobody is there"
                return (self.tool(match["tool"], None, error, failed=True, refused=True),)
            return events(line)

        return parse

    def entries(self, event: Event) -> Iterable[Entry]:
        """Yield what an event says."""
        self.belongs_to(text_of(event, "sessionID"))
        milliseconds = number_of(event, "timestamp")
        self.at = moment_of(milliseconds / 1000 if milliseconds is not None else None)
        part = part_of(event, "part")
        match event.get("type"):
            case "step_start":
                yield self.note("the model was asked")
            case "step_finish":
                yield from self._answer(part)
            case "tool_use":
                yield self._tool(part)
            case "text":
                yield from self.says(text_of(part, "text"))
            case "error":
                error = part_of(event, "error")
                name = text_of(error, "name") or "UnknownError"
                message = text_of(part_of(error, "data"), "message") or text_of(error, "message")
                message = message or text_of(event, "error")
                yield self.failed(name, message, provider=name not in _NOT_THE_PROVIDER)

    def _answer(self, part: Event) -> Iterable[Entry]:
        tokens, cache, reason = part_of(part, "tokens"), part_of(part, "tokens", "cache"), text_of(part, "reason")
        yield self.step(
            input_tokens=count_of(tokens, "input"),
            output_tokens=count_of(tokens, "output"),
            reasoning_tokens=count_of(tokens, "reasoning"),
            cache_read_tokens=count_of(cache, "read"),
            cache_write_tokens=count_of(cache, "write"),
            cost_usd=cost_of(part, "cost"),
            reason=reason,
        )
        if reason == "unknown" and not count_of(tokens, "output"):
            # It takes an answer without content for the session's end, and ends with 0.
            yield self.failed("EmptyAnswer", "the answer had no content", provider=True)

    def _tool(self, part: Event) -> Entry:
        state = part_of(part, "state")
        began, ended = (number_of(part_of(state, "time"), name) for name in ("start", "end"))
        seconds = None
        if began is not None and ended is not None:
            seconds = min(max(0.0, round((ended - began) / 1000, 3)), 1e7)
        status = text_of(state, "status")
        failed = status == "error"
        return self.tool(
            text_of(part, "tool"),
            state.get("input"),
            state.get("error" if failed else "output"),
            failed=failed,
            status=status if status in {"completed", "error"} else "unknown",
            title=text_of(state, "title")[:MAX_MESSAGE_CHARS],
            seconds=seconds,
        )
