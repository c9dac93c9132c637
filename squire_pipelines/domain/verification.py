"""Verification of a change by Squire itself: which commands are run, and what their results mean. Pure.

The kinds of checks (tests, lint, build) are commands of the repository's settings, which run for every task unless the
task or the settings leave one out; what a task spells out itself is run as it stands. Neither is trusted: both run in a
container of their own, see `agents.check_runs`.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from squire_pipelines.domain.frozen import FrozenModel
from squire_pipelines.domain.tasks import Verification
from squire_pipelines.domain.untrusted_text import PrintableText

MAX_CHECKS = 20
MAX_COMMAND = 10_000
_SHOWN_PATHS = 5
MAX_SECONDS = 1e7
"""More than any command can take."""


CheckKind = Literal["tests", "lint", "build"]
CHECK_KINDS: tuple[CheckKind, ...] = ("tests", "lint", "build")
_LEFT_OUT_BY = {
    "task": "the task leaves it out",
    "settings": "`verification.always` does not name it, and the task does not ask for it",
    "off": "`verification.enabled` is false",
    "bound": f"a task has at most {MAX_CHECKS} checks",
}


class CheckCommand(FrozenModel):
    """One command to run, by the shell, in the clone of the committed tree."""

    name: str = Field(min_length=1, max_length=100)
    command: str = Field(min_length=1, max_length=MAX_COMMAND)


class CommandResult(FrozenModel):
    """How one command ended. `tail` holds its last lines, `seconds` its time on the wall."""

    model_config = ConfigDict(extra="ignore")

    name: str = Field(max_length=100)
    exit_code: int = Field(ge=0, le=255)
    timed_out: bool = False
    seconds: float = Field(ge=0, le=MAX_SECONDS, allow_inf_nan=False)
    tail: tuple[Annotated[PrintableText, Field(max_length=2000)], ...] = Field(default=(), max_length=50)

    @property
    def passed(self) -> bool:
        """Whether it ended by itself with 0."""
        return self.exit_code == 0 and not self.timed_out

    @property
    def detail(self) -> str:
        """How it ended, for a reader, and its last line where it failed."""
        if self.passed:
            return f"{self.seconds:.1f} s"
        how = f"timed out after {self.seconds:.0f} s" if self.timed_out else f"exit code {self.exit_code}"
        last = next((line for line in reversed(self.tail) if line.strip()), "")
        return f"{how}: {last.strip()}" if last else how


class VerificationResult(FrozenModel):
    """What the program in the container wrote, or what it ran wrote in its place: a claim, within bounds."""

    model_config = ConfigDict(extra="ignore")

    setup: CommandResult | None = None
    checks: tuple[CommandResult, ...] = Field(default=(), max_length=MAX_CHECKS)


class ReportedCheck(FrozenModel):
    """One check that was run on the committed tree; `detail` may quote the output of the agent's own tests."""

    name: str
    passed: bool
    detail: str = ""


class LeftOutCheck(FrozenModel):
    """A check with a command that was not run, by whose decision: the task's, the settings' or the bound's."""

    name: str
    by: Literal["task", "settings", "off", "bound"]

    @property
    def reason(self) -> str:
        """Why it was left out, for a reader."""
        return _LEFT_OUT_BY[self.by]


class VerificationReport(FrozenModel):
    """What the verification showed, as the attempt's row keeps it: its checks, or `message` why there are none.

    `passed` is None where nothing was run since all was left out.
    """

    passed: bool | None
    message: str = ""
    checks: tuple[ReportedCheck, ...] = ()
    left_out: tuple[LeftOutCheck, ...] = ()


@dataclass(frozen=True, slots=True)
class PlannedChecks:
    """The checks of one task.

    Args:
        commands: Those to run.
        missing: The kinds that the task asks for and nobody has configured; tests also where it says nothing of them.
        left_out: Those that have a command and are not run.
    """

    commands: tuple[CheckCommand, ...] = ()
    missing: tuple[str, ...] = ()
    left_out: tuple[LeftOutCheck, ...] = ()


def plan_checks(
    verification: Verification,
    commands: Mapping[str, str | None],
    *,
    always: Collection[str] = CHECK_KINDS,
    enabled: bool = True,
) -> PlannedChecks:
    """Return which checks are run for a task, and which are not.

    Args:
        verification: The task's.
        commands: The repository's, by `tests`, `lint` and `build`.
        always: The kinds that run for every task that does not leave them out; others run where a task asks for them.
        enabled: Whether anything is run at all.
    """
    own = [CheckCommand(name=text[:100], command=text) for text in verification.custom_checks if text.strip()]
    configured = {kind: CheckCommand(name=kind, command=text) for kind in CHECK_KINDS if (text := commands.get(kind))}
    if not enabled:
        return PlannedChecks(left_out=tuple(_left_out([*configured.values(), *own], "off")))
    asked = {"tests": verification.run_tests, "lint": verification.run_lint, "build": verification.run_build}
    planned = [*(check for kind, check in configured.items() if _is_run(asked[kind], kind in always)), *own]
    refused = [check for kind, check in configured.items() if asked[kind] is False]
    unasked = [check for kind, check in configured.items() if asked[kind] is None and kind not in always]
    expected = asked | {"tests": _is_run(verification.run_tests, "tests" in always)}
    return PlannedChecks(
        tuple(planned[:MAX_CHECKS]),
        tuple(kind for kind, is_expected in expected.items() if is_expected and kind not in configured),
        (
            *_left_out(refused, "task"),
            *_left_out(unasked, "settings"),
            *_left_out(planned[MAX_CHECKS:][:MAX_CHECKS], "bound"),
        ),
    )


def _is_run(asked: bool | None, by_default: bool) -> bool:  # noqa: FBT001 - two answers to one question
    return by_default if asked is None else asked


def _left_out(
    checks: Iterable[CheckCommand], by: Literal["task", "settings", "off", "bound"]
) -> Iterable[LeftOutCheck]:
    return (LeftOutCheck(name=check.name, by=by) for check in checks)


def asked_of_agent(verification: Verification, planned: PlannedChecks) -> Verification:
    """Return what an agent is asked to run: what the task says, and of what it does not say what Squire will run.

    Tests are asked for also where Squire runs none: an agent may know how. Only the settings' word keeps it from that.
    """
    names = {check.name for check in planned.commands}
    tests, lint, build = verification.run_tests, verification.run_lint, verification.run_build
    is_kept_from_tests = LeftOutCheck(name="tests", by="settings") in planned.left_out
    return verification.model_copy(
        update={
            "run_tests": not is_kept_from_tests if tests is None else tests,
            "run_lint": "lint" in names if lint is None else lint,
            "run_build": "build" in names if build is None else build,
        }
    )


def describe_left_out(left_out: Iterable[LeftOutCheck]) -> str:
    """Return one line on what was left out and why; empty where nothing was."""
    return "; ".join(f"{check.name} was left out: {check.reason}" for check in left_out)


def setup_key(setup: str, image: str, *, repository: str, base_sha: str, lockfiles: Iterable[tuple[str, str]]) -> str:
    """Return what tells one set of dependencies from another.

    That is the command, the image, the repository, the commit on which the command ran, and the lockfiles (path, blob
    id): what one repository made is never another's, and a command may read every file of the commit.
    """
    text = json.dumps([setup, image, repository, base_sha, sorted(lockfiles)])
    return hashlib.sha256(text.encode()).hexdigest()


def setup_refusal(changed_paths: Sequence[str]) -> str:
    """Return why the dependencies of a change are not installed: its set-up would read registries.

    Args:
        changed_paths: What it changes of the files that decide on dependencies; none when nothing is known of its base.
    """
    shown = ", ".join(f"`{path}`" for path in changed_paths[:_SHOWN_PATHS])
    more = f" and {len(changed_paths) - _SHOWN_PATHS} more" if len(changed_paths) > _SHOWN_PATHS else ""
    reason = (
        f"the change touches {shown}{more}" if changed_paths else "the change continues another that was not merged"
    )
    return (
        f"Not verified because {reason}: its set-up would send requests to registries from a tree that an agent wrote. "
        "verification.changed_setup_egress allows that."
    )


def report(result: VerificationResult | None, planned: PlannedChecks, message: str) -> VerificationReport:
    """Return what came of the planned checks; they passed only when every one was run and passed."""
    by_name = {command.name: command for command in result.checks} if result else {}
    checks = []
    if result and result.setup and not result.setup.passed:
        checks.append(ReportedCheck(name="setup", passed=False, detail=result.setup.detail))
    for check in planned.commands:
        ran = by_name.get(check.name)
        checks.append(
            ReportedCheck(name=check.name, passed=bool(ran and ran.passed), detail=ran.detail if ran else "not run")
        )
    passed = bool(checks) and all(check.passed for check in checks)
    return VerificationReport(passed=passed, message=message, checks=tuple(checks), left_out=planned.left_out)
