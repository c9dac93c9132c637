"""The checks of this machine: the interpreter, git, core dumps. Its disk and its ports have modules of their own."""

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.diagnosis import Diagnosis
from squire_pipelines.domain.terminal_text import one_line

MIN_GIT = (2, 39)  # Debian 12's, the oldest that the tests run on
_GIT_TIMEOUT_S = 10
_INSTALLERS = (
    ("apt-get", "apt-get install"),
    ("dnf", "dnf install"),
    ("apk", "apk add"),
    ("pacman", "pacman -S"),
    ("zypper", "zypper install"),
    ("brew", "brew install"),
)
_ENGINE_SCRIPT = Path(__file__).parents[3] / "scripts" / "engine.sh"
_CONTAINER_MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"))


def install_step(
    package: str, *, which: Callable[[str], str | None] = shutil.which, is_root: bool | None = None
) -> str:
    """Return the command that installs a package on this machine; in words where its package manager is not known.

    Args:
        package: Its name, which is the same for all package managers.
        which: Finds a program.
        is_root: Whether this process may install; by default by its user.
    """
    command = next((line for program, line in _INSTALLERS if which(program)), None)
    if command is None:
        return f"install {package}"
    may_install = os.geteuid() == 0 if is_root is None else is_root
    needs_root = not may_install and not command.startswith("brew")
    return f"run `{'sudo ' if needs_root else ''}{command} {package}`"


def engine_step(
    *, is_contained: bool, which: Callable[[str], str | None] = shutil.which, script: Path = _ENGINE_SCRIPT
) -> str:
    """Return how a container engine gets to answer on this machine.

    Args:
        is_contained: Whether this process is in a container.
        which: Finds a program.
        script: Squire's own for it, which a checkout has.
    """
    if is_contained:
        return "mount the socket of an engine into this container, or set DOCKER_HOST to one that it reaches"
    if which("docker") and which("systemctl"):
        return "run `sudo systemctl start docker`; where it runs already, add this user to the group `docker`"
    if which("apt-get") and script.is_file():
        return "run `make engine` in Squire's checkout"
    if which("brew"):
        return "install and start Docker Desktop, Colima (`brew install colima docker`) or Podman"
    package = "docker.io" if which("apt-get") else "moby-engine" if which("dnf") else "docker"
    return f"{install_step(package, which=which)}, and start it"


def in_container() -> bool:
    """Return whether this process is in a container, whose environment and clock are somebody else's to set."""
    return "KUBERNETES_SERVICE_HOST" in os.environ or any(path.exists() for path in _CONTAINER_MARKS)


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
