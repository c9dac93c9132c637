"""Running a repository's checks in a fresh container of the agent's kind: no gateway, no network, nothing to publish.

The runner is the agents' own, with all its limits and endings; the program that it starts is `verify.py` of the worker.
What is to be run, and what a result means, is in `domain.verification`.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from squire_pipelines.agents import files, workspace
from squire_pipelines.agents.adapters.protocol import (
    AgentConfig,
    LaunchSpec,
    Marker,
    Parser,
    Permission,
    SessionFailure,
    SessionResult,
)
from squire_pipelines.agents.model import AttemptInputs, RunResult
from squire_pipelines.agents.runners import AgentRunner
from squire_pipelines.domain.verification import CheckCommand, VerificationResult
from squire_pipelines.errors import WorkspaceError

RESULT_FILE = "verification.json"
SETUP_FILE = "setup.tar"
MAX_RESULT_BYTES = 512 * 1024
_SCRIPT, _ORDER = "verify.py", "checks.json"


@dataclass(frozen=True, slots=True)
class CheckOrder:
    """What one container is to do: put dependencies in place (restored, or by `setup`), keep them, run checks.

    Args:
        checks: The commands; may be empty when only dependencies are made.
        setup: The command that installs dependencies; None when there is nothing to install or they are restored.
        restore: Dependencies as an earlier container kept them.
        save: Whether to keep what `setup` made.
        timeout_s: For each check.
        setup_timeout_s: For `setup`.
    """

    checks: tuple[CheckCommand, ...] = ()
    setup: str | None = None
    restore: Path | None = None
    save: bool = False
    timeout_s: float = 900.0
    setup_timeout_s: float = 900.0


class Checker:
    """The "agent" that runs checks; see `kinds.protocol.Agent`."""

    name = "checks"
    needs_gateway = False
    permissions: tuple[Permission, ...] = ()

    def check(self, order: AgentConfig) -> None:
        """Nothing can be set."""

    def title(self, order: AgentConfig) -> str:  # noqa: ARG002 - the protocol's signature
        """It is in no book."""
        return self.name

    def launch(self, order: AgentConfig) -> LaunchSpec:  # noqa: ARG002 - the protocol's signature
        """Not from settings: see `check_inputs`."""
        return LaunchSpec(("true",))

    def parser(self) -> Parser:
        """Its output is the checks'."""
        return lambda _line: ()

    def judge(self, seen: SessionResult) -> SessionFailure | None:
        """A check that fails is a result, and no failure of the run: 0 and 1 are the program's own."""
        if seen.exit_code in {0, 1}:
            return None
        return SessionFailure("agent", f"the checks ended with exit code {seen.exit_code}", "exit_code")


def check_inputs(
    agent: AttemptInputs,
    order: CheckOrder,
    *,
    base_sha: str,
    base_ref: str,
    part: str,
    environment: Mapping[str, str] | None = None,
) -> AttemptInputs:
    """The inputs of a container that checks `base_sha`, beside those of the attempt's agent.

    `part` (`checks`, `setup`) names its folder within the attempt's, and its container; `environment` is what its
    commands are told, such as where registries are. Raises ConfigError.
    """
    document = {
        "inbox": str(Marker.INPUTS),
        "out": str(Marker.OUTPUT),
        "setup": order.setup,
        "restore": order.restore is not None,
        "save": order.save,
        "checks": [check.model_dump() for check in order.checks],
        "timeout_s": order.timeout_s,
        "setup_timeout_s": order.setup_timeout_s,
    }
    script = files.worker_file(f"squire_worker/{_SCRIPT}").read_text(encoding="utf-8")
    launch = LaunchSpec(
        ("python3", "-I", f"{Marker.FILES}/{_SCRIPT}"),
        environment=dict(environment or {}),
        files={_SCRIPT: script, _ORDER: json.dumps(document)},
    )
    checker = Checker()
    return replace(
        agent,
        base_sha=base_sha,
        base_ref=base_ref,
        branch=f"squire-{part}",
        agent=checker,
        launch=launch.checked(checker.name),
        prompt="Run the checks.",
        part=part,
        attempt_dir=agent.attempt_dir / part,
    )


def run_checks(
    runner: AgentRunner,
    inputs: AttemptInputs,
    bundle: Path,
    order: CheckOrder,
    *,
    heartbeat: Callable[[], bool],
    gateway_socket: Path | None = None,
) -> tuple[VerificationResult | None, RunResult]:
    """Run them to their end: what they showed (None when the program could not say), and how the run ended.

    Args:
        runner: The attempt's.
        inputs: From `check_inputs`.
        bundle: Holds `inputs.base_ref` at `inputs.base_sha`.
        order: What to do.
        heartbeat: See `AgentRunner.run`.
        gateway_socket: The way to package registries, for `setup` alone.

    Raises:
        WorkspaceError: The folder cannot be written.
    """
    folder = workspace.write_inputs(inputs, bundle)
    if order.restore is not None:
        workspace.add_input(folder, order.restore, SETUP_FILE)
    done = runner.run(inputs, heartbeat=heartbeat, gateway_socket=gateway_socket)
    try:
        text = workspace.read_output(folder.out, RESULT_FILE, MAX_RESULT_BYTES)
        return VerificationResult.model_validate_json(text), done
    except (FileNotFoundError, WorkspaceError, ValidationError):
        return None, done
