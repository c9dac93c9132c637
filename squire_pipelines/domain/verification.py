"""Verification of a change by Squire itself: which commands are run, and what their results mean. Pure.

What a task asks for by kind (tests, lint, build) is a command of the repository's settings; what it spells out itself
is run as it stands. Neither is trusted: both run in a container of their own, see `agents.checking`.
"""

import hashlib
from collections.abc import Iterable, Mapping

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from squire_pipelines.domain.tasks import Verification

MAX_CHECKS = 20


class Check(BaseModel):
    """One command to run, by the shell, in the clone of the committed tree."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=100)
    command: str = Field(min_length=1, max_length=10_000)


class CheckResult(BaseModel):
    """What came of one command. `tail` are its last lines, `seconds` its time on the wall."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str = Field(max_length=100)
    exit_code: int
    timed_out: bool = False
    seconds: float = Field(ge=0, allow_inf_nan=False)
    tail: tuple[str, ...] = Field(default=(), max_length=50)

    @property
    def passed(self) -> bool:
        """Whether it ended by itself with 0."""
        return self.exit_code == 0 and not self.timed_out

    @property
    def detail(self) -> str:
        """For a reader: how it ended, and its last line where it failed."""
        if self.passed:
            return f"{self.seconds:.1f} s"
        how = f"timed out after {self.seconds:.0f} s" if self.timed_out else f"exit code {self.exit_code}"
        last = next((line for line in reversed(self.tail) if line.strip()), "")
        return f"{how}: {last.strip()}" if last else how


class VerificationResult(BaseModel):
    """What the program in the container wrote."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    setup: CheckResult | None = None
    checks: tuple[CheckResult, ...] = Field(default=(), max_length=MAX_CHECKS)


def checks_for(wanted: Verification, commands: Mapping[str, str | None]) -> tuple[tuple[Check, ...], tuple[str, ...]]:
    """The commands to run for a task, and the names of those that it asks for and nobody has configured.

    Args:
        wanted: The task's.
        commands: The repository's, by `tests`, `lint` and `build`.
    """
    asked = {"tests": wanted.run_tests, "lint": wanted.run_lint, "build": wanted.run_build}
    named = [Check(name=name, command=command) for name, on in asked.items() if on and (command := commands.get(name))]
    own = [Check(name=each[:100], command=each) for each in wanted.custom_checks if each.strip()]
    missing = tuple(name for name, on in asked.items() if on and not commands.get(name))
    return tuple([*named, *own][:MAX_CHECKS]), missing


def setup_key(setup: str, image: str, lockfiles: Iterable[tuple[str, str]]) -> str:
    """What tells one set of dependencies from another: the command, the image, and the lockfiles (path, blob id)."""
    text = "\n".join([setup, image, *(f"{path} {blob}" for path, blob in sorted(lockfiles))])
    return hashlib.sha256(text.encode()).hexdigest()


def report(result: VerificationResult | None, planned: Iterable[Check], message: str) -> dict[str, JsonValue]:
    """The result as the attempt's row keeps it: `{"passed", "message", "checks": [{"name", "passed", "detail"}]}`.

    It has passed only when every planned check was run and passed.
    """
    found = {each.name: each for each in result.checks} if result else {}
    checks: list[JsonValue] = []
    if result and result.setup and not result.setup.passed:
        checks.append({"name": "setup", "passed": False, "detail": result.setup.detail})
    for check in planned:
        each = found.get(check.name)
        detail = each.detail if each else "not run"
        checks.append({"name": check.name, "passed": bool(each and each.passed), "detail": detail})
    passed = bool(checks) and all(isinstance(each, dict) and each["passed"] for each in checks)
    return {"passed": passed, "message": message, "checks": checks}
