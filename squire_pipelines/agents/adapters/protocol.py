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

PROTOCOL = 2
"""The version of this protocol, which an agent names as its `protocol_version`."""
MODEL_PROTOCOLS = ("openai", "anthropic", "gemini")
"""What a program may speak to its model, by the gateway's names."""
MAX_FILES = 50
MAX_FILES_BYTES = 512 * 1024
MAX_PATHS = 50
MAX_SESSION_FILE_BYTES = 8 * 2**20
_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FILE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
# In HOME and in the clone names may begin with a dot; git's own folder is nobody's to take out.
_PART = r"(?!\.{1,2}(?:/|\Z))(?!(?i:\.git)(?:/|\Z))"
_HOME_NAME = re.compile(rf"{_PART}[A-Za-z0-9._-]+(?:/{_PART}[A-Za-z0-9._-]+)*")
# Beside it are the entrypoint's own, `result.json` and the like.
_SESSION_FILE_NAME = re.compile(r"session\.[a-z0-9]{1,10}")
_CLONE_PATTERN = re.compile(rf"{_PART}[A-Za-z0-9._*-]+(?:/{_PART}[A-Za-z0-9._*-]+)*")
# The entrypoint gives these their values, by which a run is confined and recognised.
_RESERVED = frozenset({"PATH", "HOME", "TMPDIR", "LD_PRELOAD", "LD_LIBRARY_PATH", "SQUIRE_ATTEMPT_ID"})


class Marker(StrEnum):
    """The marks that the entrypoint replaces in each argument, environment value and file of a `LaunchSpec`.

    `PROMPT` counts only as a whole argument, and anywhere in the text of standard input.
    """

    PROMPT = "@SQUIRE_PROMPT@"
    FILES = "@SQUIRE_FILES@"
    PORT = "@SQUIRE_PORT@"
    INPUTS = "@SQUIRE_IN@"
    OUTPUT = "@SQUIRE_OUT@"
    REPOSITORY = "@SQUIRE_REPO@"


GATEWAY_ROOT = f"http://127.0.0.1:{Marker.PORT}"
"""The gateway's address as the container sees it, without the path of a protocol's version."""


@dataclass(frozen=True, slots=True)
class Caps:
    """What an attempt may use at most; None is without a bound. The gateway and the supervisor hold them."""

    tokens: int | None = None
    usd: float | None = None
    wall_clock_s: float | None = None


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """What the settings say of the agent.

    Args:
        command: The setting `agent.command`; empty for a built-in program.
        model: The setting `agent.model`.
        options: The table `agent.options`.
        protocol: What the model's provider speaks, one of `MODEL_PROTOCOLS`; None for an agent without a model.
        base_url: The gateway's root, with a mark for its port. Programs that want an address with `/v1` get it added.
        caps: What the attempt may use at most.
    """

    command: tuple[str, ...] = ()
    model: str | None = None
    options: Mapping[str, JsonValue] = field(default_factory=lambda: MappingProxyType({}))
    protocol: str | None = None
    base_url: str = GATEWAY_ROOT
    caps: Caps = Caps()


Parser: TypeAlias = Callable[[str], Iterable[Entry]]


@dataclass(frozen=True, slots=True)
class SessionFile:
    """A file about the session that the program leaves, where it prints no events.

    Args:
        name: In the folder `Marker.OUTPUT`, where the program has to be told to write it.
        read: Returns the entries of its text, cleaned and redacted as lines of output are. It is called on the host
            once the program has ended, with at most `MAX_SESSION_FILE_BYTES`, and the text is the program's word.
    """

    name: str
    read: Parser


@dataclass(frozen=True, slots=True)
class LaunchSpec:
    """How the agent's program is started in the container, in its clone of the repository.

    Args:
        argv: The program and its arguments. Without a slash the program is looked for on the container's PATH.
        environment: Beside what every agent gets (PATH, HOME, git's identity, `SQUIRE_PROMPT_FILE`,
            `SQUIRE_TASK_FILE`, `SQUIRE_GATEWAY_URL`, `SQUIRE_SKILLS`). No secret: the gateway holds the key.
        files: Written before the start into a folder of the agent's (`Marker.FILES`): relative name → text.
        version: A command that prints the program's version; empty when there is none.
        stdin: What standard input holds, marks and `Marker.PROMPT` replaced: for prompts that are too long for an
            argument. None is an empty one.
        home: Files written into HOME before the start: relative name → text.
        exclude: What the program leaves in the clone that never belongs to the change: paths from its root, with `*`
            for what is no `/` and `**` for any folders. Everything below a match is left out too.
        restore: Paths of the clone that are taken out before the start, because the program would obey them, and that
            are in the change as they were before, whatever the agent made there.
        session_file: The file from which the transcript comes, for a program that prints no events.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    files: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    version: tuple[str, ...] = ()
    stdin: str | None = None
    home: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    exclude: tuple[str, ...] = ()
    restore: tuple[str, ...] = ()
    session_file: SessionFile | None = None

    def checked(self, agent: str) -> "LaunchSpec":
        """Return itself. Raises ConfigError, which names `agent`, where the entrypoint could not use it."""
        texts = (*self.files.values(), *self.home.values(), self.stdin or "")
        size = sum(len(text.encode()) for text in texts)
        wrong = [name for name in self.environment if not _ENVIRONMENT_NAME.fullmatch(name) or name in _RESERVED]
        misnamed = [
            *(name for name in self.files if not _FILE_NAME.fullmatch(name)),
            *(name for name in self.home if not _HOME_NAME.fullmatch(name)),
            *(path for path in self.exclude if not _CLONE_PATTERN.fullmatch(path) or not path.strip("*/")),
            *(path for path in self.restore if not _HOME_NAME.fullmatch(path)),
            *(
                [self.session_file.name]
                if self.session_file is not None and not _SESSION_FILE_NAME.fullmatch(self.session_file.name)
                else ()
            ),
        ]
        problems = {
            "its command line is empty": not self.argv or not all(isinstance(part, str) for part in self.argv),
            f"the environment variable {', '.join(wrong)} is not its to set": bool(wrong),
            f"{', '.join(misnamed)} is no relative file name": bool(misnamed),
            f"it has more than {MAX_FILES} files or {MAX_FILES_BYTES} bytes in them": len(texts) - 1 > MAX_FILES
            or size > MAX_FILES_BYTES,
            f"it excludes or restores more than {MAX_PATHS} paths": len(self.exclude) + len(self.restore) > MAX_PATHS,
        }
        for problem, holds in problems.items():
            if holds:
                raise ConfigError(
                    f"the agent {agent!r} cannot be started: {problem}", hint="only the agent's author can fix this"
                )
        return self

    def document(self) -> dict[str, Any]:
        """Return what `attempt.json` says of it: to an older worker image only what it knows."""
        known: dict[str, Any] = {
            "argv": list(self.argv),
            "environment": dict(self.environment),
            "files": dict(self.files),
            "version": list(self.version),
        }
        if not self.needs_new_worker:
            return known
        paths = {"exclude": list(self.exclude), "restore": list(self.restore)}
        return {**known, "stdin": self.stdin, "home": dict(self.home), **paths}

    @property
    def needs_new_worker(self) -> bool:
        """Whether it uses what worker images of the first protocol would leave out in silence."""
        return self.stdin is not None or bool(self.home or self.exclude or self.restore)


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
class GatewaySeen:
    """What the gateway saw of a session's calls to its model.

    Args:
        calls: Calls that reached the gateway, refused ones too.
        answers: Calls that the provider answered with content.
        failures: Calls that ended in an error of the provider's, or without a connection to it.
        empty_answers: Answers that ended well and had no content.
        last_error: What the last call failed for; None when it was answered.
        last_status: The provider's HTTP status at the last failure.
        user_fault: What the user has to change (a wrong key, an unknown model, no quota), and how the task goes on
            then, in sentences; None when nothing is.
        failing: Failures and answers without content since the last answer with content.
        final: The code with which every further call is refused, `provider_refused` or `provider_down`; None while
            calls are passed on.
        notices: Calls in which the agent was told that most of its budget is used.
    """

    calls: int = 0
    answers: int = 0
    failures: int = 0
    empty_answers: int = 0
    last_error: str | None = None
    last_status: int | None = None
    user_fault: str | None = None
    failing: int = 0
    final: str | None = None
    notices: int = 0


@dataclass(frozen=True, slots=True)
class SessionResult:
    """What is known when the program has ended by itself.

    `changed` says whether the clone differs from where it began; None when the worker could not tell. `gateway` is None
    where the agent had no gateway, or nothing is known of its calls.
    """

    totals: SessionTotals
    exit_code: int
    changed: bool | None
    gateway: GatewaySeen | None = None


@dataclass(frozen=True, slots=True)
class SessionFailure:
    """Why the session failed, and whose fault it is.

    Only a provider's makes another try sensible. `configuration` is what the user has to change first, so that the
    message says what.
    """

    fault: Literal["agent", "provider", "configuration"]
    message: str
    code: str


class Agent(Protocol):
    """A kind of agent. It has no state between attempts; a parser may have state within one."""

    name: str
    """As `agent.kind` names it: lower-case letters, digits, `-` and `_`."""
    protocol_version: int
    """The `PROTOCOL` that it was written for."""

    @property
    def protocols(self) -> tuple[str, ...]:
        """The model protocols that its program speaks, best first. An agent without one gets no socket at all."""
        ...

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
