"""The demo's folder: what is remembered between a demo that was cut off and the next start, and who may use it."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from squire_pipelines.demo.options import DemoOptions, Ports
from squire_pipelines.errors import ConfigError, RefusedError
from squire_pipelines.files import lock, write_atomically
from squire_pipelines.runtime.ports import free_port
from squire_pipelines.runtime.processes import stop_group
from squire_pipelines.runtime.services import home_lock

_MARK = "demo.json"
_FORGE_GRACE_S = 5.0
# The demo talks to its own forge only: whoever runs it may have real credentials, and settings that win over the
# demo's file, in the environment. Which images it takes may be said there.
_TOKENS = ("GITHUB_TOKEN", "GH_TOKEN")
_LET_IN = ("SQUIRE_AGENT__IMAGE", "SQUIRE_PIPELINE__IMAGE")


@dataclass(frozen=True, slots=True)
class Memory:
    """What a demo must know to go on after it was cut off. `since` and `requests` are None before it asked."""

    subject: str
    forge_port: int
    receiver_port: int
    since: str | None = None
    requests: tuple[int, ...] = ()
    finished: bool = False

    @property
    def ports(self) -> Ports:
        """Where the demo's servers listen."""
        return Ports(self.forge_port, self.receiver_port)

    @property
    def asked_at(self) -> datetime | None:
        """When the collection was asked for."""
        return datetime.fromisoformat(self.since) if self.since else None


@contextlib.contextmanager
def only_one(home: Path) -> Iterator[None]:
    """Hold the demo's folder alone. Raises RefusedError when another demo runs in it."""
    try:
        demo = lock(home.parent / f".{home.name}.lock")
    except TimeoutError:
        raise RefusedError(
            f"another demo is running in {home}", hint="wait for it, or name another folder with --home"
        ) from None
    with demo:
        yield


def end_leftover_forge(home: Path) -> bool:
    """End the forge that a killed demo left running in this folder, which the caller holds; whether there was one.

    A forge holds its lock for as long as it lives, so that a process id in the file is never another process's.
    """
    path = home / "forge" / "forge.lock"
    if not path.exists():
        return False
    try:
        with lock(path):
            return False
    except TimeoutError:
        holder = path.read_text("ascii", errors="replace")
        if holder.isdigit():
            stop_group(int(holder), grace_s=_FORGE_GRACE_S)
        return holder.isdigit()


def enter(options: DemoOptions) -> tuple[Memory, bool]:
    """Make the folder ready. Returns its memory and whether an unfinished demo goes on.

    Raises:
        ConfigError: The folder holds something that no demo wrote.
        AlreadyRunningError: A `squire dev` serves the folder, which is to be begun anew.
    """
    home = options.home
    subject = str(options.repository) if options.repository else "samples"
    known = recall(home)
    if known is None and home.exists() and any(home.iterdir()):
        raise ConfigError(f"{home} is not empty and was not made by the demo", hint="name another folder with --home")
    goes_on = known is not None and not known.finished and known.subject == subject and not options.fresh
    if known is not None and not goes_on:
        with home_lock(home / "run"):  # what a killed demo left running there must not outlive its folder
            shutil.rmtree(home)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    memory = known if known is not None and goes_on else Memory(subject, free_port(), free_port())
    remember(home, memory)
    for name in list(os.environ):
        if name in _TOKENS or (name.upper().startswith("SQUIRE_") and name not in _LET_IN):
            del os.environ[name]
    os.environ["SQUIRE_HOME"] = str(home)
    return memory, goes_on


def recall(home: Path) -> Memory | None:
    """The demo's memory, None when there is none. Raises ConfigError when it cannot be read."""
    try:
        content = json.loads((home / _MARK).read_text(encoding="utf-8"))
        return Memory(**{**content, "requests": tuple(content["requests"])})
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigError(
            f"{home / _MARK} cannot be read: {error}", hint="remove the folder, or name another with --home"
        ) from error


def remember(home: Path, memory: Memory) -> None:
    """Keep the memory, whole or not at all."""
    write_atomically(home / _MARK, json.dumps(asdict(memory)).encode())


def write_secret(home: Path, name: str, value: str) -> None:
    """Keep a secret of the demo's own forge where Squire looks for it (0600). Raises OSError."""
    folder = home / "secrets"
    folder.mkdir(mode=0o700, exist_ok=True)
    write_atomically(folder / name, value.encode())
