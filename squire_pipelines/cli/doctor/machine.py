"""The checks of this machine: the interpreter, git, core dumps. Its disk and its ports have modules of their own."""

import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.diagnosis import Diagnosis
from squire_pipelines.domain.terminal_text import one_line
from squire_pipelines.health.machine_steps import install_step

MIN_GIT = (2, 39)  # Debian 12's, the oldest that the tests run on
_GIT_TIMEOUT_S = 10


def check_python(_context: CliContext) -> Iterator[Diagnosis]:
    """Check the interpreter."""
    if sys.prefix != sys.base_prefix:
        yield Diagnosis("python", "ok", f"{platform.python_version()} in a virtual environment")
    else:
        step = "install Squire into an environment of its own, for example with `make setup`"
        yield Diagnosis("python", "warn", f"{platform.python_version()} without a virtual environment", step)


def check_git(_context: CliContext) -> Iterator[Diagnosis]:
    """Check the git command, and the part of it with which the demo serves repositories."""
    try:
        text = _git("--version")
        folder = Path(_git("--exec-path").strip())
    except (OSError, subprocess.SubprocessError) as error:
        yield Diagnosis("git", "fail", f"git does not run: {one_line(str(error))}", install_step("git"))
        return
    step = install_step("git")
    numbers = re.search(r"(\d{1,9})\.(\d{1,9})", text)
    version = (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)
    if version < MIN_GIT:
        yield Diagnosis("git", "warn", one_line(text), f"{step}, version {MIN_GIT[0]}.{MIN_GIT[1]} or newer")
    elif not (folder / "git-http-backend").exists():
        yield Diagnosis("git", "warn", f"{one_line(text)}, without http-backend", f"{step}, all of it, for the demo")
    else:
        yield Diagnosis("git", "ok", one_line(text))


def _git(argument: str) -> str:
    done = subprocess.run(["git", argument], capture_output=True, text=True, timeout=_GIT_TIMEOUT_S, check=True)
    return done.stdout
