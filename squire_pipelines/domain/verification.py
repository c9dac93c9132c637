"""Verification of a change by Squire itself: which commands are run, and what their results mean. Pure.

What a task asks for by kind (tests, lint, build) is a command of the repository's settings; what it spells out itself
is run as it stands. Neither is trusted: both run in a container of their own, see `agents.check_runs`.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

from pydantic import ConfigDict, Field

from squire_pipelines.domain.frozen import FrozenModel
from squire_pipelines.domain.tasks import Verification
from squire_pipelines.domain.untrusted_text import PrintableText

MAX_CHECKS = 20
MAX_COMMAND = 10_000
_SHOWN_PATHS = 5
MAX_SECONDS = 1e7
"""More than any command can take."""


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


class VerificationReport(FrozenModel):
    """What the verification showed, as the attempt's row keeps it: its checks, or `message` why there are none."""

    passed: bool
    message: str = ""
    checks: tuple[ReportedCheck, ...] = ()


def checks_for(
    verification: Verification, commands: Mapping[str, str | None]
) -> tuple[tuple[CheckCommand, ...], tuple[str, ...]]:
    """Return the commands to run for a task, and the names of those that it asks for and nobody has configured.

    Args:
        verification: The task's.
        commands: The repository's, by `tests`, `lint` and `build`.
    """
    asked = {"tests": verification.run_tests, "lint": verification.run_lint, "build": verification.run_build}
    names = [name for name, is_asked in asked.items() if is_asked]
    configured = [CheckCommand(name=name, command=command) for name in names if (command := commands.get(name))]
    own = [CheckCommand(name=text[:100], command=text) for text in verification.custom_checks if text.strip()]
    return tuple([*configured, *own][:MAX_CHECKS]), tuple(name for name in names if not commands.get(name))


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


def report(result: VerificationResult | None, planned: Iterable[CheckCommand], message: str) -> VerificationReport:
    """Return what came of the planned checks; they passed only when every one was run and passed."""
    by_name = {command.name: command for command in result.checks} if result else {}
    checks = []
    if result and result.setup and not result.setup.passed:
        checks.append(ReportedCheck(name="setup", passed=False, detail=result.setup.detail))
    for check in planned:
        ran = by_name.get(check.name)
        checks.append(
            ReportedCheck(name=check.name, passed=bool(ran and ran.passed), detail=ran.detail if ran else "not run")
        )
    passed = bool(checks) and all(check.passed for check in checks)
    return VerificationReport(passed=passed, message=message, checks=tuple(checks))
