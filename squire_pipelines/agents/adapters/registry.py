"""Finds an agent by its name: those that are built in, and those that installed packages offer."""

import re
from collections.abc import Callable
from functools import cache
from importlib.metadata import version as package_version

from squire_pipelines.agent_names import installed, names
from squire_pipelines.agents.adapters.aider import AiderAgent
from squire_pipelines.agents.adapters.claude_code import ClaudeCodeAgent
from squire_pipelines.agents.adapters.codex import CodexAgent
from squire_pipelines.agents.adapters.command import CommandAgent
from squire_pipelines.agents.adapters.copilot import CopilotAgent
from squire_pipelines.agents.adapters.gemini import GeminiAgent
from squire_pipelines.agents.adapters.mini_swe_agent import MiniSweAgent
from squire_pipelines.agents.adapters.opencode import OpenCodeAgent
from squire_pipelines.agents.adapters.pi import PiAgent
from squire_pipelines.agents.adapters.protocol import MODEL_PROTOCOLS, PROTOCOL, Agent
from squire_pipelines.agents.adapters.qwen import QwenAgent
from squire_pipelines.errors import ConfigError

_PROGRAMS = (
    OpenCodeAgent,
    ClaudeCodeAgent,
    CodexAgent,
    CopilotAgent,
    GeminiAgent,
    PiAgent,
    QwenAgent,
    MiniSweAgent,
    AiderAgent,
)
_BUILT_IN: dict[str, Callable[[], Agent]] = {kind.name: kind for kind in (*_PROGRAMS, CommandAgent)}
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_MEMBERS = ("protocols", "permissions", "check", "title", "launch", "parser", "judge")


def provider_of(name: str) -> str:
    """Return where an agent comes from: `built in`, or its package and version."""
    if name in _BUILT_IN:
        return "built in"
    point = installed().get(name)
    if point is None or point.dist is None:
        return "not installed"
    return f"{point.dist.name} {package_version(point.dist.name)}"


@cache
def find(name: str) -> Agent:
    """Return the agent of that name.

    Raises:
        ConfigError: There is none, or its package cannot be loaded or does not fulfil the protocol.
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name]()
    point = installed().get(name)
    if point is None:
        raise ConfigError(
            f"there is no agent {name!r}", hint=f"agent.kind is one of {', '.join(names())}; others come with a package"
        )
    try:
        agent: Agent = point.load()()
    except Exception as error:  # a stranger's package may fail in any way, and this must say which one
        raise ConfigError(
            f"the agent {name!r} of {provider_of(name)} cannot be loaded: {type(error).__name__}: {error}",
            hint="fix or remove that package",
        ) from error
    _check_version(agent, name)
    missing = [member for member in _MEMBERS if not hasattr(agent, member)]
    is_named = getattr(agent, "name", None) == name and _NAME.fullmatch(name)
    unknown = [] if missing else [protocol for protocol in agent.protocols if protocol not in MODEL_PROTOCOLS]
    if missing or unknown or not is_named:
        reason = f"lacks {', '.join(missing)}" if missing else "calls itself by another name"
        if unknown:
            reason = f"speaks {', '.join(unknown)}, and there are {', '.join(MODEL_PROTOCOLS)}"
        raise ConfigError(
            f"the agent {name!r} of {provider_of(name)} does not fulfil the protocol: it {reason}",
            hint="docs/reference/agents.md has the protocol and an example",
        )
    return agent


def _check_version(agent: object, name: str) -> None:
    """Refuse an agent that was written for another version of the protocol. Raises ConfigError."""
    version = getattr(agent, "protocol_version", 1)
    if version == PROTOCOL:
        return
    if version == 1:
        hint = (
            "its author has to give the class protocol_version = 2, and protocols instead of needs_gateway "
            '(`protocols = ("openai",)`, or `()` for an agent without a model): see docs/reference/agents.md'
        )
    else:
        hint = "install a version of the package that fits this Squire, or another Squire"
    raise ConfigError(
        f"the agent {name!r} of {provider_of(name)} is written for version {version} of the agents' protocol, and this "
        f"Squire has version {PROTOCOL}",
        hint=hint,
    )
