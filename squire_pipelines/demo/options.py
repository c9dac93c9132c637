"""The demo's options, and the settings that follow from them."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from squire_pipelines.errors import ConfigError

DEFAULT_ISSUE = "Apply the linter's safe fixes"
DEFAULT_COMMAND = "ruff check --fix --exit-zero ."


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """The options of one demo."""

    home: Path  # everything of the demo lies below it
    repository: Path | None = None  # a local git repository to try Squire on; None takes the samples
    issue: str = DEFAULT_ISSUE  # the title of the issue in that repository
    command: str = DEFAULT_COMMAND  # the command agent's shell line in that repository
    runner: str = "auto"  # what agents run in: auto, docker or local
    executor: str = "in_process"  # what Squire's own steps run on: in_process or docker
    stay: bool = False  # serve the forge afterwards; a finished demo of the same kind is served as it is
    fresh: bool = False  # start over even when an earlier demo was interrupted
    timeout_s: float = 120.0  # in which nothing happens


def config_text(
    options: DemoOptions, commands: Mapping[str, tuple[str, ...]], *, forge_port: int, receiver_port: int
) -> str:
    """Return the demo's `config.toml`, with the argv of each repository's command agent and two ports on loopback.

    Only addresses and a few times differ from settings for GitHub.
    """
    # A JSON string, and an array of them, is TOML too.
    agents = "".join(
        f'\n[repository."{name}".agent]\ncommand = {json.dumps(argv, ensure_ascii=False)}\n'
        for name, argv in commands.items()
    )
    return f"""\
# Written by `squire demo`. The same settings point at real repositories: see `squire init`.
repositories = {json.dumps(list(commands))}

[github]
api_url = "http://127.0.0.1:{forge_port}/api/v3"

[collection]
# Deliveries start collections; the schedule would only slow a short demo down.
schedule = "0 * * * *"

[planner]
kind = "rules"

[agent]
kind = "command"
runner = "{options.runner}"

[dispatch]
# A demo should not wait long after an interruption.
retry_base_s = 2
retry_cap_s = 10
# It shows all of its work at once.
max_new_pull_requests_per_hour = 1000
lease_s = {20 if options.executor == "in_process" else 60}

[warehouse]
# It ends when its end is published.
min_interval_s = 2

[follow]
# Its checks are there at once.
settling_s = 1

[pipeline]
executor = "{options.executor}"
# The forge listens on loopback, which step containers reach on the host's network only.
network = "host"
outcome_poll_s = 10
redelivery_s = 20

[webhooks]
port = {receiver_port}
{agents}"""


def shell_command(line: str) -> tuple[str, ...]:
    """Return the argv for a command line; one with shell syntax runs in a shell. Raises ConfigError."""
    if any(letter in line for letter in "|&;<>()$`\\*?[]#~\n"):
        return ("sh", "-c", line)
    try:
        argv = tuple(shlex.split(line))
    except ValueError as error:
        raise ConfigError(f"--command {line!r} cannot be read: {error}", hint="close the quotation") from error
    if not argv:
        raise ConfigError("--command names no program", hint=f"for example {DEFAULT_COMMAND!r}")
    return argv
