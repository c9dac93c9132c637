"""A child process that we own: started in a session of its own, recorded on disk, stopped with everything below it.

The record outlives a killed parent, so that the next start finds and ends what is left.
"""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from squire_pipelines.errors import NotReachableError

_POLL_S = 0.05
_PS_TIMEOUT_S = 5.0
_PROC = Path("/proc")
_BOOT = _PROC / "sys/kernel/random/boot_id"
_START_FIELD = 19  # of /proc/PID/stat, counted after the command's name: see proc(5), starttime


def process_start_time(pid: int) -> str | None:
    """When a process was born, as the system tells it: with the pid it names one process for good. None: no such."""
    if _BOOT.exists():  # Linux: slim images have no `ps`
        try:
            fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        # The time counts from the boot, so that the boot belongs to it.
        return f"{_BOOT.read_text(encoding='ascii').strip()} {fields[_START_FIELD]}"
    asked = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, timeout=_PS_TIMEOUT_S, check=False
    )
    return asked.stdout.strip() or None


@contextlib.contextmanager
def interruptible() -> Iterator[Callable[[], None]]:
    """Let SIGTERM and SIGHUP (the terminal is closed) end the block as Ctrl-C does, so that what it started is stopped.

    Children live in sessions of their own, so that nobody else would tell them. Only in the main thread. Yields a
    check for loops that wait: it raises KeyboardInterrupt if a signal has come. Python drops what a handler raises in a
    finalizer or a weak reference's callback, and a signal that comes during a garbage collection is handled in such.
    """
    heard = False

    def check() -> None:
        if heard:
            raise KeyboardInterrupt

    def interrupt(number: int, _frame: FrameType | None) -> None:
        nonlocal heard
        heard = True
        signal.signal(number, signal.SIG_IGN)  # once: the way out is under way
        check()

    # `nohup` ignores SIGHUP for us, and means it.
    numbers = [signal.SIGTERM, *([] if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else [signal.SIGHUP])]
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield check
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _signal_group(pid: int, number: int) -> bool:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return False
    return True


def stop_group(pid: int, *, grace_s: float) -> None:
    """End a session's processes: asked politely, after `grace_s` killed. Bounded."""
    deadline = time.monotonic() + grace_s
    alive = _signal_group(pid, signal.SIGTERM)
    while alive and time.monotonic() < deadline:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        time.sleep(_POLL_S)
        alive = _signal_group(pid, 0)
    if alive:
        _signal_group(pid, signal.SIGKILL)


@dataclass(slots=True)
class Child:
    """One child process and its record `<run>/<name>.pid`; its output goes to `<run>/<name>.log`."""

    name: str
    process: subprocess.Popen[bytes]
    record: Path
    log: Path

    @classmethod
    def start(cls, name: str, argv: Sequence[str], *, run: Path, env: Mapping[str, str]) -> "Child":
        """Start it. Raises NotReachableError when the program is not there."""
        run.mkdir(mode=0o700, parents=True, exist_ok=True)
        log = run / f"{name}.log"
        with log.open("ab") as sink:
            try:
                process = subprocess.Popen(
                    list(argv),
                    stdin=subprocess.DEVNULL,
                    stdout=sink,
                    stderr=subprocess.STDOUT,
                    env=dict(env),
                    start_new_session=True,
                )
            except OSError as error:
                raise NotReachableError(
                    f"{name} could not be started: {argv[0]}: {error.strerror}",
                    hint="is the installation whole? `make setup`",
                ) from error
        record = run / f"{name}.pid"
        record.write_text(json.dumps({"pid": process.pid, "birth": process_start_time(process.pid)}), encoding="utf-8")
        return cls(name, process, record, log)

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def stop(self, *, grace_s: float) -> None:
        """Stop it with everything that it started, and forget its record."""
        if self.alive:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=grace_s)
        stop_group(self.process.pid, grace_s=1.0)
        self.record.unlink(missing_ok=True)

    def last_lines(self, count: int = 20) -> tuple[str, ...]:
        """The end of its log, for messages. At most 64 KiB are read."""
        return tail(self.log, count)


def tail(path: Path, count: int) -> tuple[str, ...]:
    """The last lines of a text file, read from its last 64 KiB; nothing when there is no file."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 65536))
            return tuple(file.read().decode(errors="replace").splitlines()[-count:])
    except FileNotFoundError:
        return ()


def stop_orphans(run: Path, *, grace_s: float = 5.0) -> tuple[str, ...]:
    """End what an earlier, killed parent left running, by its records. Returns the names of what was ended."""
    ended = []
    for record in sorted(run.glob("*.pid")):
        try:
            known = json.loads(record.read_text(encoding="utf-8"))
            pid, birth = int(known["pid"]), known["birth"]
        except (ValueError, KeyError, TypeError):
            record.unlink(missing_ok=True)  # written half when the power went: there is nothing to learn from it
            continue
        # The leader may be gone while its workers live; a group's number is not given anew while it has members.
        if process_start_time(pid) in {birth, None} and _signal_group(pid, 0):
            stop_group(pid, grace_s=grace_s)
            ended.append(record.stem)
        record.unlink(missing_ok=True)
    return tuple(ended)
