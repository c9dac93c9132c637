"""Defines the agent `opencode`: its hardened configuration, and its NDJSON events as a transcript. Pure.

Its exit code misleads (0 after some errors), so events, exit code and change are judged together. Checked against 1.18.
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from squire_pipelines.agents.adapters.json_lines import Event, failure, lines_parser, plain_text
from squire_pipelines.agents.adapters.program import PLACEHOLDER_KEY, ProgramAgent, off
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
from squire_pipelines.agents.adapters.transcript import (
    MAX_MESSAGE_CHARS,
    MAX_NAME_CHARS,
    Entry,
    ModelStep,
    ModelText,
    SessionNote,
    ToolCall,
    cut,
)

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


class OpenCodeAgent(ProgramAgent):
    """OpenCode's `run`, with the model behind the gateway."""

    name = "opencode"
    program = "opencode"
    label = "OpenCode"
    example = "gpt-5-mini"
    protocols = ("openai",)
    permissions = (
        *_PERMISSIONS,
        off("opencode.json, .opencode, plugins, MCP servers", "OPENCODE_DISABLE_PROJECT_CONFIG: not read"),
        off("CLAUDE.md, .claude", "OPENCODE_DISABLE_CLAUDE_CODE: not read"),
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
        )

    def parser(self) -> Parser:
        """Read its events, one a line."""
        return parse


class _Lenient(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Cache(_Lenient):
    read: int = 0
    write: int = 0


class _Tokens(_Lenient):
    input: int = 0
    output: int = 0
    reasoning: int = 0
    cache: _Cache = _Cache()


class _Time(_Lenient):
    start: float | None = None
    end: float | None = None


class _State(_Lenient):
    status: str = ""
    title: str | None = None
    input: Any = None
    output: Any = None
    error: Any = None
    time: _Time = _Time()


class _Part(_Lenient):
    tokens: _Tokens = _Tokens()
    cost: float = 0.0
    reason: str = ""
    tool: str = ""
    text: str = ""
    state: _State = _State()


class _Failure(_Lenient):
    name: str = "UnknownError"
    data: dict[str, Any] = Field(default_factory=dict)

    @property
    def message(self) -> str:
        text = self.data.get("message")
        return text if isinstance(text, str) else ""


class _Event(_Lenient):
    type: str
    timestamp: float | None = None
    session_id: str | None = Field(default=None, alias="sessionID")
    part: _Part = _Part()
    error: _Failure | None = None


def _entries(event: Event) -> Iterable[Entry]:
    checked = _Event.model_validate(event)
    entry = _entry(checked)
    if entry is None:
        return
    yield entry
    if isinstance(entry, ModelStep) and entry.reason == "unknown" and not entry.output_tokens:
        # It takes an answer without content for the session's end, and ends with 0.
        yield failure("EmptyAnswer", "the answer had no content", provider=True, at=entry.at, session=entry.session)


parse = lines_parser(_entries)
"""The entries of one event; none for a line that is no event, since the agent's commands print JSON too."""


def _entry(event: _Event) -> Entry | None:
    at = datetime.fromtimestamp(event.timestamp / 1000, UTC) if event.timestamp else None
    common: dict[str, Any] = {"at": at, "session": (event.session_id or "")[:MAX_NAME_CHARS] or None}
    part = event.part
    match event.type:
        case "step_finish":
            tokens = part.tokens
            return ModelStep(
                **common,
                input_tokens=tokens.input,
                output_tokens=tokens.output,
                reasoning_tokens=tokens.reasoning,
                cache_read_tokens=tokens.cache.read,
                cache_write_tokens=tokens.cache.write,
                cost_usd=part.cost,
                reason=part.reason[:MAX_NAME_CHARS],
            )
        case "tool_use":
            return _tool(common, part)
        case "text":
            return ModelText(**common, text=cut(part.text)) if part.text else None
        case "error":
            error = event.error or _Failure()
            return failure(error.name, error.message, provider=error.name not in _NOT_THE_PROVIDER, **common)
        case "step_start":
            return SessionNote(**common, text="the model was asked")
        case _:
            return None


def _tool(common: dict[str, Any], part: _Part) -> ToolCall:
    state = part.state
    seconds = None
    if state.time.start is not None and state.time.end is not None:
        seconds = max(0.0, round((state.time.end - state.time.start) / 1000, 3))
    return ToolCall(
        **common,
        tool=part.tool[:MAX_NAME_CHARS],
        status="completed" if state.status == "completed" else "error" if state.status == "error" else "unknown",
        title=(state.title or "")[:MAX_MESSAGE_CHARS],
        input=cut(plain_text(state.input)),
        output=cut(plain_text(state.output)),
        error=plain_text(state.error)[:MAX_MESSAGE_CHARS],
        seconds=seconds,
    )
