"""What is done about something on this machine: commands of its own package manager, engine and time service."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

_INSTALLERS = (
    ("apt-get", "apt-get install"),
    ("dnf", "dnf install"),
    ("apk", "apk add"),
    ("pacman", "pacman -S"),
    ("zypper", "zypper install"),
    ("brew", "brew install"),
)
_ENGINE_SCRIPT = Path(__file__).parents[2] / "scripts" / "engine.sh"
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


def clock_step(
    *, which: Callable[[str], str | None] = shutil.which, is_container: Callable[[], bool] = in_container
) -> str:
    """Return how the clock is set on this machine."""
    if is_container():
        return "set the clock of the machine that runs this container: containers have no clock of their own"
    if which("timedatectl"):
        return "run `timedatectl set-ntp true`"
    if which("chronyc"):
        return "run `chronyc makestep`"
    if which("sntp"):
        return "run `sudo sntp -sS time.apple.com`"
    return "set the clock, and have a time service keep it"
