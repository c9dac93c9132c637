"""What the demo is asked to do, and the settings that follow from it."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from squire_pipelines.errors import ConfigError

DEFAULT_ISSUE = "Apply the linter's safe fixes"
DEFAULT_COMMAND = "ruff check --fix --exit-zero ."


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """One demo.

    Args:
        home: Everything of the demo lies below it.
        repository: A local git repository to try Squire on; None takes the samples.
        issue: The wish, as the title of an issue, when `repository` is given.
        command: The command agent's shell line, when `repository` is given.
        runner: `auto`, `docker` or `local`.
        executor: On what our own steps run: `in_process` or `docker`.
        fresh: Begin anew even when an earlier demo was cut off.
        stay: Keep the forge up afterwards until Ctrl-C.
        timeout_s: For the whole job, without set-up.
    """

    home: Path
    repository: Path | None = None
    issue: str = DEFAULT_ISSUE
    command: str = DEFAULT_COMMAND
    runner: str = "auto"
    executor: str = "in_process"
    fresh: bool = False
    stay: bool = False
    timeout_s: float = 170.0


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the demo's servers listen on loopback; the same after a restart, so that links stay good."""

    forge: int
    receiver: int


def config_text(options: DemoOptions, ports: Ports, commands: Mapping[str, tuple[str, ...]]) -> str:
    """`config.toml` of the demo: real settings, of which only addresses and a few times differ from GitHub's.

    Args:
        options: The demo.
        ports: Of its servers.
        commands: Repository to the argv of its command agent.
    """
    names = ", ".join(_quoted(name) for name in commands)
    head = f"""\
# Written by `squire demo`. The same settings point at real repositories: see `squire init`.
repositories = [{names}]

[github]
api_url = "http://127.0.0.1:{ports.forge}/api/v3"
web_url = "http://127.0.0.1:{ports.forge}"

[collection]
# Deliveries say when to look; the schedule would only take time away from a short demo.
schedule = "0 * * * *"

[planner]
kind = "rules"

[agent]
kind = "command"
runner = {_quoted(options.runner)}

[dispatch]
# A demo should not wait long when something is cut off in the middle.
retry_base_s = 2
retry_cap_s = 10
lease_s = {20 if options.executor == "in_process" else 60}
claim_deadline_s = 60

[pipeline]
executor = {_quoted(options.executor)}
# The forge listens on loopback, which step containers reach on the host's network only.
network = "host"
outcome_poll_s = 10
redelivery_s = 20

[webhooks]
port = {ports.receiver}
"""
    tables = (
        f"\n[repository.{_quoted(name)}.agent]\ncommand = [{', '.join(_quoted(word) for word in command)}]\n"
        for name, command in commands.items()
    )
    return head + "".join(tables)


def shell_command(line: str) -> tuple[str, ...]:
    """The argv for a command line as a person types it; one with shell syntax runs in a shell. Raises ConfigError."""
    if any(letter in line for letter in "|&;<>()$`\\*?[]#~\n"):
        return ("sh", "-c", line)
    try:
        argv = tuple(shlex.split(line))
    except ValueError as error:
        raise ConfigError(f"--command {line!r} cannot be read: {error}", hint="close the quotation") from error
    if not argv:
        raise ConfigError("--command names no program", hint=f"for example {DEFAULT_COMMAND!r}")
    return argv


def _quoted(text: str) -> str:
    # TOML's basic strings escape as JSON's do, for the letters that can occur here.
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'
