"""Verification of an attempt's change: the repository's checks run on the committed tree.

Dependencies are installed on the newest commit below the change that no agent wrote, in a container of their own, and
kept for that commit, so that nothing that an agent wrote reaches another task or a registry. Where the change itself
touches a lockfile, they are installed from the changed tree, without registries unless a setting allows it, and not
kept.
"""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

from squire_pipelines.agents import attempt_files
from squire_pipelines.agents.attempt_files import SETUP_FILE
from squire_pipelines.agents.check_runs import CheckPlan, check_inputs, run_checks
from squire_pipelines.agents.limits import with_output
from squire_pipelines.agents.model import AttemptInputs, RunResult
from squire_pipelines.agents.runners import AgentRunner
from squire_pipelines.domain.branches import is_own_branch
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.globs import matches
from squire_pipelines.domain.verification import (
    CheckCommand,
    PlannedChecks,
    VerificationReport,
    VerificationResult,
    report,
    setup_key,
    setup_refusal,
)
from squire_pipelines.errors import LeaseLostError, SquireError
from squire_pipelines.execution.gateway_session import egress_environment, egress_rules, socket_base
from squire_pipelines.execution.kept_work import bundle_branch_of
from squire_pipelines.execution.lease import LeasedAttempt
from squire_pipelines.execution.planned_checks import planned_checks
from squire_pipelines.execution.usage_recorder import call_log_folder
from squire_pipelines.gateway.call_log import CallLog
from squire_pipelines.gateway.server import Gateway, socket_directory
from squire_pipelines.gateway.wire import GatewayConfig
from squire_pipelines.home import Home, make_folder
from squire_pipelines.ledger import tasks
from squire_pipelines.ledger.attempts import AttemptFacts
from squire_pipelines.metrics import counting as metrics
from squire_pipelines.metrics import families
from squire_pipelines.publishing.bundle import VerifiedChange
from squire_pipelines.publishing.git import GitLimits, run_git
from squire_pipelines.publishing.inspection import inspect_bundle
from squire_pipelines.publishing.mirror import Mirror, mirror_path
from squire_pipelines.sections.tasks import VerificationSettings

_MAX_STACKED = 20
"""How many pull requests may build on each other until the branch below them counts as unknown."""

Heartbeat: TypeAlias = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class RegistryAccess:
    """How `setup` reaches packages: the gateway's socket, and the environment that package managers get."""

    socket: Path | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


NO_REGISTRIES = RegistryAccess()


@contextlib.contextmanager
def open_registries(leased: LeasedAttempt) -> Iterator[RegistryAccess]:
    """Open the registries that the settings allow for `setup`: reading only, and no model."""
    settings, repository = leased.settings, leased.task.repository
    names = settings.verification_for(repository).egress
    gateway_settings = settings.gateway_settings_for(repository)
    if not names:
        yield NO_REGISTRIES
        return
    gateway_settings = gateway_settings.model_copy(update={"egress": names})
    attempt_id = leased.attempt.id
    log = CallLog(call_log_folder(settings, attempt_id) / "setup", attempt_id, max_bytes=gateway_settings.max_log)
    with (
        contextlib.closing(log),
        socket_directory(socket_base(settings)) as socket,
        Gateway(socket, GatewayConfig(attempt_id, egress=egress_rules(gateway_settings)), log=log) as gateway,
    ):
        yield RegistryAccess(gateway.socket_path, egress_environment(gateway_settings))


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """What one container of a verification showed.

    Args:
        result: What its checks gave; None when it gave nothing that can be read.
        run: How the container ended.
        folder: Its attempt folder.
    """

    result: VerificationResult | None
    run: RunResult
    folder: Path

    @property
    def problem(self) -> str:
        """Why there is less than a result for each check; empty when there is one."""
        if self.result is not None and self.run.ending.cause.is_success:
            return ""
        return f"The container of the checks ended with {self.run.ending.cause}: {self.run.ending.message}"


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
        registries: The registries that `setup` may read.
        repository: The task's.
        reviewed_sha: The newest commit below the change that no agent wrote; None when it is not known.
    """

    runner: AgentRunner
    inputs: AttemptInputs
    change: VerifiedChange
    rules: VerificationSettings
    home: Home
    heartbeat: Heartbeat
    registries: RegistryAccess
    repository: str
    reviewed_sha: str | None

    def run(self, part: str, sha: str, order: CheckPlan) -> CheckOutcome:
        """Run one container on the commit `sha`. Raises GitError, WorkspaceError, ConfigError."""
        ref = f"squire-{part}"
        access = self.registries if order.setup else NO_REGISTRIES
        inputs = check_inputs(self.inputs, order, base_sha=sha, base_ref=ref, part=part, environment=access.environment)
        if order.save:
            inputs = replace(inputs, limits=with_output(inputs.limits, self.rules.max_setup))
        with tempfile.TemporaryDirectory(prefix="squire-checks-") as scratch:
            bundle = Path(scratch) / "tree.bundle"
            git_dir = self.change.git_dir
            run_git(["update-ref", f"refs/heads/{ref}", sha], git_dir=git_dir)
            run_git(
                ["bundle", "create", "--quiet", str(bundle), f"refs/heads/{ref}"],
                git_dir=git_dir,
                limits=GitLimits(timeout_s=600, max_memory=None),
            )
            result, run = run_checks(
                self.runner, inputs, bundle, order, heartbeat=self.heartbeat, gateway_socket=access.socket
            )
        return CheckOutcome(result, run, inputs.attempt_dir)


def note_left_out(leased: LeasedAttempt, planned: PlannedChecks) -> None:
    """Record that nothing is run, and what was left out; where nothing is configured there is nothing to record.

    Raises LeaseLostError.
    """
    if planned.left_out:
        leased.note(AttemptFacts(verification=VerificationReport(passed=None, left_out=planned.left_out)))


def verify(leased: LeasedAttempt, inputs: AttemptInputs, runner: AgentRunner) -> VerificationReport | None:
    """Run the checks and record what they showed in the attempt's row; None when there are none.

    A verification that cannot be made is one that has not passed: the pull request becomes a draft that says why. One
    that somebody cancels ends the attempt.

    Raises:
        BundleError: The agent's bundle is not what it must be.
        LeaseLostError: The attempt is another run's.
    """
    planned = planned_checks(leased)
    checks = planned.commands
    if not checks:
        return None
    folder = inputs.folder
    settings, repository = leased.settings, leased.task.repository
    mirror = Mirror(mirror_path(settings.home, repository), repository)
    change = inspect_bundle(
        folder.keep / attempt_files.BUNDLE_FILE,
        mirror,
        branch=bundle_branch_of(leased),
        base_sha=inputs.base_sha,
        scratch=folder.root / "verification",
        settings=settings.publishing,
    )
    rules = settings.verification_for(repository)
    try:
        with open_registries(leased) as registries:
            reviewed_sha = _reviewed_sha(leased, mirror, inputs.base_sha)
            context = VerificationContext(
                runner, inputs, change, rules, settings.home, leased.go_on, registries, repository, reviewed_sha
            )
            with leased.ledger.write() as tx:
                leased.audit(tx, "container.started", purpose="checks", checks=[check.name for check in checks])
            if runner.is_sandbox:
                metrics.count(families.CONTAINERS_STARTED, "checks")
            check_run, message = _run(context, checks)
    except LeaseLostError:
        raise
    except SquireError as error:
        check_run, message = None, f"The checks could not be run: {error.message}."
    if check_run is not None and check_run.run.ending.cause is Cause.CANCELLED:
        with leased.ledger.write() as tx:
            leased.audit(tx, "container.stopped", purpose="checks", cause=check_run.run.ending.cause)
        leased.stage(check_run.run.ending)
        return None
    if planned.missing:
        message = f"{message} No command is configured for {', '.join(planned.missing)}.".strip()
    outcome = report(check_run.result if check_run else None, planned, message)
    leased.note(AttemptFacts(verification=outcome), "container.stopped", purpose="checks", passed=outcome.passed)
    return outcome


def _reviewed_sha(leased: LeasedAttempt, mirror: Mirror, base_sha: str) -> str | None:
    """Return `base_sha`, or where its history left the branch that a person keeps if it is a task's own branch.

    A task that adds to a pull request begins at commits of an agent, which nobody has merged. None when the branch on
    which the pull request builds is not known any more. Raises GitError.
    """
    repository, branch = leased.task.repository, leased.task.base_branch
    prefix = leased.settings.publishing.branch_prefix
    with leased.ledger.read() as tx:
        for _ in range(_MAX_STACKED):
            owner = tasks.by_branch(tx, repository, branch)
            if owner is None:
                break
            branch = owner.base_branch
    if branch == leased.task.base_branch:
        return None if is_own_branch(branch, prefix) else base_sha
    if is_own_branch(branch, prefix) or branch not in mirror.branches():
        return None
    common = run_git(["merge-base", base_sha, mirror.resolve(branch)], git_dir=mirror.path, ok_codes=(0, 1))
    return common.decode().strip() or None


def _run(context: VerificationContext, checks: tuple[CheckCommand, ...]) -> tuple[CheckOutcome | None, str]:
    """Return what the last container showed, and why there is less than a result for each check."""
    rules, change = context.rules, context.change
    if not rules.setup:
        order = CheckPlan(checks, timeout_s=rules.timeout_s, setup_timeout_s=rules.setup_timeout_s)
        check_run = context.run("checks", change.head_sha, order)
        return check_run, check_run.problem
    tree = _setup_tree(context)
    if not tree.is_reviewed and rules.egress and not rules.changed_setup_egress:
        return None, setup_refusal(tree.changed_paths)
    dependencies, failed = _dependencies(context, rules.setup, tree)
    if failed is not None:
        return failed, failed.problem or "The dependencies could not be installed."
    order = CheckPlan(checks, restore=dependencies, timeout_s=rules.timeout_s)
    try:
        check_run = context.run("checks", change.head_sha, order)
    finally:
        if dependencies is not None:
            dependencies.unlink(missing_ok=True)
        forget_setups(context.home, keep=rules.kept_setups)
    return check_run, check_run.problem


@dataclass(frozen=True, slots=True)
class SetupTree:
    """The commit on which dependencies are installed.

    Args:
        sha: The commit.
        is_reviewed: Whether no agent wrote any of it that nobody has merged.
        lockfiles: Path and blob of each file that decides on dependencies.
        changed_paths: Those of the lockfiles that differ from the reviewed commit's.
    """

    sha: str
    is_reviewed: bool
    lockfiles: tuple[tuple[str, str], ...]
    changed_paths: tuple[str, ...] = ()


def _setup_tree(context: VerificationContext) -> SetupTree:
    """Return the reviewed commit when the change leaves the lockfiles as they are there, else the change's own."""
    git_dir, patterns, head_sha = context.change.git_dir, context.rules.lockfiles, context.change.head_sha
    head = _lockfiles(git_dir, head_sha, patterns)
    if context.reviewed_sha is None:
        return SetupTree(head_sha, is_reviewed=False, lockfiles=head)
    base = _lockfiles(git_dir, context.reviewed_sha, patterns)
    if base == head:
        return SetupTree(context.reviewed_sha, is_reviewed=True, lockfiles=base)
    paths = sorted({path for path, _ in set(base) ^ set(head)})
    return SetupTree(head_sha, is_reviewed=False, lockfiles=head, changed_paths=tuple(paths))


def _dependencies(context: VerificationContext, setup: str, tree: SetupTree) -> tuple[Path | None, CheckOutcome | None]:
    """Return the archive of the installed dependencies, or the container that did not hand one out.

    The archive is this attempt's own name for the file, since another attempt may forget the kept one at any moment.
    """
    rules, inputs = context.rules, context.inputs
    key = setup_key(setup, inputs.image, repository=context.repository, base_sha=tree.sha, lockfiles=tree.lockfiles)
    kept = context.home.setups / f"{key}.tar"
    archive = inputs.attempt_dir / SETUP_FILE
    if tree.is_reviewed and _use_kept(kept, archive):
        return archive, None
    order = CheckPlan(setup=setup, save=True, setup_timeout_s=rules.setup_timeout_s)
    setup_run = context.run("setup", tree.sha, order)
    result = setup_run.result
    if result is None or result.setup is None or not result.setup.passed:
        return None, setup_run
    if attempt_files.take_output(setup_run.folder / "out", SETUP_FILE, archive, rules.max_setup) is None:
        return None, setup_run
    (setup_run.folder / "out" / SETUP_FILE).unlink(missing_ok=True)
    if tree.is_reviewed:
        make_folder(kept.parent)
        with tempfile.TemporaryDirectory(dir=kept.parent, prefix=".") as scratch:
            attempt_files.link_or_copy(archive, Path(scratch) / SETUP_FILE)
            (Path(scratch) / SETUP_FILE).replace(kept)
    return archive, None


def _use_kept(kept: Path, archive: Path) -> bool:
    """Give kept dependencies the name `archive` too; return False when there are none, or not any more."""
    try:
        os.utime(kept)  # used last: the longest unused goes first
        attempt_files.link_or_copy(kept, archive)
    except FileNotFoundError:
        return False
    return True


def _lockfiles(git_dir: Path, sha: str, patterns: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Return path and blob of each file that decides on dependencies."""
    listing = run_git(["ls-tree", "-r", "-z", sha], git_dir=git_dir)
    lockfiles = []
    for entry in listing.split(b"\0"):
        head, _, name = entry.partition(b"\t")
        path = os.fsdecode(name)
        if head and matches(path, patterns) is not None:
            lockfiles.append((path, head.split()[2].decode()))
    return tuple(lockfiles)


def forget_setups(home: Home, *, keep: int) -> int:
    """Remove all but the `keep` archives of dependencies that were used last; return how many were removed."""
    last_used = {}
    for path in home.setups.glob("*.tar"):
        with contextlib.suppress(FileNotFoundError):  # another attempt forgot it
            last_used[path] = path.stat().st_mtime
    oldest = sorted(last_used, key=lambda path: last_used[path], reverse=True)[keep:]
    for path in oldest:
        path.unlink(missing_ok=True)
    return len(oldest)
