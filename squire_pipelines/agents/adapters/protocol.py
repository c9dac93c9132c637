"""Defines the protocol of an agent and the types that cross it: all that Squire relies on. No I/O.

An agent's code runs on the host and is trusted; the program that it starts runs in the container and is not. A package
of somebody else's offers an agent through the entry point group `squire.agents`: see docs/reference/agents.md.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Literal, Protocol, TypeAlias

from pydantic import JsonValue

from squire_pipelines.agents.adapters.transcript import Entry, SessionTotals
from squire_pipelines.errors import ConfigError

MAX_FILES = 50
MAX_FILES_BYTES = 512 * 1024
_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FILE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
# The entrypoint gives these their values, by which a run is confined and recognised.
_RESERVED = frozenset({"PATH", "HOME", "TMPDIR", "LD_PRELOAD", "LD_LIBRARY_PATH", "SQUIRE_ATTEMPT_ID"})


class Marker(StrEnum):
    """The marks that the entrypoint replaces in each argument, environment value and file of a `LaunchSpec`.

    `PROMPT` counts only as a whole argument.
    """

    PROMPT = "@SQUIRE_PROMPT@"
    FILES = "@SQUIRE_FILES@"
    PORT = "@SQUIRE_PORT@"
    INPUTS = "@SQUIRE_IN@"
    OUTPUT = "@SQUIRE_OUT@"
    REPOSITORY = "@SQUIRE_REPO@"


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """What the settings say of the agent: `agent.command`, `agent.model` and the table `agent.options`."""

    command: tuple[str, ...] = ()
    model: str | None = None
    options: Mapping[str, JsonValue] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class LaunchSpec:
    """How the agent's program is started in the container, in its clone of the repository.

    Args:
        argv: The program and its arguments. Without a slash the program is looked for on the container's PATH.
        environment: Beside what every agent gets (PATH, HOME, git's identity, `SQUIRE_PROMPT_FILE`,
            `SQUIRE_TASK_FILE`, `SQUIRE_GATEWAY_URL`, `SQUIRE_SKILLS`). No secret: the gateway holds the key.
        files: Written before the start into a folder of the agent's (`Marker.FILES`): relative name → text.
        version: A command that prints the program's version; empty when there is none.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    files: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    version: tuple[str, ...] = ()

    def checked(self, agent: str) -> "LaunchSpec":
        """Return itself. Raises ConfigError, which names `agent`, where the entrypoint could not use it."""
        size = sum(len(text.encode()) for text in self.files.values())
        wrong = [name for name in self.environment if not _ENVIRONMENT_NAME.fullmatch(name) or name in _RESERVED]
        misnamed = [name for name in self.files if not _FILE_NAME.fullmatch(name)]
        problems = {
            "its command line is empty": not self.argv or not all(isinstance(part, str) for part in self.argv),
            f"the environment variable {', '.join(wrong)} is not its to set": bool(wrong),
            f"{', '.join(misnamed)} is no relative file name": bool(misnamed),
            f"it has more than {MAX_FILES} files or {MAX_FILES_BYTES} bytes in them": len(self.files) > MAX_FILES
            or size > MAX_FILES_BYTES,
        }
        for problem, holds in problems.items():
            if holds:
                raise ConfigError(
                    f"the agent {agent!r} cannot be started: {problem}", hint="only the agent's author can fix this"
                )
        return self

    def document(self) -> dict[str, Any]:
        """Return what `attempt.json` says of it."""
        return {
            "argv": list(self.argv),
            "environment": dict(self.environment),
            "files": dict(self.files),
            "version": list(self.version),
        }


@dataclass(frozen=True, slots=True)
class Permission:
    """One line of what an agent may do. The last line that fits counts."""

    subject: str
    pattern: str
    allow: bool
    why: str = ""


def allow(subject: str, pattern: str, why: str) -> Permission:
    """Return a line that permits."""
    return Permission(subject, pattern, allow=True, why=why)


def deny(subject: str, pattern: str, why: str) -> Permission:
    """Return a line that forbids."""
    return Permission(subject, pattern, allow=False, why=why)


@dataclass(frozen=True, slots=True)
class SessionResult:
    """What is known when the program has ended by itself.

    `changed` says whether the clone differs from where it began; None when the worker could not tell.
    """

    totals: SessionTotals
    exit_code: int
    changed: bool | None


@dataclass(frozen=True, slots=True)
class SessionFailure:
    """Why the session failed, and whose fault it is: only a provider's makes another try sensible."""

    fault: Literal["agent", "provider"]
    message: str
    code: str


Parser: TypeAlias = Callable[[str], Iterable[Entry]]


class Agent(Protocol):
    """A kind of agent. It has no state between attempts; a parser may have state within one."""

    name: str
    """As `agent.kind` names it: lower-case letters, digits, `-` and `_`."""
    needs_gateway: bool
    """Whether it calls a model; without this it gets no socket at all."""

    @property
    def permissions(self) -> tuple[Permission, ...]:
        """All that it may do, for people to read; what it can enforce itself is also in its configuration."""
        ...

    def check(self, config: AgentConfig) -> None:
        """Refuse settings with which it cannot start. Raises ConfigError with a hint."""
        ...

    def title(self, config: AgentConfig) -> str:
        """Return who does the work, for the records: `opencode:MODEL`. At most 100 characters."""
        ...

    def launch(self, config: AgentConfig) -> LaunchSpec:
        """Return how to start it."""
        ...

    def parser(self) -> Parser:
        """Return a reader of one session: it takes each clean, redacted line of output and returns its entries.

        Anything in a line was written by the agent or by what it ran. A line that means nothing makes no entry.
        """
        ...

    def judge(self, result: SessionResult) -> SessionFailure | None:
        """Return why the session failed, by its events, the exit code and the change; None when it did not.

        Not asked when the run was stopped, killed or never started: those endings are surer than anything it says.
        """
        ...
