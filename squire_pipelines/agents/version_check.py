"""Starts an agent's image and asks its program for its version, without a network and without a task."""

from dataclasses import dataclass

import docker

from squire_pipelines.agents import preflight, worker_files
from squire_pipelines.agents.adapters.registry import find
from squire_pipelines.agents.agent_config import agent_config_of
from squire_pipelines.agents.failure_hints import build_command, other_version
from squire_pipelines.agents.probe import run_once
from squire_pipelines.agents.program_locks import tried_version
from squire_pipelines.sections.agents import AgentSettings

TIMEOUT_S = 120.0
_NOT_FOUND = 127
_MAX_VERSION_CHARS = 100
# Some programs print their version only to a terminal, or not at all: the image has recorded it.
SCRIPT = """
name=$1
shift
command -v "$1" >/dev/null 2>&1 || exit 127
text=$("$@" </dev/null 2>/dev/null) || exit "$?"
printf '%s\n' "$text" | head -n 1 | grep . || cat "/etc/squire/$name.version"
"""


@dataclass(frozen=True, slots=True)
class ProgramCheck:
    """What an agent's image said: the program's version, or what is wrong and what to do; no version for a command."""

    image: str
    version: str = ""
    problem: str = ""
    hint: str = ""

    @property
    def ok(self) -> bool:
        """Whether the agent can start in it."""
        return not self.problem


def check_program(client: docker.DockerClient, agent: AgentSettings, *, protocol: str | None = None) -> ProgramCheck:
    """Return what the agent's program says of itself in the agent's image.

    Args:
        client: The engine.
        agent: The settings.
        protocol: What the agent's provider speaks.

    Raises:
        ConfigError: The agent cannot start as the settings are, or the image is no worker image.
        ImageMissingError: The engine has no such image.
        EngineError: The engine does not answer, or the program does not end.
    """
    image = agent.worker_image
    program = find(agent.kind)
    config = agent_config_of(agent, protocol=protocol)
    program.check(config)
    preflight.check_engine(agent, client)
    words = program.launch(config).version
    if not words:
        return ProgramCheck(image)
    command = ["sh", "-c", SCRIPT, "check", agent.kind, *map(str, words)]
    seccomp = worker_files.seccomp_profile(agent.seccomp)
    code, text = run_once(
        client, image, agent.limits, command, seccomp=seccomp, runtime=agent.runtime, timeout_s=TIMEOUT_S
    )
    return judge_program(agent.kind, image, words[0], code, text)


def judge_program(kind: str, image: str, program: str, code: int, text: str) -> ProgramCheck:
    """Return what the exit code and the output of the question for its version say of an agent's program.

    Another version than the one that this Squire was tried with is a problem, since the events of a program and its
    flags change with it. Raises ConfigError when the installation lacks the program's lock.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if code == _NOT_FOUND:
        return ProgramCheck(
            image,
            problem=f"the image {image} has no program {program}",
            hint=f"run `{build_command(kind)}`, or name an image that has it in `image`",
        )
    if code != 0 or not lines:
        return ProgramCheck(
            image,
            problem=f"{program} in {image} does not say its version (exit code {code})",
            hint=f"build the image again: `{build_command(kind)}`",
        )
    version = lines[0][:_MAX_VERSION_CHARS]
    if other := other_version(version, tried_version(kind)):
        return ProgramCheck(
            image,
            version=version,
            problem=f"{program} in {image}: {other}",
            hint=f"build the image again: `{build_command(kind)}`; of another version the flags and events may differ",
        )
    return ProgramCheck(image, version=version)
