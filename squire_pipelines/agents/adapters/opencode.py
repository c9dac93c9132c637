"""Defines the agent `opencode`: its hardened configuration, and its NDJSON events as a transcript. Pure.

Its exit code misleads (0 after some errors), so events, exit code and change are judged together. Checked against 1.18.
"""

import json
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

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
from squire_pipelines.agents.adapters.transcript import (
    MAX_MESSAGE_CHARS,
    MAX_NAME_CHARS,
    Entry,
    ModelStep,
    ModelText,
    SessionError,
    SessionNote,
    ToolCall,
    cut,
)
from squire_pipelines.errors import ConfigError

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


def configuration(model: str) -> dict[str, Any]:
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
                "options": {"baseURL": f"http://127.0.0.1:{Marker.PORT}/v1", "apiKey": "unused"},
                "models": {model: {"name": model}},
            }
        },
        "permission": permission_config(),
        "model": f"squire/{model}",
        "small_model": f"squire/{model}",
    }


class OpenCodeAgent:
    """OpenCode's `run`, with the model behind the gateway. `config.command`, if given, replaces the program."""

    name = "opencode"
    protocol_version = 2
    protocols: tuple[str, ...] = ("openai",)
    permissions = _PERMISSIONS

    def check(self, config: AgentConfig) -> None:
        """Require a model. Raises ConfigError."""
        if not config.model:
            raise ConfigError(
                'agent.kind is "opencode", but agent.model is not set',
                hint='name a model, or have a command do the work: kind = "command"',
            )

    def title(self, config: AgentConfig) -> str:
        """Return `opencode:MODEL`."""
        return f"opencode:{config.model}"[:100]

    def launch(self, config: AgentConfig) -> LaunchSpec:
        """Start one session without a terminal, with the prompt as one argument."""
        program = config.command or ("opencode",)
        model = config.model or ""
        return LaunchSpec(
            argv=(*program, "run", "--format", "json", "-m", f"squire/{model}", "--", Marker.PROMPT),
            environment={
                **{f"OPENCODE_DISABLE_{name}": "1" for name in _DISABLED},
                "OPENCODE_CONFIG": f"{Marker.FILES}/opencode.json",
            },
            files={"opencode.json": json.dumps(configuration(model), indent=1)},
            version=(*program, "--version"),
        )

    def parser(self) -> Parser:
        """Read its events, one a line."""
        return parse

    def judge(self, result: SessionResult) -> SessionFailure | None:
        """Judge by an error that ended the session, by the exit code, and by whether there was any step."""
        failure = result.totals.fatal_error
        if failure is not None:
            who = "the model's provider failed" if failure.provider else "OpenCode failed"
            return SessionFailure(
                "provider" if failure.provider else "agent", f"{who}: {failure.name}: {failure.message}", failure.name
            )
        if result.exit_code != 0:
            return SessionFailure("agent", f"the agent ended with exit code {result.exit_code}", "exit_code")
        if result.totals.steps == 0 and result.changed is False:
            return SessionFailure("agent", "OpenCode ended without asking its model anything", "no_steps")
        return None


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


def parse(line: str) -> tuple[Entry, ...]:
    """Return the entry of one event; none for a line that is no event, since the agent's commands print JSON too."""
    if not line.startswith("{"):
        return ()
    try:
        event = _Event.model_validate(json.loads(line))
        entry = _entry(event)
    except (ValueError, ValidationError, RecursionError, OverflowError):
        return ()
    return () if entry is None else (entry,)


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
            failure = event.error or _Failure()
            return SessionError(
                **common,
                name=failure.name[:MAX_NAME_CHARS],
                message=failure.message[:MAX_MESSAGE_CHARS],
                provider=failure.name not in _NOT_THE_PROVIDER,
            )
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
        input=cut(_as_text(state.input)),
        output=cut(_as_text(state.output)),
        error=_as_text(state.error)[:MAX_MESSAGE_CHARS],
        seconds=seconds,
    )


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
