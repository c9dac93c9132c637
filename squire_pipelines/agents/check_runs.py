"""Runs a repository's checks in a fresh container of the agent's kind: no gateway, no network, nothing to publish.

The runner is the agents' own, with all its limits and endings; the program that it starts is `verify.py` of the worker.
What is to be run, and what a result means, is in `domain.verification`.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from squire_pipelines.agents import attempt_files, worker_files
from squire_pipelines.agents.adapters.command import CommandAgent
from squire_pipelines.agents.adapters.protocol import LaunchSpec, Marker, SessionFailure, SessionResult
from squire_pipelines.agents.model import AttemptInputs, RunResult
from squire_pipelines.agents.runners import AgentRunner
from squire_pipelines.domain.verification import CheckCommand, VerificationResult
from squire_pipelines.errors import WorkspaceError

_SCRIPT, _PLAN = "verify.py", "checks.json"


@dataclass(frozen=True, slots=True)
class CheckPlan:
    """What one container does: put dependencies in place (restored, or by `setup`), keep them, run checks.

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


class CheckAgent(CommandAgent):
    """The "agent" that runs checks; `check_inputs` makes its launch, from no settings."""

    name = "checks"
    permissions = ()

    def judge(self, result: SessionResult) -> SessionFailure | None:
        """Take 0 and 1 for the program's own: a check that fails is a result, and no failure of the run."""
        if result.exit_code in {0, 1}:
            return None
        return SessionFailure("agent", f"the checks ended with exit code {result.exit_code}", "exit_code")


def check_inputs(
    agent: AttemptInputs,
    plan: CheckPlan,
    *,
    base_sha: str,
    base_ref: str,
    part: str,
    environment: Mapping[str, str] | None = None,
) -> AttemptInputs:
    """Return the inputs of a container that checks `base_sha`, from those of the attempt's agent.

    `part` (`checks`, `setup`) names its folder within the attempt's, and its container; `environment` is for its
    commands, such as where registries are. Raises ConfigError.
    """
    document = {
        "inbox": str(Marker.INPUTS),
        "out": str(Marker.OUTPUT),
        "setup": plan.setup,
        "restore": plan.restore is not None,
        "save": plan.save,
        "checks": [check.model_dump() for check in plan.checks],
        "timeout_s": plan.timeout_s,
        "setup_timeout_s": plan.setup_timeout_s,
    }
    script = worker_files.worker_file(f"squire_worker/{_SCRIPT}").read_text(encoding="utf-8")
    launch = LaunchSpec(
        ("python3", "-I", f"{Marker.FILES}/{_SCRIPT}"),
        environment=dict(environment or {}),
        files={_SCRIPT: script, _PLAN: json.dumps(document)},
    )
    checker = CheckAgent()
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
    plan: CheckPlan,
    *,
    heartbeat: Callable[[], bool],
    gateway_socket: Path | None = None,
) -> tuple[VerificationResult | None, RunResult]:
    """Run them; return their results (None when the program could not write any), and how the run ended.

    Args:
        runner: The attempt's.
        inputs: From `check_inputs`.
        bundle: Holds `inputs.base_ref` at `inputs.base_sha`.
        plan: What to do.
        heartbeat: See `AgentRunner.run`.
        gateway_socket: Leads to package registries, for `setup` alone.

    Raises:
        WorkspaceError: The folder cannot be written.
    """
    folder = attempt_files.write_inputs(inputs, bundle)
    if plan.restore is not None:
        attempt_files.add_input(folder, plan.restore, attempt_files.SETUP_FILE)
    run = runner.run(inputs, heartbeat=heartbeat, gateway_socket=gateway_socket)
    try:
        text = attempt_files.read_output(folder.out, attempt_files.CHECKS_FILE, attempt_files.MAX_CHECKS_BYTES)
        return VerificationResult.model_validate_json(text, strict=True), run
    except (FileNotFoundError, WorkspaceError, ValidationError):
        return None, run
