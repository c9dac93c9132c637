"""The verification station: the repository's checks on the committed tree, not on the agent's word. No Dagster.

Dependencies are made on the *base* commit, in a container of their own, and kept by what decides on them: what an agent
wrote can so never be in what another task is given. Where the change itself touches a lockfile they are made anew from
the changed tree, and not kept.
"""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

from pydantic import JsonValue

from squire_pipelines.agents import workspace
from squire_pipelines.agents.check_runs import SETUP_FILE, CheckOrder, check_inputs, run_checks
from squire_pipelines.agents.model import AttemptInputs, RunResult
from squire_pipelines.agents.runners import AgentRunner
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.policy import matches
from squire_pipelines.domain.verification import Check, VerificationResult, checks_for, report, setup_key
from squire_pipelines.errors import ConfigError, LeaseLostError, SquireError
from squire_pipelines.execution import gateway_session
from squire_pipelines.execution.lease import LeasedAttempt
from squire_pipelines.gateway.call_log import CallLog
from squire_pipelines.gateway.server import Gateway, SocketDirectory
from squire_pipelines.home import Home
from squire_pipelines.publishing.bundle import VerifiedChange, verify_bundle
from squire_pipelines.publishing.git import GitLimits, run_git
from squire_pipelines.publishing.mirror import Mirror, mirror_path
from squire_pipelines.publishing.publish_change import limits_from
from squire_pipelines.sections import VerificationSettings

Heartbeat: TypeAlias = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Registries:
    """Where `setup` finds packages: the gateway's socket, and what package managers are told of it."""

    socket: Path | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


NO_REGISTRIES = Registries()


@contextlib.contextmanager
def registries_for(held: LeasedAttempt) -> Iterator[Registries]:
    """The way to the registries that the settings open for `setup`: reading only, and no model. Raises ConfigError."""
    settings, repository = held.settings, held.task.repository
    names = settings.verification_for(repository).egress
    chosen = settings.gateway_for(repository)
    if unknown := [name for name in names if name not in chosen.registries]:
        raise ConfigError(
            f"verification.egress names {unknown[0]!r}, which is not among gateway.registries",
            hint="docs/reference/gateway.md says how to name one",
        )
    if not names:
        yield NO_REGISTRIES
        return
    chosen = chosen.model_copy(update={"egress": names})
    log = CallLog(
        gateway_session.log_folder(settings, held.attempt.id) / "setup", held.attempt.id, max_bytes=chosen.max_log
    )
    with (
        contextlib.closing(log),
        SocketDirectory(gateway_session.socket_base(settings)) as socket,
        Gateway(
            socket, None, None, [], on_call=lambda _call: None, log=log, egress=gateway_session.egress_rules(chosen)
        ) as gateway,
    ):
        yield Registries(gateway.socket_path, gateway_session.egress_environment(chosen))


@dataclass(frozen=True, slots=True)
class VerificationContext:
    """What every container of one verification needs.

    Args:
        runner: Runs them.
        inputs: The attempt's, as its agent got them.
        change: The verified change, in a repository where no agent can write.
        rules: The repository's settings.
        home: Where dependencies are kept.
        heartbeat: Called about once a second; False asks to cancel.
        registries: The way to the registries that `setup` may read.
    """

    runner: AgentRunner
    inputs: AttemptInputs
    change: VerifiedChange
    rules: VerificationSettings
    home: Home
    heartbeat: Heartbeat
    registries: "Registries"

    def run(self, part: str, sha: str, order: CheckOrder) -> tuple[VerificationResult | None, RunResult, Path]:
        """One container on the commit `sha`; also its folder. Raises GitError, WorkspaceError, ConfigError."""
        ref = f"squire-{part}"
        way = self.registries if order.setup else NO_REGISTRIES
        inputs = check_inputs(self.inputs, order, base_sha=sha, base_ref=ref, part=part, environment=way.environment)
        if order.save:
            inputs = replace(inputs, limits=inputs.limits.model_copy(update={"output": self.rules.max_setup}))
        with tempfile.TemporaryDirectory(prefix="squire-checks-") as scratch:
            bundle = Path(scratch) / "tree.bundle"
            git_dir = self.change.git_dir
            run_git(["update-ref", f"refs/heads/{ref}", sha], git_dir=git_dir)
            run_git(
                ["bundle", "create", "--quiet", str(bundle), f"refs/heads/{ref}"],
                git_dir=git_dir,
                limits=GitLimits(timeout_s=600, max_memory=None),
            )
            found, done = run_checks(
                self.runner,
                inputs,
                bundle,
                order,
                heartbeat=self.heartbeat,
                gateway_socket=way.socket,
            )
        return found, done, inputs.attempt_dir


def checks_of(held: LeasedAttempt) -> tuple[tuple[Check, ...], tuple[str, ...]]:
    """What is to be run for this attempt's task, and what it asks for that nobody has configured."""
    rules = held.settings.verification_for(held.task.repository)
    if not rules.enabled:
        return (), ()
    commands = {"tests": rules.tests, "lint": rules.lint, "build": rules.build}
    return checks_for(held.task.spec.verification, commands)


def verify(held: LeasedAttempt, inputs: AttemptInputs, runner: AgentRunner) -> dict[str, JsonValue] | None:
    """Run the checks and keep what came of them in the attempt's row; None when there are none.

    A verification that cannot be made is one that has not passed: the pull request becomes a draft that says why. One
    that somebody cancels ends the attempt.

    Raises:
        BundleError: The agent's bundle is not what it must be.
        LeaseLostError: The attempt is another's.
    """
    planned, missing = checks_of(held)
    if not planned:
        return None
    folder = inputs.folder
    settings, repository = held.settings, held.task.repository
    change = verify_bundle(
        folder.keep / workspace.BUNDLE_FILE,
        Mirror(mirror_path(settings.home, repository), repository),
        branch=inputs.branch,
        base_sha=inputs.base_sha,
        scratch=folder.root / "verification",
        limits=limits_from(settings.publishing),
    )
    rules = settings.verification_for(repository)
    try:
        with registries_for(held) as registries:
            ground = VerificationContext(runner, inputs, change, rules, settings.home, held.go_on, registries)
            result, done, message = _run(ground, planned)
    except LeaseLostError:
        raise
    except SquireError as error:
        result, done, message = None, None, f"The checks could not be run: {error.message}."
    if done is not None and done.ending.cause is Cause.CANCELLED:
        held.stage(done.ending)
        return None
    if missing:
        message = f"{message} No command is configured for {', '.join(missing)}.".strip()
    found = report(result, planned, message)
    held.note(verification=found)
    return found


_Came: TypeAlias = tuple[VerificationResult | None, RunResult, str]


def _run(ground: VerificationContext, planned: tuple[Check, ...]) -> _Came:
    rules, change = ground.rules, ground.change
    order = CheckOrder(planned, timeout_s=rules.timeout_s, setup_timeout_s=rules.setup_timeout_s)
    if rules.setup is None:
        result, done, _ = ground.run("checks", change.head_sha, order)
        return result, done, _said(result, done)
    base, head = (_lockfiles(change.git_dir, sha, rules.lockfiles) for sha in (change.base_sha, change.head_sha))
    own = base != head
    sha = change.head_sha if own else change.base_sha
    key = setup_key(rules.setup, ground.inputs.image, head)
    kept = setups_folder(ground.home) / f"{key}.tar"
    if own or not kept.is_file():
        made, done, folder = ground.run(
            "setup", sha, CheckOrder(setup=rules.setup, save=True, setup_timeout_s=rules.setup_timeout_s)
        )
        if made is None or made.setup is None or not made.setup.passed:
            return made, done, _said(made, done) or "The dependencies could not be put in place."
        target = folder / "keep" / SETUP_FILE if own else kept
        target.parent.mkdir(parents=True, exist_ok=True)
        if workspace.take_output(folder / "out", SETUP_FILE, target, rules.max_setup) is None:
            return made, done, "The dependencies were made and not handed out."
        (folder / "out" / SETUP_FILE).unlink(missing_ok=True)
        kept = target
    if kept.parent == setups_folder(ground.home):
        os.utime(kept)
        forget_setups(ground.home, keep=max(1, rules.kept_setups))
    result, done, _ = ground.run(
        "checks", change.head_sha, CheckOrder(planned, restore=kept, timeout_s=rules.timeout_s)
    )
    return result, done, _said(result, done)


def _said(result: VerificationResult | None, done: RunResult) -> str:
    """Why there is less than a result for each check; empty when there is one."""
    if result is not None and done.ending.cause.is_success:
        return ""
    return f"The container of the checks ended with {done.ending.cause}: {done.ending.message}"


def _lockfiles(git_dir: Path, sha: str, patterns: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Path and blob of each file that decides on dependencies."""
    listed = run_git(["ls-tree", "-r", "-z", sha], git_dir=git_dir)
    found = []
    for entry in listed.split(b"\0"):
        head, _, name = entry.partition(b"\t")
        path = os.fsdecode(name)
        if head and matches(path, patterns) is not None:
            found.append((path, head.split()[2].decode()))
    return tuple(found)


def setups_folder(home: Home) -> Path:
    """Where sets of dependencies are kept."""
    return home.cache / "setups"


def forget_setups(home: Home, *, keep: int) -> int:
    """Remove all but the `keep` sets of dependencies that were used last; how many were removed."""
    folder = setups_folder(home)
    if not folder.is_dir():
        return 0
    ordered = sorted(folder.glob("*.tar"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in ordered[keep:]:
        path.unlink(missing_ok=True)
    return len(ordered[keep:])
