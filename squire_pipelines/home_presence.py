"""The mark in a home that says which machine serves it: two that did so at once would undo each other's work.

The home's lock keeps apart the processes of one machine; a file system that machines share may not pass it on. So each
process that serves a home writes there, again and again, a file with its machine and a number that grows. Another
machine that comes looks at this number for a while: it grows, and the home is refused, or it stands still, and whoever
wrote it is gone. No clock is compared, and a machine that was killed keeps nobody out for longer than that.

The machine is known by its boot: a lock reaches all processes of one, those in containers too.
"""

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from squire_pipelines.errors import RefusedError
from squire_pipelines.files import open_untrusted
from squire_pipelines.home import make_folder
from squire_pipelines.machine_name import machine_name
from squire_pipelines.repeating_thread import RepeatingThread

BEAT_S = 5.0
WATCH_S = 12.0
"""So long another machine's number is looked at: twice its pause, and a little more."""

_LOOK_S = 0.5
_MAX_BYTES = 4096
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_NAME = "served-by.json"
_STEP = "stop Squire there, or give this machine a SQUIRE_HOME of its own: see docs/guide/many-machines.md"


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine, since its last start.

    Args:
        boot: Differs from one start of a machine to the next, and between machines.
        host: Its name, for people.
    """

    boot: str
    host: str


def this_machine() -> Machine:
    """Return the machine that this process runs on."""
    host = machine_name()
    try:
        return Machine(_BOOT.read_text(encoding="ascii").strip(), host)
    except (OSError, UnicodeDecodeError):
        return Machine(host, host)  # no Linux: by its name alone


def presence_file(run: Path) -> Path:
    """Return the file with the mark, in the folder `run` of a home."""
    return run / _NAME


def read_presence(run: Path) -> tuple[Machine, int] | None:
    """Return which machine serves a home by its mark, and its number; None where there is no mark."""
    try:
        with open_untrusted(presence_file(run)) as file:
            content: Any = json.loads(file.read(_MAX_BYTES))
        return Machine(str(content["boot"]), str(content["host"])), int(content["beat"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # none, or it is being written just now


def find_other_machine(
    run: Path,
    machine: Machine,
    *,
    say: Callable[[str], None] = lambda _line: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Machine | None:
    """Return the other machine that serves a home now; None where none does. It takes a while where one has done so.

    Args:
        run: The home's folder `run`.
        machine: This one.
        say: Is told that it takes a while.
        sleep: Waits for so many seconds.
    """
    first = read_presence(run)
    if first is None or first[0].boot == machine.boot:
        return None
    say(f"{first[0].host} has served this home; looking for {WATCH_S:.0f} s whether it still does")
    for _ in range(int(WATCH_S / _LOOK_S)):
        sleep(_LOOK_S)
        now = read_presence(run)
        if now is not None and now != first and now[0].boot != machine.boot:
            return now[0]
    return None


def other_machine_error(run: Path, other: Machine) -> RefusedError:
    """Return the error that says that another machine serves a home."""
    return RefusedError(f"another machine, {other.host}, serves {run.parent}", hint=_STEP)


class HomePresence(RepeatingThread):
    """Keeps this machine's mark in a home, for as long as a block lasts; several processes of a machine share it.

    Args:
        run: The home's folder `run`.
        say: Is told what takes a while.
        machine: This one.
        sleep: Waits for so many seconds, while another machine's mark is looked at.

    Raises:
        RefusedError: On entering, when another machine serves the home.
    """

    def __init__(
        self,
        run: Path,
        *,
        say: Callable[[str], None] = lambda _line: None,
        machine: Machine | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__("home-presence", first_after_s=BEAT_S)
        self._run_folder = run
        self._say = say
        self._machine = machine or this_machine()
        self._sleep = sleep
        self._lost_to: Machine | None = None

    def __enter__(self) -> Self:
        if (other := find_other_machine(self._run_folder, self._machine, say=self._say, sleep=self._sleep)) is not None:
            raise other_machine_error(self._run_folder, other)
        self._write(1)
        return super().__enter__()

    def __exit__(self, *details: object) -> None:
        super().__exit__(*details)
        known = read_presence(self._run_folder)
        if known is not None and known[0].boot == self._machine.boot:
            with suppress(OSError):  # another process of this machine that still serves it writes it anew
                presence_file(self._run_folder).unlink(missing_ok=True)

    def repeat(self) -> float:
        """Write the mark, unless another machine has written its own: then this one has lost the home."""
        known = read_presence(self._run_folder)
        if known is not None and known[0].boot != self._machine.boot:
            self._lost_to = known[0]
        else:
            self._lost_to = None
            self._write(1 if known is None else known[1] + 1)
        return BEAT_S

    def check(self) -> None:
        """Raise RefusedError where another machine has begun to serve the home meanwhile."""
        if self._lost_to is not None:
            raise other_machine_error(self._run_folder, self._lost_to)

    def _write(self, beat: int) -> None:
        text = json.dumps({"boot": self._machine.boot, "host": self._machine.host, "beat": beat})
        # Into the file itself: what a shared file system keeps of names is looked up anew less often.
        with suppress(OSError):  # a full disk: what cannot be written serves nobody
            make_folder(self._run_folder)
            flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(presence_file(self._run_folder), flags, 0o600)
            try:
                os.pwrite(descriptor, text.encode(), 0)
                os.ftruncate(descriptor, len(text))
            finally:
                os.close(descriptor)
